//! The documented request rates.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::Rate;

use crate::window::{Allowance, Window};

const MINUTE: Duration = Duration::from_secs(60);

/// One counter for each group of endpoints that share a limit.
///
/// Source: Braze docs, API rate limits (2026).
pub(super) struct RateLimits {
    track: Window,
    users: Window,
    export: Window,
    items: Window,
    catalogs: Window,
}

impl RateLimits {
    pub(super) fn new(enforced: bool) -> RateLimits {
        let window = |requests, per| Window::new(Rate { requests, per }, enforced);
        RateLimits {
            track: window(3_000, Duration::from_secs(3)),
            users: window(20_000, MINUTE),
            export: window(250, MINUTE),
            items: window(16_000, MINUTE),
            catalogs: window(50, MINUTE),
        }
    }

    /// Counts a request to `path`.
    pub(super) fn take(&self, path: &str, now: Timestamp) -> Allowance {
        let window = if path == "/users/track" {
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
        window.take(now)
    }
}

/// What the headers say of a request that is throttled on demand: one second.
pub(super) fn exhausted(allowance: Allowance, now: Timestamp) -> Allowance {
    let reset = now.checked_add(SignedDuration::from_secs(1)).unwrap_or(now);
    Allowance { allowed: false, remaining: 0, reset, ..allowance }
}
