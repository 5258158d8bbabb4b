//! What a run writes, and where it resumes.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::{
    BatchCommit, FailedRowTotals, IntendedRequest, Intent, IntentId, RowVersion, RunEnd, SyncState,
};
use crate::{Cause, Claim, Compared, Error, ObjectKind, Outcome, Run, RunId, SyncId, Systems, Wait};

/// The ledger as one run sees it: from where it resumes, what it is about to send, and what became of each row.
///
/// # Errors
/// As those of a [`Store`](crate::Store).
#[async_trait]
pub trait RunLedger: Send + Sync {
    /// Returns what is known of a sync; the default if it never ran.
    async fn sync_state(&self, sync: &SyncId) -> Result<SyncState, Error>;

    /// Notes between which systems the sync that is held moves data. [`SyncControl::reset`](super::SyncControl::reset) forgets them.
    async fn note_systems(&self, claim: &Claim, systems: &Systems) -> Result<(), Error>;

    /// Opens a run of the sync that is held.
    async fn start_run(
        &self,
        claim: &Claim,
        object: ObjectKind,
        cause: Cause,
        at: Timestamp,
    ) -> Result<Run, Error>;

    /// Returns what earlier runs of the sync were about to send and never committed.
    async fn open_intents(&self, sync: &SyncId) -> Result<Vec<Intent>, Error>;

    /// Returns how many failed rows of a sync there are, without looking at them.
    async fn failed_row_totals(&self, sync: &SyncId) -> Result<FailedRowTotals, Error>;

    /// Returns the keys and versions of the open failed rows of a sync that were rejected, in any order.
    async fn rejected_versions(&self, sync: &SyncId) -> Result<Vec<RowVersion>, Error>;

    /// Records what is about to be sent. It is durable when this returns.
    async fn intend(&self, run: &RunId, batch: u64, request: IntendedRequest) -> Result<IntentId, Error>;

    /// Records the answer to an intent of the run, soon: before a batch of the run is committed in part
    /// and before intents are read. If the process dies before that, it is as if no answer had come.
    async fn answered(&self, run: &RunId, intent: IntentId, outcomes: Vec<Outcome>) -> Result<(), Error>;

    /// Writes a batch's results, failed rows, history, lookback and checkpoint: all or
    /// nothing.
    async fn commit_batch(&self, run: &RunId, commit: BatchCommit) -> Result<(), Error>;

    /// Notes what a run found by a comparison.
    async fn note_compared(&self, run: &RunId, compared: Compared) -> Result<(), Error>;

    /// Notes that a run waits because the destination asked for it, or that it waits no longer. The end
    /// of the run removes it.
    async fn note_wait(&self, run: &RunId, wait: Option<Wait>) -> Result<(), Error>;

    /// Removes the pause of a run's sync if Tidegate set it.
    async fn lift_pause(&self, run: &RunId) -> Result<(), Error>;

    /// Closes a run, and pauses or resumes its sync with it. Its history file may follow later.
    async fn finish_run(&self, run: &RunId, end: RunEnd) -> Result<Run, Error>;
}
