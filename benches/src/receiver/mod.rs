//! An HTTP/1.1 server that only counts.
//!
//! It must never be what is measured: one thread for each connection, one read
//! for most requests, one packet for each answer. (An answer in two packets
//! costs a client 40 ms of delayed acknowledgement.)

mod effects;
mod head;
mod kinesis;
mod opensearch;
mod tally;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use memchr::memmem;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::clock;
use crate::latency::Latencies;
use crate::samples;
use effects::Effects;
use head::{Ask, Head};
use tally::Tally;

pub(crate) use effects::Effect;
pub(crate) use tally::Counts;

/// A head larger than this is no request of ours.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What the receiver looks for in what it gets, and what it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Counts requests and bytes; answers as Braze does.
    Requests,
    /// Counts the objects of each body too: the occurrences of `"external_id"`.
    Objects,
    /// Counts the records of each body; answers as Kinesis does.
    Records,
    /// Counts a request as one user; answers as OneSignal does.
    Users,
    /// Counts the documents of each body; answers as OpenSearch does.
    Documents,
    /// Counts the events of each body and notes which of them took effect; answers as OneSignal does if they
    /// have idempotency keys, else as Braze does.
    Effects,
}

/// The server. Clones share their counts.
#[derive(Clone)]
pub(crate) struct Receiver {
    counting: Counting,
    timed: bool,
    /// How long each answer waits.
    delay: Duration,
    tls: Option<Arc<ServerConfig>>,
    tally: Arc<Tally>,
    effects: Arc<Mutex<Effects>>,
}

impl Receiver {
    pub(crate) fn new(counting: Counting) -> Receiver {
        Receiver {
            counting,
            timed: false,
            delay: Duration::ZERO,
            tls: None,
            tally: Arc::default(),
            effects: Arc::default(),
        }
    }

    /// Answers after a delay.
    pub(crate) fn slow(counting: Counting, delay: Duration) -> Receiver {
        Receiver { delay, ..Receiver::new(counting) }
    }

    /// Answers after a delay, over TLS.
    pub(crate) fn far(counting: Counting, delay: Duration, tls: Arc<ServerConfig>) -> Receiver {
        Receiver { delay, tls: Some(tls), ..Receiver::new(counting) }
    }

    /// Looks for the time of sending in each object, too.
    pub(crate) fn timed(counting: Counting) -> Receiver {
        Receiver { timed: true, ..Receiver::new(counting) }
    }

    /// Serves on a port of its own, in a thread of its own.
    pub(crate) fn start(&self) -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let serving = self.clone();
        thread::spawn(move || serving.serve(&listener));
        Ok(address)
    }

    /// What arrived since the start or the last [`Receiver::reset`].
    pub(crate) fn counts(&self) -> Counts {
        self.tally.counts()
    }

    /// From the first request to the last one.
    pub(crate) fn moving(&self) -> Duration {
        self.tally.moving()
    }

    /// How long the objects were under way that told when they were sent.
    pub(crate) fn latencies(&self) -> Latencies {
        self.tally.latencies()
    }

    /// How many different events took effect, and how many of them more than once.
    pub(crate) fn arrived_and_doubled(&self) -> (usize, usize) {
        let effects = self.effects();
        (effects.arrived(), effects.doubled())
    }

    /// Those of these events that did not take effect.
    pub(crate) fn missing(&self, expected: impl Iterator<Item = Effect>) -> Vec<Effect> {
        self.effects().missing(expected)
    }

    fn effects(&self) -> MutexGuard<'_, Effects> {
        self.effects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what arrived.
    pub(crate) fn reset(&self) {
        self.tally.reset();
        *self.effects() = Effects::default();
    }

    /// Waits until this many objects have come.
    ///
    /// # Errors
    /// Nothing came for `patience`.
    pub(crate) async fn wait_for(&self, objects: u64, patience: Duration) -> Result<()> {
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let now = self.counts().objects;
            if now >= objects {
                return Ok(());
            }
            if now > seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() > patience {
                bail!("{now} of {objects} arrived, and none for {} s", patience.as_secs());
            }
            ticks.tick().await;
        }
    }

    /// Serves connections until accepting fails.
    pub(crate) fn serve(&self, listener: &TcpListener) -> Result<()> {
        for stream in listener.incoming() {
            let (receiver, stream) = (self.clone(), stream?);
            // A client that goes away in the middle of a request is no failure of ours.
            thread::spawn(move || receiver.serve_stream(stream).ok());
        }
        Ok(())
    }

    fn serve_stream(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        match &self.tls {
            None => self.serve_connection(stream),
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                self.serve_connection(StreamOwned::new(connection, stream))
            }
        }
    }

    fn serve_connection(&self, mut stream: impl Read + Write) -> io::Result<()> {
        let (mut buffer, mut answer, mut scratch) = (vec![0; 256 * 1024], Vec::new(), Vec::new());
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
            answer.clear();
            match head.asks_for {
                Ask::Counts => answer.extend_from_slice(self.counts().to_answer().as_bytes()),
                Ask::Stream => kinesis::described(&mut answer),
                Ask::Take => self.take(&buffer[head.bytes..end], &mut scratch, &mut answer),
            }
            clock::wait_until(Instant::now() + self.delay);
            stream.write_all(&answer)?;
            stream.flush()?;
            buffer.copy_within(end..filled, 0);
            filled -= end;
        }
    }

    /// Counts a body and writes the answer to it.
    fn take(&self, body: &[u8], scratch: &mut Vec<u8>, answer: &mut Vec<u8>) {
        let now = clock::micros().max(1);
        let mut latencies = Vec::new();
        if self.counting == Counting::Effects {
            let taken = self.effects().take(body);
            answer.extend_from_slice(match taken {
                None => BAD_REQUEST,
                Some(taken) if taken.keyed => ACCEPTED,
                Some(_) => CREATED,
            });
            return self.tally.add(now, body.len(), taken.map_or(0, |taken| taken.events), latencies);
        }
        let objects = match self.counting {
            Counting::Requests | Counting::Effects => 0,
            Counting::Users => 1,
            Counting::Documents => opensearch::documents(body),
            Counting::Objects => {
                if self.timed {
                    note(body, now, &mut latencies);
                }
                memmem::find_iter(body, b"\"external_id\"").count()
            }
            Counting::Records => kinesis::records(body)
                .inspect(|record| {
                    if self.timed {
                        kinesis::data(record, scratch);
                        note(scratch, now, &mut latencies);
                    }
                })
                .count(),
        };
        match self.counting {
            Counting::Records => kinesis::taken(objects, answer),
            Counting::Users => answer.extend_from_slice(ACCEPTED),
            Counting::Documents => opensearch::taken(objects, answer),
            Counting::Requests | Counting::Objects | Counting::Effects => answer.extend_from_slice(CREATED),
        }
        self.tally.add(now, body.len(), objects, latencies);
    }
}

/// Notes for each object how long it was under way.
fn note(body: &[u8], now: u64, latencies: &mut Vec<u64>) {
    latencies.extend(samples::all_sent(body).map(|sent| now.saturating_sub(sent)));
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

/// What OneSignal answers to a user that it knows.
///
/// Source: OneSignal docs, Update user.
const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 17\r\n\
    \r\n\
    {\"properties\":{}}";

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn started(receiver: &Receiver) -> TcpStream {
        TcpStream::connect(receiver.start().unwrap()).unwrap()
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
        let receiver = Receiver::new(Counting::Objects);
        let mut stream = started(&receiver);
        let body = r#"{"events":[{"external_id":"a"},{"external_id":"b"}]}"#;

        stream.write_all((request(body) + &request("{}")).as_bytes()).unwrap();

        assert_eq!(read_answers(&mut stream, 2), [CREATED, CREATED].concat());
        let bytes = body.len() as u64 + 2;
        assert_eq!(receiver.counts(), Counts { requests: 2, bytes, objects: 2 });
    }

    #[test]
    fn a_request_may_come_in_pieces() {
        let receiver = Receiver::new(Counting::Objects);
        let mut stream = started(&receiver);

        for piece in request(r#"{"external_id":"a"}"#).as_bytes().chunks(7) {
            stream.write_all(piece).unwrap();
            stream.flush().unwrap();
        }

        assert_eq!(read_answers(&mut stream, 1), CREATED);
        assert_eq!(receiver.counts().objects, 1);
    }

    #[test]
    fn a_body_of_unknown_length_is_refused_instead_of_miscounted() {
        let receiver = Receiver::new(Counting::Objects);
        let mut stream = started(&receiver);

        stream.write_all(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();

        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, BAD_REQUEST);
        assert_eq!(receiver.counts(), Counts::default());
    }

    #[test]
    fn an_object_tells_how_long_it_was_under_way() {
        let receiver = Receiver::timed(Counting::Objects);
        let mut event = Vec::new();
        samples::Samples::new().write(1, clock::micros(), &mut event);
        let mut stream = started(&receiver);

        stream.write_all(request(std::str::from_utf8(&event).unwrap()).as_bytes()).unwrap();

        read_answers(&mut stream, 1);
        assert_eq!(receiver.latencies().count(), 1);
        assert!(receiver.latencies().at(1.0) < Duration::from_secs(60));
    }

    #[test]
    fn the_answer_says_its_own_length() {
        let body = b"{\"message\":\"success\"}";
        assert!(CREATED.ends_with(body));
        assert_eq!(Head::parse(CREATED).unwrap().unwrap().body_bytes, body.len());
    }
}
