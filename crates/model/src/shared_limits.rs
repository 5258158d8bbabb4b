//! Limits of requests that several processes share.

use std::time::Duration;

use async_trait::async_trait;

use crate::Error;

/// What a process is told that asks for turns of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booked {
    /// The span of time that it asked for is its own. It begins this long after the answer.
    In(Duration),
    /// Nothing yet: a process that was alone until now has not noticed this one, and sends as it likes.
    NotYet,
}

/// Turns of the limits of connections, shared by the processes that run syncs on one store.
///
/// A turn is a span of time: no two processes have the same one, so that together they send no faster than
/// one process would. The turns of a process that has died pass unused.
#[async_trait]
pub trait SharedLimits: Send + Sync {
    /// Returns whether no other process runs syncs now. Such a process needs no turns and asks for none.
    fn is_alone(&self) -> bool;

    /// Books the next free span of a limit for this process.
    ///
    /// # Errors
    /// If the store cannot be reached or written.
    async fn book(&self, limit: &str, span: Duration) -> Result<Booked, Error>;

    /// Lets no process book a time before the end of `span`, from now on: the other side asked to wait.
    ///
    /// # Errors
    /// If the store cannot be reached or written.
    async fn close(&self, limit: &str, span: Duration) -> Result<(), Error>;
}

/// The limits of a store that one process has for itself.
pub struct NotShared;

#[async_trait]
impl SharedLimits for NotShared {
    fn is_alone(&self) -> bool {
        true
    }

    async fn book(&self, _: &str, _: Duration) -> Result<Booked, Error> {
        Ok(Booked::In(Duration::ZERO))
    }

    async fn close(&self, _: &str, _: Duration) -> Result<(), Error> {
        Ok(())
    }
}
