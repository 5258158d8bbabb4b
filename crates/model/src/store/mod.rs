//! The state that is kept between runs.

mod batch_commit;
mod erasures;
mod failed_rows;
mod intent;
mod kept_user;
mod row_memory;
mod row_version;
mod run_end;
mod run_history;
mod run_ledger;
mod secrets;
mod sync_control;
mod sync_state;
mod work_requests;

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::alert::AlertBook;
use crate::answers::AnswerBook;
pub use crate::delivered::Delivered;
pub use crate::ledger_query::{
    FailedRowCursor, FailedRowGroup, FailedRowGroupCursor, FailedRowGroupQuery, FailedRowQuery, HourCounts,
    RunQuery,
};
use crate::people::PeopleBook;
pub use crate::row_columns::{RowColumns, TextColumn};
pub use crate::row_status::{RowResult, RowStatus, StatusKind};
use crate::{Error, NotShared, SharedLimits, SyncId};
pub use batch_commit::BatchCommit;
pub use erasures::ErasureStore;
pub use failed_rows::{DismissedRow, FailedRow, FailedRowStore, FailedRowTotals};
pub use intent::{IntendedRequest, Intent, IntentId, IntentRow};
pub use kept_user::{KeptUser, SentUser};
pub use row_memory::{Lookback, RowMemory};
pub use row_version::{Known, LookbackChunk, RowVersion};
pub use run_end::{PauseChange, RunEnd};
pub use run_history::{RowEntry, RowQuery, RunHistory};
pub use run_ledger::RunLedger;
pub use secrets::{KeyRotation, SecretStore};
pub use sync_control::SyncControl;
pub use sync_state::{NextRun, Pause, PausedBy, SyncState};
pub use work_requests::{ASKED_FOR, AbandonedWork, FORGOTTEN, RequestState, WorkRequest, WorkRequests};

/// Everything the engine asks of storage. Each subject is a trait of its own, and code that needs one of them
/// asks for that one.
///
/// Every method is durable when it returns, unless it says otherwise. Methods may be called
/// in parallel.
///
/// A sync is run by the process that holds its lease. Taking a lease ends the previous run in the
/// same transaction, so a process that lost its lease can write nothing.
///
/// A sync without state is not an error: it reads as the default, and lists are empty. For a run
/// that does not exist, [`RunHistory::run`] returns `None`.
///
/// # Errors
/// Every method fails with [`ErrorKind::Storage`](crate::ErrorKind::Storage) if the store cannot
/// be read or written, and with [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if its
/// server cannot be reached. Methods that take a run or a claim fail with
/// [`ErrorKind::Held`](crate::ErrorKind::Held), without an effect, once the run has ended or the
/// lease was taken by another process.
#[async_trait]
pub trait Store:
    RunStore + SyncControl + WorkRequests + RunHistory + FailedRowStore + SecretStore + ErasureStore
{
    /// Takes the store for the project in a folder, with what each of its syncs moves, in words. Does nothing if
    /// the store cannot be that of several projects.
    ///
    /// # Errors
    /// [`Settings`](crate::ErrorKind::Settings) if it belongs to another project.
    async fn claim_project(&self, folder: &str, syncs: &BTreeMap<SyncId, String>) -> Result<(), Error> {
        let _ = (folder, syncs);
        Ok(())
    }

    /// Returns what is known of the state if it is older than what was sent by it: it was put back from a copy, and
    /// does not know of rows that were sent since. Asked before a sync is claimed.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn older_state(&self) -> Result<Option<OlderState>, Error> {
        Ok(None)
    }

    /// Takes an older state for the newest one from now on.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn accept_older_state(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns the part that keeps alerts and notices.
    fn alert_book(&self) -> &dyn AlertBook;

    /// Returns the part that keeps people, tokens and the audit log.
    fn people_book(&self) -> &dyn PeopleBook;

    /// Returns the part that keeps answers for requests that may be sent twice.
    fn answer_book(&self) -> &dyn AnswerBook;

    /// Returns the part that shares the limits of connections with other processes.
    fn shared_limits(&self) -> &dyn SharedLimits {
        &NotShared
    }
}

/// What a run asks of storage: a plan is a run that keeps what it would have written to itself.
pub trait RunStore: RunLedger + RowMemory {}

impl<T: RunLedger + RowMemory> RunStore for T {}

/// What is known of a state that is older than what was sent by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OlderState {
    /// When the newest run that it knows of began; `None` if it knows of none.
    pub newest_run: Option<Timestamp>,
}
