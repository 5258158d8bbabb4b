//! How much and how fast a destination accepts.

use std::time::Duration;

/// A documented request rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The most requests in any span of `per`.
    pub requests: u32,
    /// The length of the span.
    pub per: Duration,
}

/// The size of requests, and how often they may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most items in a request.
    pub max_items: usize,
    /// The most bytes in a request, measured by [`crate::Destination::estimated_size`].
    pub max_bytes: usize,
    /// How long a request that is not full waits for more items. With one request in flight, a
    /// half-full request is sent at once.
    pub linger: Duration,
    /// The most requests in flight at once.
    pub max_in_flight: usize,
    /// The documented rate, shared by all roles of this connection with the same `bucket`; `None` if
    /// none is documented.
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
