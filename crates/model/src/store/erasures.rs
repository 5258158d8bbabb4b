//! Users who are erased.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Erasure, ErasureCounts, Error};

/// Erases users, and keeps that it was done.
///
/// # Errors
/// As those of a [`Store`](crate::Store).
#[async_trait]
pub trait ErasureStore: Send + Sync {
    /// Erases a user from failed rows, kept users, intents and history, so that no file of the store holds
    /// the user any more. Called while no run is under way.
    async fn erase_user(&self, user: &str) -> Result<ErasureCounts, Error>;

    /// Notes an erasure without the user's id.
    async fn note_erasure(&self, user: &str, removed: &ErasureCounts, at: Timestamp) -> Result<(), Error>;

    /// Returns the erasures that were noted, newest first; of one user if one is given.
    async fn erasures(&self, user: Option<&str>) -> Result<Vec<Erasure>, Error>;
}
