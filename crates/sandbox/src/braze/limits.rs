//! The documented request rates, and what their headers say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tidegate_model::Rate;

use super::rules;
use crate::window::{Allowance, Window};

/// One counter for each group of endpoints that share a limit.
pub(super) struct RateLimits {
    enforced: bool,
    track: Window,
    users: Window,
    export: Window,
    items: Window,
    catalogs: Window,
    /// Limits of `/users/track` by a contract for monthly active users.
    contract: Mutex<Option<Contract>>,
    /// Requests that were beyond a limit.
    refused: AtomicU64,
}

/// A contract for monthly active users: this many requests in an hour, and in three seconds of it.
///
/// Source: Braze docs, POST /users/track, "Monthly Active Users CY 24-25, Universal MAU, Web MAU,
/// and Mobile MAU". The numbers are those of the contract: Braze publishes none.
struct Contract {
    hour: Window,
    burst: Window,
}

/// What a request is told of its limit.
pub(super) struct Standing {
    allowance: Allowance,
    form: Form,
}

/// Which headers tell it.
enum Form {
    /// `X-RateLimit-Reset` is a time since 1970.
    Epoch,
    /// `X-RateLimit-Reset` is the number of seconds that are left.
    SecondsLeft,
}

impl RateLimits {
    pub(super) fn new(enforced: bool) -> RateLimits {
        let window = |rate| Window::new(rate, enforced);
        RateLimits {
            enforced,
            track: window(rules::TRACK_RATE),
            users: window(rules::USERS_RATE),
            export: window(rules::EXPORT_RATE),
            items: window(rules::ITEMS_RATE),
            catalogs: window(rules::CATALOGS_RATE),
            contract: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Changes the limits of `/users/track`: `{ "hourly": 1000, "burst": 50 }` are those of a
    /// contract for monthly active users, `{}` are the classic ones. Returns whether it could be read.
    pub(super) fn set_contract(&self, body: &[u8]) -> bool {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Numbers {
            hourly: u32,
            burst: u32,
        }
        let window = |requests, per| Window::new(Rate { requests, per }, self.enforced);
        let contract = match serde_json::from_slice::<Numbers>(body) {
            Ok(Numbers { hourly, burst }) => Some(Contract {
                hour: window(hourly, Duration::from_secs(3_600)),
                burst: window(burst, Duration::from_secs(3)),
            }),
            Err(_) if body.trim_ascii() == b"{}" => None,
            Err(_) => return false,
        };
        *self.contract.lock().unwrap_or_else(PoisonError::into_inner) = contract;
        true
    }

    /// Returns how many requests were beyond a limit.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts a request to `path`.
    pub(super) fn take(&self, path: &str, now: Timestamp) -> Standing {
        let standing = self.count(path, now);
        if !standing.allowed() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        standing
    }

    fn count(&self, path: &str, now: Timestamp) -> Standing {
        let window = if path == "/users/track" {
            let contract = self.contract.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(contract) = &*contract {
                return contract.take(now);
            }
            &self.track
        } else if path == "/users/export/ids" {
            &self.export
        } else if path.starts_with("/catalogs/") && path.ends_with("/items") {
            &self.items
        } else if path.starts_with("/catalogs") {
            &self.catalogs
        } else {
            &self.users
        };
        Standing { allowance: window.take(now), form: Form::Epoch }
    }
}

impl Contract {
    /// Counts a request. One that the burst refuses does not count by the hour.
    fn take(&self, now: Timestamp) -> Standing {
        let burst = self.burst.take(now);
        let allowance = if burst.allowed { self.hour.take(now) } else { burst };
        Standing { allowance, form: Form::SecondsLeft }
    }
}

impl Standing {
    /// Whether the request is inside the limit.
    pub(super) fn allowed(&self) -> bool {
        self.allowance.allowed
    }

    /// The standing of a request that is throttled on demand: for one second.
    pub(super) fn exhausted(self, now: Timestamp) -> Standing {
        let reset = now.checked_add(SignedDuration::from_secs(1)).unwrap_or(now);
        Standing { allowance: Allowance { allowed: false, remaining: 0, reset, ..self.allowance }, ..self }
    }

    /// Writes the headers of the limit.
    ///
    /// By the newer contracts, a refusal has `X-Ratelimit-Retry-After` and none of the others.
    pub(super) fn write(&self, headers: &mut HeaderMap, now: Timestamp) {
        self.allowance.write(headers);
        if let Form::Epoch = self.form {
            return;
        }
        let millis = self.allowance.reset.duration_since(now).as_millis();
        let seconds = i64::try_from(millis.max(0)).unwrap_or(i64::MAX).div_euclid(1_000)
            + i64::from(millis.rem_euclid(1_000) > 0);
        if self.allowed() {
            headers.insert("x-ratelimit-reset", HeaderValue::from(seconds));
            return;
        }
        for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
            headers.remove(name);
        }
        headers.insert("x-ratelimit-retry-after", HeaderValue::from(seconds));
    }
}
