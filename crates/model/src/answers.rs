//! Answers to requests of the API that may be sent twice.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;

/// An answer that is kept for a repetition of its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers that belong to it, such as `location`, by their names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// A request that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunRequest {
    /// The hash of what was asked for.
    pub request: String,
    /// When it began.
    pub at: Timestamp,
    /// Its answer, if it has ended.
    pub answer: Option<KeptAnswer>,
}

/// The part of a store that keeps answers. Durable as [`Store`](crate::Store) is; several processes may use
/// one.
///
/// # Errors
/// As for [`Store`](crate::Store).
#[async_trait]
pub trait AnswerBook: Send + Sync {
    /// Notes that a request begins, unless one with this key has begun. Returns the one that has. Those that
    /// began before `expired` are forgotten.
    async fn begin(
        &self,
        key: &str,
        request: &str,
        at: Timestamp,
        expired: Timestamp,
    ) -> Result<Option<BegunRequest>, Error>;

    /// Keeps the answer to a request that has begun.
    async fn keep(&self, key: &str, answer: &KeptAnswer) -> Result<(), Error>;

    /// Forgets a request, so that its key can be used again.
    async fn forget(&self, key: &str) -> Result<(), Error>;
}
