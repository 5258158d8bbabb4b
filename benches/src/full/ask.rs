//! Asks for pages as a browser does that keeps nothing: a connection each, read to its end.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::clock;
use crate::latency::Latencies;
use crate::samples;

/// A page that takes so long has failed.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// One answer.
pub(crate) struct Question {
    /// To the first byte of the body.
    pub(crate) first: Duration,
    /// To the end.
    pub(crate) whole: Duration,
    /// Of head and body.
    pub(crate) bytes: u64,
}

/// All answers of a path.
pub(crate) struct Asked {
    pub(crate) path: &'static str,
    /// Of the last answer.
    pub(crate) bytes: u64,
    pub(crate) first: Latencies,
    pub(crate) whole: Latencies,
}

/// Stands in a path for a user who has events: another one in each question.
pub(crate) const USER: &str = "{user}";

/// Returns the path of a question.
pub(crate) fn path_of(path: &str, question: u64) -> String {
    path.replace(USER, &samples::key(question))
}

/// Asks once.
pub(crate) fn once(address: SocketAddr, path: &str) -> Result<Question> {
    send(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"))
        .with_context(|| format!("asking for {path}"))
}

/// Posts nothing to a path of the API.
pub(crate) fn post(address: SocketAddr, path: &str) -> Result<Question> {
    send(address, &format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n"))
        .with_context(|| format!("posting to {path}"))
}

/// Returns what is answered, with its head.
pub(crate) fn text(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).with_context(|| format!("asking for {path}"))?;
    Ok(text)
}

fn send(address: SocketAddr, request: &str) -> Result<Question> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(request.as_bytes())?;
    let mut buffer = vec![0; 64 * 1024];
    let read = stream.read(&mut buffer)?;
    let first = began.elapsed();
    let status = buffer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default();
    ensure!(status.starts_with('2'), "answered {}", String::from_utf8_lossy(&buffer[..read.min(400)]));
    let mut bytes = read as u64;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(Question { first, whole: began.elapsed(), bytes }),
            read => bytes += read as u64,
        }
    }
}

/// Asks for the paths in turns, `a_second` of them, each question on a thread of its own: a slow answer
/// delays no question. [`USER`] is another user in each question.
pub(crate) fn for_seconds(
    address: SocketAddr,
    paths: &[&'static str],
    a_second: u32,
    seconds: u32,
) -> Result<Vec<Asked>> {
    let began = Instant::now();
    let asking: Vec<JoinHandle<Result<Question>>> = (0..a_second * seconds)
        .zip(paths.iter().cycle())
        .map(|(number, &path)| {
            clock::wait_until(began + Duration::from_secs(1) * number / a_second);
            thread::spawn(move || once(address, &path_of(path, number.into())))
        })
        .collect();
    let mut answers: Vec<Vec<Question>> = paths.iter().map(|_| Vec::new()).collect();
    for (number, question) in asking.into_iter().enumerate() {
        answers[number % paths.len()].push(question.join().map_err(|_| anyhow!("a question panicked"))??);
    }
    let of = |questions: &[Question], time: fn(&Question) -> Duration| {
        Latencies::of(questions.iter().map(|question| time(question).as_micros() as u64).collect())
    };
    Ok(paths
        .iter()
        .zip(answers)
        .map(|(&path, questions)| Asked {
            path,
            bytes: questions.last().map_or(0, |question| question.bytes),
            first: of(&questions, |question| question.first),
            whole: of(&questions, |question| question.whole),
        })
        .collect())
}

/// Questions that are asked until they are ended.
pub(crate) struct Asking {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Asking {
    /// Begins to ask, `a_second` questions each second.
    pub(crate) fn begin(address: SocketAddr, paths: &'static [&'static str], a_second: u32) -> Asking {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = thread::spawn(move || {
            let began = Instant::now();
            let mut asking = Vec::new();
            for (number, &path) in (0_u32..).zip(paths.iter().cycle()) {
                clock::wait_until(began + Duration::from_secs(1) * number / a_second);
                if over.load(Ordering::Relaxed) {
                    break;
                }
                asking.push(thread::spawn(move || once(address, &path_of(path, number.into()))));
            }
            for question in asking {
                question.join().map_err(|_| anyhow!("a question panicked"))??;
            }
            Ok(())
        });
        Asking { is_over, thread }
    }

    /// Asks no more, and waits for the last answers.
    pub(crate) fn end(self) -> Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the questions panicked"))?
    }
}
