//! An HTTP server for doubles that have encoded their one result beforehand: what it does for a request is
//! to write bytes that lie in memory.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::Result;
use memchr::memmem;
use serde_json::Value;

/// What is asked.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
    /// The address of the double.
    pub(super) address: SocketAddr,
}

impl Asked<'_> {
    /// Returns the JSON of the body.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }

    /// Returns a parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// What is answered.
pub(super) enum Answer {
    /// JSON that was made for the question.
    Json(Value),
    /// A part of the result.
    Part(Arc<Part>),
    /// There is nothing.
    Missing,
}

/// A part of a result, encoded.
pub(super) struct Part {
    /// How many rows it has.
    pub(super) rows: u64,
    /// The body of its answer.
    pub(super) bytes: Vec<u8>,
    /// Whether the body is compressed, as its answer says.
    pub(super) is_gzip: bool,
}

/// A double: what it answers.
pub(super) trait Double: Send + Sync + 'static {
    /// Returns a part of the result, for those who only fetch.
    fn part(&self, at: usize) -> Option<&Arc<Part>>;

    /// Answers a question.
    fn answer(&self, asked: &Asked<'_>) -> Answer;
}

/// Serves on a port of its own, in threads of its own.
pub(super) fn start(double: impl Double) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let double = Arc::new(double);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let double = Arc::clone(&double);
            thread::spawn(move || serve(&*double, stream, address));
        }
    });
    Ok(address)
}

fn serve(double: &impl Double, mut stream: TcpStream, address: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let head = loop {
            if let Some(end) = memmem::find(&buffer, b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut piece)? {
                0 => return Ok(()),
                read => buffer.extend_from_slice(&piece[..read]),
            }
        };
        let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
        let length = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse::<usize>().ok())
            .unwrap_or(0);
        while buffer.len() < head + length {
            match stream.read(&mut piece)? {
                0 => return Ok(()),
                read => buffer.extend_from_slice(&piece[..read]),
            }
        }
        let mut words = text.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let answer = match path.strip_prefix("/page/").and_then(|at| double.part(at.parse().ok()?)) {
            Some(part) => Answer::Part(Arc::clone(part)),
            None => {
                double.answer(&Asked { method, path, query, body: &buffer[head..head + length], address })
            }
        };
        respond(&mut stream, &answer)?;
        buffer.drain(..head + length);
    }
}

fn respond(stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    match answer {
        Answer::Json(json) => write(stream, "200 OK", "", json.to_string().as_bytes()),
        Answer::Part(part) if part.is_gzip => {
            write(stream, "200 OK", "Content-Encoding: gzip\r\n", &part.bytes)
        }
        Answer::Part(part) => write(stream, "200 OK", "", &part.bytes),
        Answer::Missing => {
            write(stream, "404 Not Found", "", b"{\"error_code\":\"NOT_FOUND\",\"message\":\"no\"}")
        }
    }
}

fn write(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    match length {
        0..=65_536 => stream.write_all(&[head.as_bytes(), body].concat()),
        _ => {
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)
        }
    }
}
