//! How many requests are in flight.

use std::time::Duration;

use tidegate_model::{Limits, Rate};
use tokio::time::Instant;

/// Requests in flight at the beginning. Each is a connection, and the queue of new ones at a platform is short:
/// those that find it full wait for a second or more.
const FIRST: usize = 32;
/// A rate of at most this many requests a second spaces new connections itself.
const SPACED: f64 = 5_000.0;
/// A platform that answers within this time is near.
const NEAR: Duration = Duration::from_millis(10);
/// More requests in flight make a near platform no faster. They fill the processor's caches.
const NEAR_MAX: usize = 64;
/// Answers after which it is known whether the platform is near.
const SAMPLE: usize = 32;
/// If nothing was sent for this long, connections may have been closed.
const REST: Duration = Duration::from_secs(10);

/// The number of requests that may be in flight. If no rate spaces them, they are few at first, and one
/// more with each answer, so that their number doubles in the time of an answer.
pub(super) struct Concurrency {
    first: usize,
    now: usize,
    most: usize,
    answers: usize,
    /// The shortest time that an answer took: the time that the platform needs if nothing here does.
    fastest: Duration,
    /// The time that answers take now.
    latency: Duration,
    last: Option<Instant>,
}

impl Concurrency {
    /// Creates one that grows to what the limits allow.
    pub(super) fn new(limits: &Limits) -> Concurrency {
        let most = limits.max_in_flight.max(1);
        let per_second = |rate: Rate| f64::from(rate.requests) / rate.per.as_secs_f64();
        let is_spaced = limits.rate.is_some_and(|rate| per_second(rate) <= SPACED);
        let first = if is_spaced { most } else { most.min(FIRST) };
        let (fastest, latency) = (Duration::MAX, Duration::ZERO);
        Concurrency { first, now: first, most, answers: 0, fastest, latency, last: None }
    }

    /// Whether one more may be sent beside those in flight.
    pub(super) fn has_room(&mut self, in_flight: usize) -> bool {
        if in_flight == 0 && self.last.is_some_and(|last| last.elapsed() > REST) {
            self.now = self.first;
        }
        in_flight < self.now
    }

    /// Returns how many may be in flight.
    pub(super) fn limit(&self) -> usize {
        self.now
    }

    /// Returns how long answers take; zero before the first.
    pub(super) fn latency(&self) -> Duration {
        self.latency
    }

    /// Notes an answer: how long it took, and whether as many were in flight as might be.
    pub(super) fn answered(&mut self, took: Duration, was_full: bool) {
        self.latency = if self.latency.is_zero() { took } else { (self.latency * 15 + took) / 16 };
        self.fastest = self.fastest.min(took);
        self.answers += 1;
        self.last = Some(Instant::now());
        let is_far = self.answers >= SAMPLE && self.fastest >= NEAR;
        let most = if is_far { self.most } else { self.most.min(NEAR_MAX) };
        if was_full && self.now < most {
            self.now += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(requests: u32) -> Limits {
        let rate = Some(Rate { requests, per: Duration::from_secs(3) });
        Limits { max_in_flight: 512, rate, ..Limits::GENEROUS }
    }

    /// The requests in flight after each of some answer times, all of them as many as may be.
    fn in_flight(took: Duration, rounds: usize) -> Vec<usize> {
        let mut concurrency = Concurrency::new(&limits(u32::MAX));
        let round = |_| {
            for _ in 0..concurrency.limit() {
                concurrency.answered(took, true);
            }
            concurrency.limit()
        };
        (0..rounds).map(round).collect()
    }

    #[test]
    fn no_platform_is_given_hundreds_of_connections_at_once() {
        assert_eq!(in_flight(Duration::from_millis(60), 5), [64, 128, 256, 512, 512]);
    }

    #[test]
    fn a_platform_that_answers_at_once_gets_no_more_requests_than_keep_it_busy() {
        assert_eq!(in_flight(Duration::from_millis(2), 3), [64, 64, 64]);
        assert_eq!(Concurrency::new(&Limits::GENEROUS).limit(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_documented_rate_alone_decides() {
        let mut concurrency = Concurrency::new(&limits(3_000));
        (0..100).for_each(|_| concurrency.answered(Duration::from_millis(2), false));
        assert_eq!(concurrency.limit(), 512);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_rest_it_begins_with_few_again() {
        let mut concurrency = Concurrency::new(&limits(u32::MAX));
        (0..400).for_each(|_| concurrency.answered(Duration::from_millis(60), true));
        assert_eq!(concurrency.limit(), 432);
        tokio::time::advance(REST + NEAR).await;
        assert!(concurrency.has_room(33) && concurrency.has_room(0) && !concurrency.has_room(32));
        concurrency.answered(Duration::from_millis(60), false);
        assert_eq!(concurrency.limit(), 32, "it was not full");
    }
}
