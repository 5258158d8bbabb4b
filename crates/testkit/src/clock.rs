//! Time that a test holds in its hand.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tidegate_model::Clock;

/// A clock that moves only when it is told to. Clones share their time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<Mutex<Timestamp>>,
}

impl ManualClock {
    /// Returns a clock that shows `now`.
    pub fn at(now: Timestamp) -> ManualClock {
        ManualClock { now: Arc::new(Mutex::new(now)) }
    }

    /// Moves on.
    pub fn advance(&self, span: SignedDuration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.checked_add(span).unwrap_or(Timestamp::MAX);
    }

    /// Stands at another time, earlier or later.
    pub fn set(&self, now: Timestamp) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Default for ManualClock {
    /// Stands at 2026-03-01T12:00:00Z.
    fn default() -> ManualClock {
        ManualClock::at(Timestamp::constant(1_772_366_400, 0))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_their_time() {
        let clock = ManualClock::default();
        assert_eq!(clock.now().to_string(), "2026-03-01T12:00:00Z");

        let same = clock.clone();
        same.advance(SignedDuration::from_secs(90));

        assert_eq!(clock.now().to_string(), "2026-03-01T12:01:30Z");
        assert_eq!(same.now(), clock.now());
    }
}
