//! Work on a sync that another process holds.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Claim, Error, SyncId};

/// How long a request is open after its asker has last asked for it.
pub const ASKED_FOR: Duration = Duration::from_secs(10);
/// How long after that an asker counts as gone, so that its request is removed.
pub const FORGOTTEN: Duration = Duration::from_secs(60);

/// Work on a sync that was asked for while another process held it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkRequest {
    /// An id that is unique in the store.
    pub id: String,
    /// The task, in the words of the engine.
    pub work: String,
}

/// Work that was done for an asker that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbandonedWork {
    /// The sync.
    pub sync: SyncId,
    /// The task, in the words of the engine.
    pub work: String,
    /// What came of it, in the words of the engine.
    pub answer: String,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// It waits for the holder.
    Open,
    /// A holder has begun with it.
    Begun,
    /// It is done, and its answer waits to be taken.
    Answered,
    /// There is no such request: it was answered and taken, withdrawn, or removed because its
    /// asker seemed gone or a user was erased.
    Gone,
}

/// Requests from one process to another, for work on a sync that the other one holds.
///
/// A request is carried out only while its asker asks for it: one that was abandoned is never
/// begun.
///
/// # Errors
/// As those of a [`Store`](crate::Store).
#[async_trait]
pub trait WorkRequests: Send + Sync {
    /// Asks the process that holds a sync for work on it. Returns the name of the request, which
    /// is open for [`ASKED_FOR`].
    async fn request_work(&self, sync: &SyncId, work: &str) -> Result<String, Error>;

    /// Asks for it once more, so that it is open for as long again. Returns how far it is.
    async fn keep_request(&self, id: &str) -> Result<RequestState, Error>;

    /// Returns the requests for a sync that its holder may begin, oldest first.
    async fn requested_work(&self, claim: &Claim) -> Result<Vec<WorkRequest>, Error>;

    /// Notes that the holder begins with a request: from now on it cannot be withdrawn. Returns
    /// `false` if it may not begin: the request was withdrawn, answered, begun with the same
    /// claim, or is no longer asked for. What an earlier holder began and did not answer may be
    /// begun again.
    async fn begin_work(&self, claim: &Claim, id: &str) -> Result<bool, Error>;

    /// Answers a request for the sync that is held. Returns `false` if the request is gone.
    async fn answer_work(&self, claim: &Claim, id: &str, answer: &str) -> Result<bool, Error>;

    /// Returns the answer to a request and forgets both; `None` if there is none.
    async fn take_answer(&self, id: &str) -> Result<Option<String>, Error>;

    /// Takes a request back. Returns whether it had not been begun.
    async fn withdraw_work(&self, id: &str) -> Result<bool, Error>;

    /// Removes requests whose askers have been gone for [`FORGOTTEN`], also those that a holder
    /// began. Returns those that were answered, each once.
    async fn forget_requests(&self) -> Result<Vec<AbandonedWork>, Error>;
}
