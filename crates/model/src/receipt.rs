//! What one delivery did, row by row.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Why one row was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable name to group by: ours in snake_case, or the vendor's own.
    pub code: Cow<'static, str>,
    /// The sentence for people; the vendor's own words where it has some.
    pub message: String,
}

impl Reason {
    /// The code of a row that is gone and whose identifier is not known: no later run will know it either.
    pub const IDENTIFIER_NOT_KEPT: &str = "identifier_not_kept";

    /// Creates a reason with its stable name and its sentence.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Reason {
        Reason { code: code.into(), message: message.into() }
    }
}

/// The result of one item of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect and is durable at the other side.
    Delivered,
    /// Never acceptable as it is: recorded with the row and skipped.
    Rejected(Reason),
    /// Acceptable later: the engine sends it again.
    Deferred(Reason),
    /// It was sent but the answer was lost, or does not tell its effect: resolved by the
    /// object's idempotency.
    Unknown(Reason),
    /// The answer says that something of the request was not accepted, and does not say what: it
    /// may be this item. Resolved as `Unknown`, and sent apart from the others. A single such
    /// item of a request is the one that was not accepted.
    Unnamed(Reason),
}

/// What a response said about the remaining rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitStatus {
    /// Requests that may still be sent until `reset`.
    pub remaining: u64,
    /// When the limit is reset.
    pub reset: Timestamp,
}

/// The result of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// One outcome for each item, in the order of the items.
    pub outcomes: Vec<Outcome>,
    /// What the response said about the rate limit, if anything.
    pub rate_limit: Option<RateLimitStatus>,
}

impl Receipt {
    /// Returns a receipt of `items` delivered items.
    pub fn delivered(items: usize) -> Receipt {
        Receipt { outcomes: vec![Outcome::Delivered; items], rate_limit: None }
    }

    /// Returns a receipt of `items` items whose effect is unknown: the request was sent and no
    /// answer came.
    pub fn unknown(items: usize, reason: &Reason) -> Receipt {
        Receipt { outcomes: vec![Outcome::Unknown(reason.clone()); items], rate_limit: None }
    }
}
