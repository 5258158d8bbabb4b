//! Makes load: many connections that post events, and how long each answer took.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::clock;
use crate::http::{self, Connection};
use crate::latency::Latencies;
use crate::samples::Samples;

/// What is posted.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Where to.
    pub(crate) address: SocketAddr,
    /// Which path.
    pub(crate) path: &'static str,
    /// The secret of the sender.
    pub(crate) token: &'static str,
    /// How many connections post at the same time, each one request at a time.
    pub(crate) connections: u32,
    /// How many events a request has.
    pub(crate) events_per_request: u64,
    /// The number of the first event.
    pub(crate) first: u64,
    /// How many events are posted; a multiple of `events_per_request`.
    pub(crate) events: u64,
    /// How many events are posted in a second; as many as are answered if it is not said.
    pub(crate) pace: Option<u32>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Posted {
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// How long the answers took.
    pub(crate) answers: Latencies,
}

impl Load {
    /// Posts everything. Any answer but 2xx is an error.
    pub(crate) fn post(&self) -> Result<Posted> {
        ensure!(
            self.events.is_multiple_of(self.events_per_request),
            "the last request would be a smaller one"
        );
        let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
        let started = Instant::now();
        let answers = thread::scope(|scope| -> Result<Vec<u64>> {
            let posting: Vec<_> = (0..self.connections)
                .map(|_| {
                    scope.spawn(|| {
                        self.post_one_by_one(&next, &failed, started)
                            .inspect_err(|_| failed.store(true, Ordering::Relaxed))
                    })
                })
                .collect();
            let mut answers = Vec::new();
            for thread in posting {
                answers.extend(thread.join().map_err(|_| anyhow!("a connection's thread panicked"))??);
            }
            Ok(answers)
        })?;
        Ok(Posted { took: started.elapsed(), answers: Latencies::of(answers) })
    }

    fn post_one_by_one(&self, next: &AtomicU64, failed: &AtomicBool, started: Instant) -> Result<Vec<u64>> {
        let mut connection = Connection::open(self.address)?;
        let samples = Samples::new();
        let (mut body, mut request, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let at = next.fetch_add(self.events_per_request, Ordering::Relaxed);
            if at >= self.events || failed.load(Ordering::Relaxed) {
                return Ok(answers);
            }
            if let Some(pace) = self.pace {
                clock::wait_until(started + Duration::from_secs(1) * u32::try_from(at)? / pace);
            }
            let sent = clock::micros();
            body.clear();
            self.write(&samples, self.first + at, sent, &mut body);
            request.clear();
            let secret = format!("Authorization: Bearer {}\r\n", self.token);
            request.extend_from_slice(http::head(self.path, body.len(), &secret).as_bytes());
            request.extend_from_slice(&body);
            let began = Instant::now();
            let answer = connection.send(&request)?;
            answers.push(u64::try_from(began.elapsed().as_micros())?);
            ensure!(
                (200..300).contains(&answer.status),
                "{} was answered {}: {}",
                self.path,
                answer.status,
                String::from_utf8_lossy(answer.body)
            );
        }
    }

    fn write(&self, samples: &Samples, first: u64, sent: u64, body: &mut Vec<u8>) {
        if self.events_per_request == 1 {
            return samples.write(first, sent, body);
        }
        let mut separator = b'[';
        for number in first..first + self.events_per_request {
            body.push(separator);
            samples.write(number, sent, body);
            separator = b',';
        }
        body.push(b']');
    }
}

/// Runs what blocks beside the runtime.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("the work panicked")?
}
