//! Work on a sync that another process holds.

use async_trait::async_trait;

use crate::{Claim, Error, SyncId};

/// Work on a sync that was asked for while another process held it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkRequest {
    /// An id that is unique in the store.
    pub id: String,
    /// The task, in the words of the engine.
    pub work: String,
}

/// Requests from one process to another, for work on a sync that the other one holds.
///
/// # Errors
/// As those of a [`Store`](crate::Store).
#[async_trait]
pub trait WorkRequests: Send + Sync {
    /// Asks the process that holds a sync for work on it. Returns the name of the request.
    async fn request_work(&self, sync: &SyncId, work: &str) -> Result<String, Error>;

    /// Returns the requests for a sync that were not answered, oldest first.
    async fn requested_work(&self, sync: &SyncId) -> Result<Vec<WorkRequest>, Error>;

    /// Answers a request for the sync that is held.
    async fn answer_work(&self, claim: &Claim, id: &str, answer: &str) -> Result<(), Error>;

    /// Returns the answer to a request and forgets both; `None` if there is none yet.
    async fn take_answer(&self, id: &str) -> Result<Option<String>, Error>;

    /// Takes a request back. Returns whether it had not been answered.
    async fn withdraw_work(&self, id: &str) -> Result<bool, Error>;
}
