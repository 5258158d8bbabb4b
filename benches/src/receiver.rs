//! An HTTP/1.1 server that only counts.
//!
//! It must never be what is measured: one thread for each connection, one read
//! for most requests, one packet for each answer. (An answer in two packets
//! costs a client 40 ms of delayed acknowledgement.)

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Result;
use memchr::memmem;

/// A head larger than this is no request of ours.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A body larger than this is no request of ours.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How far the receiver looks into what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Counts requests and bytes.
    Requests,
    /// Counts the objects of each body too: the places where `"external_id"` stands.
    Objects,
}

/// What arrived so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests with a body.
    pub(crate) requests: u64,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
    /// Objects in their bodies.
    pub(crate) objects: u64,
}

#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
    objects: AtomicU64,
}

/// The server. Clones share their counts.
#[derive(Clone)]
pub(crate) struct Receiver {
    counting: Counting,
    counters: Arc<Counters>,
}

impl Receiver {
    pub(crate) fn new(counting: Counting) -> Receiver {
        Receiver { counting, counters: Arc::default() }
    }

    /// What arrived since the start or the last [`Receiver::reset`].
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            requests: self.counters.requests.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            objects: self.counters.objects.load(Ordering::Relaxed),
        }
    }

    /// Forgets what arrived.
    pub(crate) fn reset(&self) {
        for counter in [&self.counters.requests, &self.counters.bytes, &self.counters.objects] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Serves connections until accepting fails.
    pub(crate) fn serve(&self, listener: &TcpListener) -> Result<()> {
        for stream in listener.incoming() {
            let (receiver, stream) = (self.clone(), stream?);
            // A client that goes away in the middle of a request is no failure of ours.
            thread::spawn(move || receiver.serve_connection(stream).ok());
        }
        Ok(())
    }

    fn serve_connection(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let objects = memmem::Finder::new(b"\"external_id\"");
        let mut buffer = vec![0; 256 * 1024];
        let mut filled = 0;
        loop {
            let head = match Head::parse(&buffer[..filled]) {
                Ok(Some(head)) => head,
                Ok(None) if filled < HEAD_BYTES_MAX => {
                    match stream.read(&mut buffer[filled..])? {
                        0 => return Ok(()),
                        read => filled += read,
                    }
                    continue;
                }
                Ok(None) | Err(_) => return stream.write_all(BAD_REQUEST),
            };
            let end = head.bytes + head.body_bytes;
            if buffer.len() < end {
                buffer.resize(end, 0);
            }
            while filled < end {
                match stream.read(&mut buffer[filled..])? {
                    0 => return Ok(()),
                    read => filled += read,
                }
            }
            if head.asks_for_counts {
                stream.write_all(self.counts().to_answer().as_bytes())?;
            } else {
                let body = &buffer[head.bytes..end];
                if self.counting == Counting::Objects {
                    let found = objects.find_iter(body).count() as u64;
                    self.counters.objects.fetch_add(found, Ordering::Relaxed);
                }
                self.counters.requests.fetch_add(1, Ordering::Relaxed);
                self.counters.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
                stream.write_all(CREATED)?;
            }
            buffer.copy_within(end..filled, 0);
            filled -= end;
        }
    }
}

/// What Braze answers, with a limit that is never reached.
///
/// Source: Braze docs, POST /users/track and API rate limits.
const CREATED: &[u8] = b"HTTP/1.1 201 Created\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 21\r\n\
    X-RateLimit-Limit: 1000000000\r\n\
    X-RateLimit-Remaining: 999999999\r\n\
    X-RateLimit-Reset: 4102444800\r\n\
    \r\n\
    {\"message\":\"success\"}";

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

impl Counts {
    fn to_answer(self) -> String {
        let Counts { requests, bytes, objects } = self;
        let body = format!(r#"{{"requests":{requests},"bytes":{bytes},"objects":{objects}}}"#);
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
    }
}

/// What the receiver needs to know of a request.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    bytes: usize,
    body_bytes: usize,
    asks_for_counts: bool,
}

/// A request that the receiver cannot count.
#[derive(Debug, PartialEq, Eq)]
struct Uncountable;

impl Head {
    /// Reads the head, if all of it is there.
    fn parse(input: &[u8]) -> Result<Option<Head>, Uncountable> {
        let Some(end) = memmem::find(input, b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&input[..end]).map_err(|_| Uncountable)?;
        let mut lines = text.split("\r\n");
        let asks_for_counts = lines.next().is_some_and(|line| line.starts_with("GET /counts "));
        let mut body_bytes = 0;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                body_bytes = value.trim().parse().map_err(|_| Uncountable)?;
            } else if name.eq_ignore_ascii_case("transfer-encoding")
                || name.eq_ignore_ascii_case("content-encoding")
            {
                return Err(Uncountable);
            }
        }
        if body_bytes > BODY_BYTES_MAX {
            return Err(Uncountable);
        }
        Ok(Some(Head { bytes: end + 4, body_bytes, asks_for_counts }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(counting: Counting) -> (Receiver, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let receiver = Receiver::new(counting);
        let serving = receiver.clone();
        thread::spawn(move || serving.serve(&listener));
        (receiver, stream)
    }

    fn request(body: &str) -> String {
        format!("POST /users/track HTTP/1.1\r\nhost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn read_answers(stream: &mut TcpStream, count: usize) -> Vec<u8> {
        let mut answers = vec![0; count * CREATED.len()];
        stream.read_exact(&mut answers).unwrap();
        answers
    }

    #[test]
    fn requests_bytes_and_objects_are_counted() {
        let (receiver, mut stream) = started(Counting::Objects);
        let body = r#"{"events":[{"external_id":"a"},{"external_id":"b"}]}"#;

        stream.write_all((request(body) + &request("{}")).as_bytes()).unwrap();

        assert_eq!(read_answers(&mut stream, 2), [CREATED, CREATED].concat());
        let bytes = body.len() as u64 + 2;
        assert_eq!(receiver.counts(), Counts { requests: 2, bytes, objects: 2 });
    }

    #[test]
    fn a_request_may_come_in_pieces() {
        let (receiver, mut stream) = started(Counting::Objects);

        for piece in request(r#"{"external_id":"a"}"#).as_bytes().chunks(7) {
            stream.write_all(piece).unwrap();
            stream.flush().unwrap();
        }

        assert_eq!(read_answers(&mut stream, 1), CREATED);
        assert_eq!(receiver.counts().objects, 1);
    }

    #[test]
    fn a_body_of_unknown_length_is_refused_instead_of_miscounted() {
        let (receiver, mut stream) = started(Counting::Objects);

        stream.write_all(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();

        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, BAD_REQUEST);
        assert_eq!(receiver.counts(), Counts::default());
    }

    #[test]
    fn the_answer_says_its_own_length() {
        let body = b"{\"message\":\"success\"}";
        assert!(CREATED.ends_with(body));
        assert_eq!(Head::parse(CREATED).unwrap().unwrap().body_bytes, body.len());
    }
}
