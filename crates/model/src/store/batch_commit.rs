//! What is written once a batch has its outcomes.

use crate::store::{Delivered, KeptUser, LookbackChunk, RowResult, RowVersion, SentUser};
use crate::{Checkpoint, Counts, RowHash};

/// Everything that is written atomically once a batch has its outcomes.
#[derive(Clone, Debug, Default)]
pub struct BatchCommit {
    /// The batch's number inside the run; intents of this and earlier batches are done with,
    /// unless it is `partial`.
    pub batch: u64,
    /// Whether rows of the batch have no result yet. Its intents then keep those of them that
    /// may have taken effect.
    pub partial: bool,
    /// The checkpoint to resume from; `None` leaves it unchanged.
    pub checkpoint: Option<Checkpoint>,
    /// To add to the run's counts.
    pub counts: Counts,
    /// Rows of the batch that were delivered; `results` has no row with one of their keys.
    pub delivered: Vec<Delivered>,
    /// The result of every other row of the batch.
    pub results: Vec<RowResult>,
    /// Committed rows that a later run may read again.
    pub remember: Option<LookbackChunk>,
    /// Whether rows that the run remembers later replace those of `remember` under their keys, as those of
    /// a later run do.
    pub is_replaced: bool,
    /// Chunks up to this number are no longer needed.
    pub forget_through: Option<u64>,
    /// Keys whose failed rows are closed by this batch.
    pub solved: Vec<RowHash>,
    /// Whether the users of rows that are sent for the first time are kept under their keys, so
    /// that they can be deleted when their rows are gone.
    pub keeps_users: bool,
    /// The users of rows of which it is not known what the platform has
    /// ([`RowHash::UNCERTAIN`]). They are kept too.
    pub uncertain: Vec<KeptUser>,
    /// What was delivered of users, so that later runs send what has changed since. What is there under
    /// their keys is replaced, and removed under the keys of rows that are gone ([`RowHash::REMOVED`]).
    pub sent: Vec<SentUser>,
    /// Rows that earlier runs intended and that this batch commits: each is removed from the
    /// oldest intent that may have taken effect, and from those of its repetitions
    /// ([`IntentRow::sends`](super::IntentRow::sends)).
    pub recalled: Vec<RowVersion>,
}

impl BatchCommit {
    /// Returns the rows that have a result.
    pub fn decided(&self) -> impl Iterator<Item = RowVersion> {
        let delivered = self.delivered.iter().flat_map(Delivered::versions);
        delivered.chain(self.results.iter().map(|result| RowVersion { key: result.key, row: result.row }))
    }
}
