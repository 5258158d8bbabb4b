//! A token bucket: a number of requests a second, and those of one second at once.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// Counts requests against a rate.
pub(super) struct Bucket {
    per_second: f64,
    level: Mutex<Level>,
}

struct Level {
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(per_second: u32, now: Timestamp) -> Bucket {
        let per_second = f64::from(per_second);
        Bucket { per_second, level: Mutex::new(Level { tokens: per_second, at: now }) }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// In how many seconds, rounded up, there is one again.
    pub(super) fn take(&self, now: Timestamp) -> Result<(), u64> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is set back gives nothing and takes nothing.
        let passed = now.duration_since(level.at).as_secs_f64().max(0.0);
        level.tokens = (level.tokens + passed * self.per_second).min(self.per_second);
        level.at = now;
        if level.tokens >= 1.0 {
            level.tokens -= 1.0;
            return Ok(());
        }
        // A rate of one a second or more gives the next one within the second.
        Err(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_goes_at_once_and_then_the_rate() {
        let at = |millisecond| Timestamp::from_millisecond(millisecond).expect("time");
        let bucket = Bucket::new(4, at(0));
        let taken = |millisecond| (0..10).filter(|_| bucket.take(at(millisecond)).is_ok()).count();
        assert_eq!(taken(0), 4);
        assert_eq!(taken(100), 0);
        assert_eq!(taken(500), 2);
        assert_eq!(taken(60_000), 4);
        assert_eq!(taken(30_000), 0, "the clock was set back");
        assert_eq!(taken(30_250), 1);
    }
}
