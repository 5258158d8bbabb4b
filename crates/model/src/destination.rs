//! Systems that take deliveries.

use async_trait::async_trait;

use crate::{Checks, Error, Limits, LoggedEvent, ObjectSpec, Reason, Receipt, Record};

/// Anything that takes deliveries of `T`.
#[async_trait]
pub trait Destination<T>: Send + Sync
where
    T: Send + Sync + 'static,
{
    /// Connects and proves the least privilege that delivering needs.
    ///
    /// # Errors
    /// Only what prevents looking at all.
    async fn check(&self) -> Result<Checks, Error>;

    /// What a request may hold and how often one may be sent.
    fn limits(&self) -> Limits;

    /// Returns about how many bytes an item takes in a request.
    fn estimated_size(&self, item: &T) -> usize;

    /// Checks the item against rules that need no request: lengths, forbidden values,
    /// missing parts.
    ///
    /// # Errors
    /// Why it would not.
    fn validate(&self, item: &T) -> Result<(), Reason>;

    /// Does work on a request that has no effect outside, such as encoding it.
    ///
    /// Called where one request is sent at a time, on a thread that may block, and as a
    /// rule while the request before it is delivered or prepared, so that two may be
    /// prepared at once. The destination keeps what comes of it until `deliver` asks for
    /// the same items. `deliver` may never be called with these items, or with a subset of
    /// them: a rejected request is halved.
    fn prepare(&self, items: &[T]) {
        let _ = items;
    }

    /// Delivers `items` once and reports one outcome for each, in order.
    ///
    /// Neither retries nor buffers: what is `Delivered` is durable at the far
    /// side. An `Err` says that none of the items took effect; when that is not
    /// certain, the items are `Unknown`.
    async fn deliver(&self, items: &[T]) -> Result<Receipt, Error>;
}

/// A customer-engagement platform, opened for one kind of object.
pub trait Platform: Destination<Record> {
    /// The kind it was opened for and how it treats it.
    fn object(&self) -> ObjectSpec;
}

/// A system that events are exported to, opened for one export.
///
/// Readers can remove events that were sent twice: each carries its id. A sink that can do
/// better says so in its documentation.
pub type Sink = dyn Destination<LoggedEvent>;
