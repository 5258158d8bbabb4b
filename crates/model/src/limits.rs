//! How much and how fast a destination accepts.

use std::time::Duration;

/// A documented request rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests that may be sent …
    pub requests: u32,
    /// … in any span of this length.
    pub per: Duration,
}

/// What one request may hold and how often one may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Items in a request, at most.
    pub max_items: usize,
    /// Bytes in a request, at most, measured by [`crate::Destination::estimated_size`].
    pub max_bytes: usize,
    /// How long a request that is not full waits for more items. With one request in flight, a
    /// half-full request is sent at once.
    pub linger: Duration,
    /// Requests in flight at once, at most.
    pub max_in_flight: usize,
    /// The documented rate, shared by everything of this connection with the same `bucket`.
    pub rate: Option<Rate>,
    /// Which of the connection's limits this counts against, for example `users.track`.
    pub bucket: &'static str,
    /// Whether a request holds items of one user only.
    pub single_user: bool,
    /// The least time between two requests for the same user.
    pub min_user_interval: Duration,
}

impl Limits {
    /// Generous limits for tests and the built-in platform.
    pub const GENEROUS: Limits = Limits {
        max_items: 500,
        max_bytes: 4 << 20,
        linger: Duration::from_millis(20),
        max_in_flight: 8,
        rate: None,
        bucket: "",
        single_user: false,
        min_user_interval: Duration::ZERO,
    };
}
