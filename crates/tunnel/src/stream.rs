//! The bytes that go through a tunnel.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use russh::client::{Handle, Msg};
use russh::{Channel, ChannelStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::host_key::Pinned;

/// A connection to a database through an SSH server. Dropped, it ends the connection to that server, too.
pub struct TunnelStream {
    stream: ChannelStream<Msg>,
    session: Handle<Pinned>,
}

impl TunnelStream {
    pub(crate) fn new(channel: Channel<Msg>, session: Handle<Pinned>) -> TunnelStream {
        TunnelStream { stream: channel.into_stream(), session }
    }
}

impl fmt::Debug for TunnelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TunnelStream")
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        // The end of the session looks like the end of the data.
        if room > 0 && buffer.filled().len() == before && self.session.is_closed() {
            let cause = io::Error::new(io::ErrorKind::ConnectionReset, "the SSH tunnel broke off");
            return Poll::Ready(Err(cause));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
