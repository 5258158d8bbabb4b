//! Faults of a sandbox, on request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tidegate_model::{Faults, HttpFailure, PoisonAnswer};

/// Decides the outcome of every request by its number and the seed.
pub(crate) struct FaultPlan {
    faults: Arc<Mutex<Faults>>,
    requests: AtomicU64,
}

/// The outcome of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestOutcome {
    /// It is served.
    Served,
    /// It is answered 401, without effect.
    Revoked,
    /// It is answered 429, without effect.
    Throttled,
    /// It is answered 503, without effect.
    Unavailable,
    /// It takes effect and gets no response.
    Dropped,
    /// It takes effect and is answered 500.
    Failed,
}

/// One request and its outcome.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// Its outcome.
    pub(crate) outcome: RequestOutcome,
    rejected: f64,
    /// Items with this text are rejected by an error that does not name them.
    unnamed: Option<String>,
    seed: u64,
}

impl FaultPlan {
    /// Follows `faults`, also when they change later.
    pub(crate) fn new(faults: Arc<Mutex<Faults>>) -> FaultPlan {
        FaultPlan { faults, requests: AtomicU64::new(0) }
    }

    /// Waits for the latency and decides the outcome of the next request.
    pub(crate) async fn turn(&self, request: &Request<Bytes>) -> Turn {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if faults.latency_ms > 0 {
            wait(Duration::from_millis(faults.latency_ms)).await;
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        Turn::decide(&faults, number).of(&faults, request)
    }

    /// How many requests had their turn.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// What the sender sees of a dropped request.
    pub(crate) fn dropped() -> HttpFailure {
        HttpFailure::ResponseLost("the sandbox dropped the answer, as its faults ask for".to_owned())
    }
}

impl Turn {
    fn decide(faults: &Faults, number: u64) -> Turn {
        let seed = mix(faults.seed ^ mix(number));
        // One throw decides: shares of the same line that follow one another.
        let mut throw = share(seed);
        let mut hits = |part: f64| {
            let hit = throw < part;
            throw -= part;
            hit
        };
        let outcome = if faults.revoked {
            RequestOutcome::Revoked
        } else if hits(faults.throttled) {
            RequestOutcome::Throttled
        } else if hits(faults.unavailable) {
            RequestOutcome::Unavailable
        } else if hits(faults.dropped) {
            RequestOutcome::Dropped
        } else {
            RequestOutcome::Served
        };
        Turn { outcome, rejected: faults.rejected, unnamed: None, seed }
    }

    /// The turn of a request that may hold what is answered with uncertainty.
    fn of(mut self, faults: &Faults, request: &Request<Bytes>) -> Turn {
        let Some(poison) = faults.poison.as_deref().filter(|text| !text.is_empty()) else { return self };
        let is_poisoned = contains(request.body(), poison) || request.uri().path().contains(poison);
        if self.outcome != RequestOutcome::Served || !is_poisoned {
            return self;
        }
        match faults.poison_answer {
            PoisonAnswer::Unnamed => self.unnamed = Some(poison.to_owned()),
            PoisonAnswer::Failed => self.outcome = RequestOutcome::Failed,
            PoisonAnswer::Dropped => self.outcome = RequestOutcome::Dropped,
        }
        self
    }

    /// The same turn at an endpoint whose answers name what they are about.
    pub(crate) fn without_unnamed(mut self) -> Turn {
        if self.unnamed.take().is_some() {
            self.outcome = RequestOutcome::Failed;
        }
        self
    }

    /// Returns whether an item with this JSON is one of them.
    pub(crate) fn is_unnamed(&self, item: &str) -> bool {
        self.unnamed.as_ref().is_some_and(|poison| item.contains(poison))
    }

    /// Returns whether the item at this index of the request is rejected.
    pub(crate) fn refuses(&self, item: usize) -> bool {
        self.rejected > 0.0 && share(mix(self.seed.wrapping_add(1 + item as u64))) < self.rejected
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    memchr::memmem::find(body, text.as_bytes()).is_some()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox is the other side: its slowness is its own, not the engine's"
)]
async fn wait(latency: Duration) {
    tokio::time::sleep(latency).await;
}

/// Spreads a number over 64 bits (splitmix64).
fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The number as a share between 0 and 1.
fn share(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(faults: &Faults, count: u64) -> Vec<RequestOutcome> {
        (0..count).map(|number| Turn::decide(faults, number).outcome).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let faults = Faults { throttled: 0.3, dropped: 0.3, seed: 7, ..Faults::default() };
        assert_eq!(outcomes(&faults, 50), outcomes(&faults, 50));
        assert_ne!(outcomes(&faults, 50), outcomes(&Faults { seed: 8, ..faults }, 50));
    }

    #[test]
    fn shares_are_kept() {
        let faults = Faults { throttled: 0.2, unavailable: 0.1, dropped: 0.3, ..Faults::default() };
        let outcomes = outcomes(&faults, 10_000);
        let count = |outcome| outcomes.iter().filter(|other| **other == outcome).count();
        assert!((1_800..2_200).contains(&count(RequestOutcome::Throttled)));
        assert!((800..1_200).contains(&count(RequestOutcome::Unavailable)));
        assert!((2_700..3_300).contains(&count(RequestOutcome::Dropped)));
    }

    #[test]
    fn refused_items_are_spread_over_a_request() {
        let faults = Faults { rejected: 0.5, ..Faults::default() };
        let turn = Turn::decide(&faults, 3);
        let refused = (0..1_000).filter(|item| turn.refuses(*item)).count();
        assert!((400..600).contains(&refused), "{refused}");
        assert!((0..1_000).all(|item| !Turn::decide(&Faults::default(), 3).refuses(item)));
    }
}
