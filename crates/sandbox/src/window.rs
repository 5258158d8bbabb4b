//! A fixed-window rate counter, for sandboxes.

use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use tidegate_model::Rate;

/// Counts requests in windows that start at whole multiples of their length.
pub(crate) struct Window {
    rate: Rate,
    enforced: bool,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    window: i64,
    requests: u32,
}

/// What is left after one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Whether the request is inside the limit.
    pub(crate) allowed: bool,
    /// Requests in a window.
    pub(crate) limit: u32,
    /// Requests that are left in this window.
    pub(crate) remaining: u32,
    /// When the next window starts.
    pub(crate) reset: Timestamp,
}

impl Window {
    /// A counter; if the rate is not `enforced`, nothing is ever used up.
    pub(crate) fn new(rate: Rate, enforced: bool) -> Window {
        Window { rate, enforced, used: Mutex::default() }
    }

    /// Counts one request.
    pub(crate) fn take(&self, now: Timestamp) -> Allowance {
        let length = i64::try_from(self.rate.per.as_millis()).unwrap_or(i64::MAX).max(1);
        let window = now.as_millisecond().div_euclid(length);
        let reset =
            Timestamp::from_millisecond((window + 1).saturating_mul(length)).unwrap_or(Timestamp::MAX);
        let limit = self.rate.requests;
        if !self.enforced {
            return Allowance { allowed: true, limit, remaining: limit, reset };
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.window != window {
            *used = Used { window, requests: 0 };
        }
        let allowed = used.requests < limit;
        if allowed {
            used.requests += 1;
        }
        Allowance { allowed, limit, remaining: limit - used.requests, reset }
    }
}

impl Allowance {
    /// Writes `X-RateLimit-Limit`, `-Remaining` and `-Reset` (epoch seconds, rounded up).
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let reset = self.reset.as_millisecond().div_euclid(1000)
            + i64::from(self.reset.as_millisecond().rem_euclid(1000) > 0);
        headers.insert("x-ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: Rate = Rate { requests: 2, per: Duration::from_secs(3) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    #[test]
    fn a_full_window_refuses_until_the_next_one() {
        let window = Window::new(RATE, true);
        assert_eq!(window.take(at(3)).remaining, 1);
        assert!(window.take(at(4)).allowed);
        let refused = window.take(at(5));
        assert!(!refused.allowed);
        assert_eq!(refused.reset, at(6));
        assert!(window.take(at(6)).allowed);
    }

    #[test]
    fn a_window_that_is_not_enforced_is_never_used_up() {
        let window = Window::new(RATE, false);
        for _ in 0..10 {
            assert_eq!(window.take(at(3)).remaining, 2);
        }
    }

    #[test]
    fn the_headers_hold_whole_seconds() {
        let mut headers = HeaderMap::new();
        Window::new(RATE, true).take(at(4)).write(&mut headers);
        assert_eq!(headers["x-ratelimit-limit"], "2");
        assert_eq!(headers["x-ratelimit-remaining"], "1");
        assert_eq!(headers["x-ratelimit-reset"], "6");
    }
}
