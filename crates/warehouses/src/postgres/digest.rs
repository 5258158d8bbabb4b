//! Sign-in by Redshift's digest of SHA-256, below the client of PostgreSQL, which does not know it.
//!
//! [`DigestConnect`] replaces the TLS of the client: it encrypts the connection if that is set, sends the
//! start-up message and answers the server's request 13. What the client writes and reads then begins after
//! that: its own start-up message is dropped, and it is told that the sign-in has succeeded. Every other
//! request is left to the client.
//!
//! Source: redshift_connector 2.2.0 of Amazon, `core.py` (authentication request 13) and
//! `utils/extensible_digest.py`.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use sha2::{Digest, Sha256};
use tidegate_model::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::PostgresSettings;

/// Asks a server for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// Version 3 of the protocol.
const PROTOCOL: i32 = 196_608;
/// The authentication request of the digest.
const DIGEST_REQUEST: i32 = 13;
/// Bytes of a message before the end of the sign-in, at most.
const MESSAGE_MAX: usize = 64 * 1024;

type RustlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// Who signs in, and where.
#[derive(Clone)]
pub struct SignIn {
    /// The user.
    pub user: String,
    /// The database.
    pub database: String,
    /// The user's password.
    pub password: Option<Secret>,
}

impl SignIn {
    /// Returns who signs in by these settings.
    pub fn of(settings: &PostgresSettings) -> SignIn {
        SignIn {
            user: settings.user.clone(),
            database: settings.database.clone(),
            password: settings.password.clone(),
        }
    }

    fn startup(&self) -> Vec<u8> {
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        for (name, value) in [
            ("client_encoding", "UTF8"),
            ("user", &self.user),
            ("database", &self.database),
            ("application_name", "tidegate"),
        ] {
            for text in [name, value] {
                body.extend_from_slice(text.as_bytes());
                body.push(0);
            }
        }
        body.push(0);
        framed(&body)
    }
}

/// Connects to a server that may ask for the digest.
#[derive(Clone)]
pub struct DigestConnect {
    is_encrypted: bool,
    tls: MakeRustlsConnect,
    sign_in: Option<SignIn>,
}

impl DigestConnect {
    /// Connects and signs in.
    pub fn signing_in(is_encrypted: bool, tls: MakeRustlsConnect, sign_in: SignIn) -> DigestConnect {
        DigestConnect { is_encrypted, tls, sign_in: Some(sign_in) }
    }

    /// Connects to cancel a statement, which needs no sign-in.
    pub fn cancelling(is_encrypted: bool, tls: MakeRustlsConnect) -> DigestConnect {
        DigestConnect { is_encrypted, tls, sign_in: None }
    }
}

impl fmt::Debug for DigestConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestConnect")
    }
}

impl<S> MakeTlsConnect<S> for DigestConnect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = SignedStream;
    type TlsConnect = Opening;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Opening> {
        let tls = match self.is_encrypted {
            true => {
                Some(MakeTlsConnect::<S>::make_tls_connect(&mut self.tls, domain).map_err(io::Error::other)?)
            }
            false => None,
        };
        Ok(Opening { tls, sign_in: self.sign_in.clone() })
    }
}

/// A connection that is about to be opened.
pub struct Opening {
    tls: Option<RustlsConnect>,
    sign_in: Option<SignIn>,
}

impl<S> TlsConnect<S> for Opening
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = SignedStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<SignedStream>> + Send>>;

    fn connect(self, socket: S) -> Self::Future {
        Box::pin(async move {
            let mut carrier = encrypted(socket, self.tls).await?;
            match self.sign_in {
                None => Ok(SignedStream { carrier, replayed: Bytes::new(), startup: Startup::Gone }),
                Some(sign_in) => {
                    let replayed = signed_in(&mut carrier, &sign_in).await?;
                    Ok(SignedStream { carrier, replayed, startup: Startup::Length(Vec::new()) })
                }
            }
        })
    }
}

async fn encrypted<S>(mut socket: S, tls: Option<RustlsConnect>) -> io::Result<Carrier>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(tls) = tls else { return Ok(Box::new(socket)) };
    socket.write_all(&SSL_REQUEST).await?;
    if socket.read_u8().await? != b'S' {
        return Err(io::Error::other("server does not support TLS"));
    }
    Ok(Box::new(tls.connect(socket).await?))
}

/// Starts the protocol and answers the request of the digest. Returns the message after that, for the client.
async fn signed_in<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, sign_in: &SignIn) -> io::Result<Bytes> {
    stream.write_all(&sign_in.startup()).await?;
    stream.flush().await?;
    let message = received(stream).await?;
    let Some(challenge) = Challenge::of(&message)? else { return Ok(message) };
    let password =
        sign_in.password.as_ref().ok_or_else(|| io::Error::other("password missing"))?.expose().as_bytes();
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    stream.write_all(&challenge.answer(password, nonce.as_bytes())).await?;
    stream.flush().await?;
    received(stream).await
}

/// Reads a message whole: its kind, its length, its body.
async fn received<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Bytes> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    let [_, length @ ..] = head;
    let rest = usize::try_from(i32::from_be_bytes(length)).ok().and_then(|length| length.checked_sub(4));
    let rest = rest.filter(|rest| *rest <= MESSAGE_MAX).ok_or_else(malformed)?;
    let mut message = vec![0; 5 + rest];
    message[..5].copy_from_slice(&head);
    stream.read_exact(&mut message[5..]).await?;
    Ok(message.into())
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server does not speak the protocol of PostgreSQL")
}

/// Returns a message with its length in front.
fn framed(body: &[u8]) -> Vec<u8> {
    // No message here is anywhere near 2 GiB.
    let length = i32::try_from(body.len() + 4).unwrap_or(i32::MAX);
    [length.to_be_bytes().as_slice(), body].concat()
}

/// What the server asks the digest of.
struct Challenge {
    salt: Bytes,
    nonce: Bytes,
}

impl Challenge {
    /// Reads the request of a digest; `None` for any other message.
    fn of(message: &Bytes) -> io::Result<Option<Challenge>> {
        let mut rest = message.clone();
        if rest.try_get_u8().ok() != Some(b'R') || rest.try_get_i32().is_err() {
            return Ok(None);
        }
        if rest.try_get_i32().ok() != Some(DIGEST_REQUEST) {
            return Ok(None);
        }
        if rest.try_get_i32().ok() != Some(0) {
            return Err(io::Error::other("the server asks for another digest than SHA-256"));
        }
        let mut part = || {
            let length = usize::try_from(rest.try_get_i32().ok()?).ok()?;
            (length <= rest.len()).then(|| rest.split_to(length))
        };
        let (salt, nonce) = part().zip(part()).ok_or_else(malformed)?;
        Ok(Some(Challenge { salt, nonce }))
    }

    /// Returns the message that proves the password.
    fn answer(&self, password: &[u8], own_nonce: &[u8]) -> Vec<u8> {
        let stored = Sha256::new().chain_update(password).chain_update(&self.salt).finalize();
        let digest =
            Sha256::new().chain_update(stored).chain_update(&self.nonce).chain_update(own_nonce).finalize();
        let part = |bytes: &[u8]| [length(bytes).as_slice(), bytes].concat();
        let body = [part(&digest), part(own_nonce)].concat();
        [b"d".as_slice(), &framed(&body)].concat()
    }
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// A connection, encrypted or not.
trait Both: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Both for S {}

type Carrier = Box<dyn Both>;

/// The start-up message that the client writes although it was sent.
enum Startup {
    /// Its length, of which these bytes were written.
    Length(Vec<u8>),
    /// This many bytes of it are to come.
    Rest(usize),
    /// It was written, or none is to come.
    Gone,
}

impl Startup {
    /// Returns how many of these bytes belong to the message.
    fn swallow(&mut self, bytes: &[u8]) -> usize {
        match self {
            Startup::Gone => 0,
            Startup::Rest(rest) => {
                let taken = bytes.len().min(*rest);
                *rest -= taken;
                if *rest == 0 {
                    *self = Startup::Gone;
                }
                taken
            }
            Startup::Length(known) => {
                let taken = bytes.len().min(4 - known.len());
                known.extend_from_slice(&bytes[..taken]);
                let Ok(length) = <[u8; 4]>::try_from(known.as_slice()) else { return taken };
                *self = match u32::from_be_bytes(length).saturating_sub(4) {
                    0 => Startup::Gone,
                    rest => Startup::Rest(rest as usize),
                };
                taken + self.swallow(&bytes[taken..])
            }
        }
    }
}

/// A connection on which the sign-in has begun.
pub struct SignedStream {
    carrier: Carrier,
    /// What the client reads first.
    replayed: Bytes,
    startup: Startup,
}

impl SignedStream {
    fn carrier(&mut self) -> Pin<&mut Carrier> {
        Pin::new(&mut self.carrier)
    }
}

impl TlsStream for SignedStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for SignedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.replayed.is_empty() {
            return self.carrier().poll_read(cx, buffer);
        }
        let taken = self.replayed.len().min(buffer.remaining());
        buffer.put_slice(&self.replayed.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SignedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.startup.swallow(bytes) {
            0 => self.carrier().poll_write(cx, bytes),
            taken => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carrier().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carrier().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn challenge() -> Bytes {
        let body: Vec<u8> = [
            DIGEST_REQUEST.to_be_bytes().as_slice(),
            &[0, 0, 0, 0],
            &[0, 0, 0, 4],
            b"salt",
            &[0, 0, 0, 5],
            b"nonce",
        ]
        .concat();
        [b"R".as_slice(), &framed(&body)].concat().into()
    }

    /// Computed by `ExtensibleDigest.encode` of redshift_connector 2.2.0.
    #[test]
    fn a_digest_is_the_one_that_the_client_of_the_vendor_computes() {
        let answer = Challenge::of(&challenge()).unwrap().unwrap().answer(b"Secret-2", b"1700000000000");
        let hex: String = answer.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, format!("640000003900000020{}0000000d{}", DIGEST, "31373030303030303030303030"));
    }

    const DIGEST: &str = "b4ef281b7f5c371f5dab75494bb723b565753f6dc594043d27c183aaa988661f";

    #[tokio::test]
    async fn a_request_that_is_no_digest_is_left_to_the_client() {
        let md5: &[u8] = b"R\0\0\0\x0c\0\0\0\x05salt";
        let sign_in = SignIn { user: "u".into(), database: "d".into(), password: None };
        let mut stream = server_that_says(md5);
        assert_eq!(signed_in(&mut stream, &sign_in).await.unwrap(), md5);
        let mut stream = server_that_says(&challenge());
        let error = signed_in(&mut stream, &sign_in).await.unwrap_err();
        assert_eq!(error.to_string(), "password missing");
    }

    /// A server that says these bytes and hears anything.
    fn server_that_says(said: &[u8]) -> tokio::io::Join<io::Cursor<Vec<u8>>, tokio::io::Sink> {
        tokio::io::join(io::Cursor::new(said.to_vec()), tokio::io::sink())
    }

    proptest! {
        #[test]
        fn bytes_of_a_server_that_are_no_challenge_are_refused_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Challenge::of(&[b"R\0\0\0\x40\0\0\0\x0d".as_slice(), &body].concat().into());
            let _ = Challenge::of(&body.into());
        }

        #[test]
        fn a_start_up_message_that_is_written_in_pieces_is_dropped_whole(pieces in prop::collection::vec(1usize..20, 1..30)) {
            let message = [SignIn { user: "u".into(), database: "d".into(), password: None }.startup(), b"rest".to_vec()].concat();
            let (mut startup, mut left, mut kept) = (Startup::Length(Vec::new()), message.as_slice(), Vec::new());
            for piece in pieces.into_iter().cycle() {
                let (now, _) = left.split_at(piece.min(left.len()));
                let taken = startup.swallow(now);
                let written = if taken == 0 { kept.extend_from_slice(now); now.len() } else { taken };
                left = &left[written..];
                if left.is_empty() { break }
            }
            prop_assert_eq!(kept, b"rest");
        }
    }
}
