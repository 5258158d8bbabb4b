//! How items of a run are transformed: rows into records, or events as they are.

use std::hash::Hash;

use async_trait::async_trait;
use tidegate_model::store::{BatchCommit, RowColumns, RowResult, RowStatus, RowVersion, SentUser};
use tidegate_model::{
    Batch, Checkpoint, Error, KeptRow, Origin, PartialRow, Reason, RowHash, RowPart, Text, Value,
};

/// The keys of an item: the hash of its key columns, and of this version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemKeys {
    pub(crate) key: RowHash,
    pub(crate) version: RowHash,
}

impl From<ItemKeys> for RowVersion {
    fn from(keys: ItemKeys) -> RowVersion {
        RowVersion { key: keys.key, row: keys.version }
    }
}

/// What is known of an item of which some values could not be read.
pub(crate) struct PartialItem {
    pub(crate) keys: ItemKeys,
    /// Its key columns as text.
    pub(crate) key_text: Text,
    pub(crate) user: Text,
    /// Its cursor, if the run goes by one and it could be read.
    pub(crate) cursor: Option<Value>,
    /// What is kept of it.
    pub(crate) payload: KeptRow,
}

/// An item that is ready to be sent, or the reason why it cannot be.
pub(crate) struct Prepared<S, C> {
    pub(crate) sent: Result<S, Reason>,
    /// What its result is made from.
    pub(crate) context: C,
}

/// How an item that was read becomes one that is sent, and what the ledger records of it.
/// Everything else about a run is the same for imports and exports.
#[async_trait]
pub(crate) trait Transform: Send + Sync + 'static {
    /// What the feed gives.
    type Read: Send + Sync + 'static;
    /// What the destination takes.
    type Sent: Send + Sync + 'static;
    /// What is kept of an item while it is in flight.
    type Context: Send + Sync + 'static;
    /// Those whose items keep their order.
    type User: Clone + Eq + Hash + Send + Sync + 'static;

    /// Checks that the batch has the columns that the run was opened for.
    fn validate_batch(&self, batch: &Batch<Self::Read>) -> Result<(), Error>;

    /// Returns the keys of an item; `scratch` is reused between items.
    fn identify(&self, item: &Self::Read, origin: Option<&Origin>, scratch: &mut Vec<u8>) -> ItemKeys;

    /// Whether keys tell items apart. If not, and an item has no origin, equal ones are numbered.
    fn has_keys(&self) -> bool;

    /// Prepares for a batch, before any of its items is looked at.
    async fn begin_batch(&self);

    /// Returns what is known of an item that could not be read whole; `input` is its text, if the
    /// source gave it. By default, the feed has none.
    fn partial(
        &self,
        partial: PartialRow,
        input: Option<Text>,
        scratch: &mut Vec<u8>,
    ) -> Option<PartialItem> {
        let _ = (partial, input, scratch);
        None
    }

    /// Returns what is kept of input that is no row at all.
    fn kept_input(&self, part: RowPart) -> KeptRow;

    /// The item's cursor, where the run goes by one.
    fn cursor<'a>(&self, item: &'a Self::Read) -> Option<&'a Value>;

    /// Transforms an item into one that can be sent.
    fn transform(&self, item: Self::Read, keys: ItemKeys) -> Prepared<Self::Sent, Self::Context>;

    /// Whose item it is, where a request may hold those of one user only.
    fn user<'a>(&self, sent: &'a Self::Sent) -> &'a Self::User;

    /// Returns the hash by which items are partitioned: equal ones keep their order.
    fn partition_hash(&self, sent: &Self::Sent) -> u64;

    /// Adds what is written down of an item: before it is sent, if it could not be repeated safely, and once it
    /// is delivered, if the ledger lists it.
    fn describe(&self, keys: ItemKeys, context: &Self::Context, sent: &Self::Sent, columns: &mut RowColumns);

    /// Returns the result of any other item; `sent` if it could be transformed.
    fn result(
        &self,
        keys: ItemKeys,
        context: Self::Context,
        sent: Option<&Self::Sent>,
        status: RowStatus,
    ) -> RowResult;

    /// Notes that this many bytes of failed items were committed ([`KeptRow::bytes`]).
    fn kept(&self, bytes: u64);

    /// Whether the ledger lists delivered items; if not, the feed itself remembers them.
    fn lists_delivered(&self) -> bool;

    /// Notifies the feed's source that everything up to `checkpoint` is committed.
    async fn committed(&self, checkpoint: &Checkpoint) -> Result<(), Error>;

    /// Returns what is to be kept of users that a commit has delivered. Nothing by default.
    fn sent_users(&self, commit: &BatchCommit) -> Vec<SentUser> {
        let _ = commit;
        Vec::new()
    }

    /// Whether the feed's source is notified of the results of rows.
    fn keeps_at_source(&self) -> bool {
        false
    }

    /// Notifies the feed's source of rows that are committed and remembered, and of the keys of those that were
    /// rejected.
    async fn remembered(&self, rows: &[RowVersion], rejected: &[RowHash]) -> Result<(), Error> {
        let _ = (rows, rejected);
        Ok(())
    }
}
