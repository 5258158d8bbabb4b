//! Systems that take deliveries.

use async_trait::async_trait;

use crate::{Checks, Error, Limits, LoggedEvent, ObjectSpec, Reason, Receipt, Record};

/// Anything that takes deliveries of `T`.
#[async_trait]
pub trait Destination<T>: Send + Sync
where
    T: Send + Sync + 'static,
{
    /// Connects and checks the least privilege that delivering needs.
    ///
    /// # Errors
    /// If the checks themselves cannot be carried out. A missing privilege is a failed check.
    async fn check(&self) -> Result<Checks, Error>;

    /// Returns what a request may hold and how often one may be sent.
    fn limits(&self) -> Limits;

    /// Returns about how many bytes an item takes in a request.
    fn estimated_size(&self, item: &T) -> usize;

    /// Checks the item against rules that need no request: lengths, forbidden values,
    /// missing parts.
    ///
    /// # Errors
    /// The reason why the item would be rejected.
    fn validate(&self, item: &T) -> Result<(), Reason>;

    /// Does work on a request that has no effect outside, such as encoding it.
    ///
    /// Called only if one request is sent at a time, on a thread that may block, usually while the
    /// previous request is delivered or prepared: two may be prepared at once. The destination
    /// keeps the result until `deliver` is called with the same items. That call may not come, or
    /// come with a subset of them, because a rejected request is halved.
    fn prepare(&self, items: &[T]) {
        let _ = items;
    }

    /// Delivers `items` and returns one outcome for each, in order:
    /// `outcomes.len() == items.len()`. A receipt of another length makes all of them `Unknown`.
    ///
    /// Has at most one effect; may retry a commit that had none. Does not buffer: a `Delivered`
    /// item is durable at the other side. May be called in parallel, up to
    /// [`Limits::max_in_flight`].
    ///
    /// # Errors
    /// Only if none of the items took effect. If that is not certain, the items are `Unknown`.
    async fn deliver(&self, items: &[T]) -> Result<Receipt, Error>;
}

/// A customer-engagement platform, opened for one kind of object.
pub trait Platform: Destination<Record> {
    /// Returns the kind of object it was opened for and how it treats it.
    fn object(&self) -> ObjectSpec;

    /// Returns what people should know before they send such objects, each with what to do about
    /// it. Nothing by default.
    fn caveats(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Returns the attributes of users that are sent with every change of another one, for example
    /// because they say how it is taken. None by default.
    fn always_sent(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the unit in which the vendor bills what is sent, for example `data point`. None by default.
    fn billing_unit(&self) -> Option<&'static str> {
        None
    }

    /// Returns how many of these units a record costs.
    fn billed_units(&self, record: &Record) -> u64 {
        let _ = record;
        0
    }
}

/// A system that events are exported to, opened for one export.
///
/// Readers can remove events that were sent twice: each carries its id. A sink that can do
/// better says so in its documentation.
pub type Sink = dyn Destination<LoggedEvent>;
