//! What the receiver has counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::latency::Latencies;

/// What arrived so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests with a body.
    pub(crate) requests: u64,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
    /// Objects or records in their bodies.
    pub(crate) objects: u64,
}

impl Counts {
    /// The answer to who asks.
    pub(super) fn to_answer(self) -> String {
        let Counts { requests, bytes, objects } = self;
        let body = format!(r#"{{"requests":{requests},"bytes":{bytes},"objects":{objects}}}"#);
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
    }
}

/// The counters, shared by all connections.
#[derive(Default)]
pub(super) struct Tally {
    requests: AtomicU64,
    bytes: AtomicU64,
    objects: AtomicU64,
    /// When the first and the last request came, in microseconds; 0 for never.
    first: AtomicU64,
    last: AtomicU64,
    /// How long each object was under way, in microseconds.
    latencies: Mutex<Vec<u64>>,
}

impl Tally {
    /// A request that came at `now`.
    pub(super) fn add(&self, now: u64, bytes: usize, objects: usize, latencies: Vec<u64>) {
        if !latencies.is_empty() {
            self.lock().extend(latencies);
        }
        // Another one may have been the first: then it stays that.
        let _ = self.first.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        self.last.fetch_max(clock::micros(), Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        // Last, so that who waits for this number finds the rest complete.
        self.objects.fetch_add(objects as u64, Ordering::Release);
    }

    pub(super) fn counts(&self) -> Counts {
        let objects = self.objects.load(Ordering::Acquire);
        let (requests, bytes) = (self.requests.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        Counts { requests, bytes, objects }
    }

    pub(super) fn moving(&self) -> Duration {
        let [first, last] = [&self.first, &self.last].map(|time| time.load(Ordering::Relaxed));
        Duration::from_micros(last.saturating_sub(first))
    }

    pub(super) fn latencies(&self) -> Latencies {
        Latencies::of(self.lock().clone())
    }

    pub(super) fn reset(&self) {
        for counter in [&self.requests, &self.bytes, &self.objects, &self.first, &self.last] {
            counter.store(0, Ordering::Relaxed);
        }
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u64>> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_from_the_first_request_to_the_last() {
        let tally = Tally::default();
        tally.add(clock::micros().max(1), 10, 2, vec![5]);
        clock::wait_until(std::time::Instant::now() + Duration::from_millis(5));
        tally.add(clock::micros(), 10, 1, Vec::new());

        assert_eq!(tally.counts(), Counts { requests: 2, bytes: 20, objects: 3 });
        assert!(tally.moving() >= Duration::from_millis(5));
        tally.reset();
        assert_eq!(
            (tally.counts(), tally.moving(), tally.latencies().count()),
            (Counts::default(), Duration::ZERO, 0)
        );
    }
}
