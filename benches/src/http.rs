//! A client for HTTP/1.1 that costs little: it must never be what is measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use memchr::memmem;

/// A server that is silent for so long will not answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: &'a [u8],
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Connection { stream, buffer: vec![0; 16 * 1024] })
    }

    /// Sends a request, head and body in one piece, and reads the whole answer.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).context("the server does not take the request")?;
        let mut filled = 0;
        let (status, start, end) = loop {
            if let Some(found) = parse(&self.buffer[..filled])? {
                break found;
            }
            filled += self.read(filled)?;
        };
        ensure!(end <= ANSWER_BYTES_MAX, "the server answered with {end} bytes");
        while filled < end {
            filled += self.read(filled)?;
        }
        ensure!(filled == end, "the server answered more than it was asked");
        Ok(Answer { status, body: &self.buffer[start..end] })
    }

    fn read(&mut self, filled: usize) -> Result<usize> {
        if filled == self.buffer.len() {
            ensure!(filled < ANSWER_BYTES_MAX, "the server answered with more than {ANSWER_BYTES_MAX} bytes");
            self.buffer.resize(filled * 2, 0);
        }
        match self.stream.read(&mut self.buffer[filled..]).context("the server does not answer")? {
            0 => bail!("the server closed the connection instead of answering"),
            read => Ok(read),
        }
    }
}

/// The head of a request with a JSON body of this length. `more` are lines that end with `\r\n`.
pub(crate) fn head(path: &str, body_bytes: usize, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {body_bytes}\r\n{more}\r\n"
    )
}

/// Status, start and end of the body, once the head is there.
fn parse(input: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let Some(end) = memmem::find(input, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&input[..end]).context("the server's answer is not HTTP")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let status = status.context("the server's answer is not HTTP")?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse().ok());
    let length: usize = match (length, status) {
        (Some(length), _) => length,
        (None, 204) => 0,
        (None, _) => bail!("the server does not tell how long its answer is"),
    };
    Ok(Some((status, end + 4, end + 4 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end_and_not_further() {
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(parse(&answer[..20]).unwrap(), None);
        assert_eq!(parse(answer).unwrap(), Some((202, answer.len() - 2, answer.len())));
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
    }
}
