//! What a run moves: rows that become records, or events.

use std::hash::Hash;

use async_trait::async_trait;
use tidegate_model::store::{Delivered, Fate, IntentRow, RowFate};
use tidegate_model::{Batch, Checkpoint, Error, Fingerprint, Reason, Value};

/// The two names of an item: of its key, and of this version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) key: Fingerprint,
    pub(crate) version: Fingerprint,
}

/// An item that was made ready to be sent, or why it cannot be.
pub(crate) struct Loaded<S, K> {
    pub(crate) sent: Result<S, Reason>,
    /// What its fate is told with.
    pub(crate) kept: K,
}

/// How an item that was read becomes one that is sent, and what the ledger
/// keeps of it. Everything else about a run is the same for all freight.
#[async_trait]
pub(crate) trait Freight: Send + Sync + 'static {
    /// What the feed gives.
    type Read: Send + Sync + 'static;
    /// What the destination takes.
    type Sent: Send + Sync + 'static;
    /// What is kept of an item while it is under way.
    type Kept: Send + Sync + 'static;
    /// Those whose items keep their order.
    type User: Clone + Eq + Hash + Send + Sync + 'static;

    /// Whether the batch has the shape that the run was opened for.
    fn fits(&self, batch: &Batch<Self::Read>) -> Result<(), Error>;

    /// The names of an item; `scratch` is reused between items.
    fn names(&self, item: &Self::Read, scratch: &mut Vec<u8>) -> Names;

    /// The item's cursor, where the run goes by one.
    fn cursor<'a>(&self, item: &'a Self::Read) -> Option<&'a Value>;

    /// Makes an item ready to be sent.
    fn load(&self, item: Self::Read, names: Names) -> Loaded<Self::Sent, Self::Kept>;

    /// Whose item it is, where a request may hold those of one user only.
    fn user<'a>(&self, sent: &'a Self::Sent) -> &'a Self::User;

    /// The hash of what items must have in common to keep their order.
    fn deal(&self, sent: &Self::Sent) -> u64;

    /// What is written down before an item is sent that could not be repeated safely.
    fn intent(&self, names: Names, kept: &Self::Kept, sent: &Self::Sent) -> IntentRow;

    /// Adds an item that was delivered, and its place in the batch, to those that were.
    fn delivered(
        &self,
        place: u32,
        names: Names,
        kept: Self::Kept,
        sent: &Self::Sent,
        delivered: &mut Delivered,
    );

    /// The fate of another item as the ledger keeps it; `sent` where it could be loaded.
    fn fate(&self, names: Names, kept: Self::Kept, sent: Option<&Self::Sent>, fate: Fate) -> RowFate;

    /// Whether the ledger lists items that were delivered; where not, the feed
    /// itself remembers them.
    fn lists_delivered(&self) -> bool;

    /// Told that everything up to `checkpoint` is settled.
    async fn settled(&self, checkpoint: &Checkpoint) -> Result<(), Error>;
}
