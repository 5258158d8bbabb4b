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
    /// Items in a request.
    pub items_max: usize,
    /// Bytes in a request, measured by [`crate::Destination::weigh`].
    pub bytes_max: usize,
    /// How long a request that is not full waits for more items. If only one is in flight
    /// at a time, half a request does not wait.
    pub fill: Duration,
    /// Requests in flight at once.
    pub requests_at_once: usize,
    /// The documented rate, shared by everything of this connection with the same `bucket`.
    pub rate: Option<Rate>,
    /// Which of the connection's limits this counts against, for example `users.track`.
    pub bucket: &'static str,
    /// Whether a request holds items of one user only.
    pub one_user: bool,
    /// The least time between two requests for the same user.
    pub user_interval: Duration,
}

impl Limits {
    /// Limits that never get in the way: for tests and the embedded platform.
    pub const UNBOUNDED: Limits = Limits {
        items_max: 500,
        bytes_max: 4 << 20,
        fill: Duration::from_millis(20),
        requests_at_once: 8,
        rate: None,
        bucket: "",
        one_user: false,
        user_interval: Duration::ZERO,
    };
}
