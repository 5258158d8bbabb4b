//! The state that is kept between runs.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::AlertBook;
use crate::answers::AnswerBook;
pub use crate::delivered::Delivered;
use crate::held::HeldRows;
pub use crate::ledger_query::{
    FailedRowCursor, FailedRowGroup, FailedRowGroupCursor, FailedRowGroupQuery, FailedRowQuery, HourCounts,
    RunQuery,
};
use crate::people::PeopleBook;
pub use crate::row_columns::{RowColumns, TextColumn};
pub use crate::row_status::{RowResult, RowStatus, StatusKind};
use crate::{
    Cause, Checkpoint, Claim, Claimed, Compared, Comparison, Counts, Ending, Erasure, ErasureCounts, Error,
    HashMemo, KeptRow, NotShared, ObjectKind, Outcome, Reason, RowHash, Run, RunId, Secret, SharedLimits,
    SyncId, Systems, Text, Value, Wait,
};

/// What is known of a sync besides its configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SyncState {
    /// Set while the sync is paused. A sync paused by [`PausedBy::System`] is still retried.
    pub paused: Option<Pause>,
    /// The kind of object of its first run; it cannot change after that.
    pub object: Option<ObjectKind>,
    /// The position after the last committed batch.
    pub checkpoint: Option<Checkpoint>,
    /// The systems that its checkpoint and everything else that is remembered are about.
    pub systems: Option<Systems>,
    /// Whether the last read completed, so that the next one starts over.
    pub complete: bool,
    /// When `tidegate serve` runs it next, if it has a schedule.
    pub next_run: Option<NextRun>,
    /// Set while its run sends nothing because the destination asked for it.
    pub wait: Option<Wait>,
}

/// When a scheduled sync runs next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextRun {
    /// The schedule that this was planned by, as people read it.
    pub schedule: String,
    /// When the run is due.
    pub at: Timestamp,
}

/// What is known of a state that is older than what was sent by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OlderState {
    /// When the newest run that it knows of began; `None` if it knows of none.
    pub newest_run: Option<Timestamp>,
}

/// Why a sync is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    /// Tidegate itself, or the person who asked for it.
    pub by: PausedBy,
    /// The sentence to act on.
    pub why: String,
    /// Since when.
    pub at: Timestamp,
}

/// Who paused a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// Tidegate, because the next run would probably fail too. `tidegate serve` keeps retrying at
    /// long intervals. A run that ends as succeeded or partial removes the pause, as does a
    /// delivery of a continuous run.
    System,
    /// Tidegate, because the state of the sync was put back from an older copy, and rows that were sent since
    /// could count twice. Only `tidegate resume` resumes the sync.
    Restored,
    /// A person, by name. Only `tidegate resume` resumes the sync.
    Person(String),
}

impl fmt::Display for PausedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PausedBy::System | PausedBy::Restored => "Tidegate",
            PausedBy::Person(name) => name,
        })
    }
}

/// Committed rows of one span of the cursor, kept while a later run may read them again.
#[derive(Clone, Debug, PartialEq)]
pub struct LookbackChunk {
    /// Chunks of a sync are numbered in the order of the cursor.
    pub seq: u64,
    /// The highest cursor value among the rows; `None` if there is no cursor.
    pub high: Option<Value>,
    /// The rows, in any order; a row that occurs twice may be listed twice.
    pub rows: Vec<RowVersion>,
}

/// A row under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowVersion {
    /// Hash of the key columns or of the origin, as in [`RowResult::key`].
    pub key: RowHash,
    /// Hash of this version, as in [`RowResult::row`].
    pub row: RowHash,
}

/// The last committed rows under one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// No row was committed under the key.
    #[default]
    Nothing,
    /// One row was, which is the usual case.
    One(RowHash),
    /// One run committed several rows under the key.
    Several(Vec<RowHash>),
}

impl Known {
    /// Returns the rows.
    pub fn rows(&self) -> &[RowHash] {
        match self {
            Known::Nothing => &[],
            Known::One(row) => std::slice::from_ref(row),
            Known::Several(rows) => rows,
        }
    }

    /// Leaves nothing if the row is gone. A run acts on what is gone after everything else.
    #[must_use]
    pub fn live(self) -> Known {
        match self.rows().iter().any(|row| row.is_removed()) {
            true => Known::Nothing,
            false => self,
        }
    }

    /// Adds a row, unless it is there.
    pub fn add(&mut self, row: RowHash) {
        match self {
            Known::Nothing => *self = Known::One(row),
            Known::One(known) if *known != row => *self = Known::Several(vec![*known, row]),
            Known::Several(rows) if !rows.contains(&row) => rows.push(row),
            Known::One(_) | Known::Several(_) => {}
        }
    }
}

/// The committed rows of a sync that a run may read again, as they were when it was opened.
#[async_trait]
pub trait Lookback: Send + Sync {
    /// Returns the number and the highest cursor value of each chunk, in the order of the numbers.
    fn chunks(&self) -> &[(u64, Option<Value>)];

    /// Returns what was committed last under each of these keys, in their order. Of several runs
    /// that committed rows under a key, the last one counts. Of a row that is gone, nothing is known.
    async fn find(&self, keys: &[RowHash]) -> Result<Vec<Known>, Error>;

    /// Returns all rows. Asked only for what an unfinished batch has left.
    async fn all(&self) -> Result<Vec<RowVersion>, Error>;
}

/// A request that is about to be sent and could not be repeated safely.
#[derive(Clone, Debug, PartialEq)]
pub struct IntendedRequest {
    /// Its rows, in its order.
    pub columns: Arc<RowColumns>,
    /// How often they were sent before without a certain response.
    pub sends: u32,
    /// When they were sent first.
    pub since: Timestamp,
}

impl IntendedRequest {
    /// Returns its rows one by one.
    pub fn rows(&self) -> impl Iterator<Item = IntentRow> {
        let texts = self.columns.key_texts().iter().zip(self.columns.users().iter());
        self.columns.versions().zip(texts).map(|(RowVersion { key, row }, (key_text, user))| IntentRow {
            key,
            row,
            key_text: key_text.into(),
            user: user.into(),
            sends: self.sends,
            since: self.since,
        })
    }
}

/// One row of a request that was about to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRow {
    /// Hash of the key columns or of the origin, as in [`RowResult::key`].
    pub key: RowHash,
    /// Hash of this version, as in [`RowResult::row`].
    pub row: RowHash,
    /// The key columns as text.
    pub key_text: Text,
    /// The user's identifier.
    pub user: Text,
    /// How often it was sent before without a certain response.
    pub sends: u32,
    /// When it was sent first.
    pub since: Timestamp,
}

/// What was about to be sent, and what is known of the answer.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The rows of the request, in its order.
    pub rows: Vec<IntentRow>,
    /// Their outcomes if the response came, in the order of the rows. A deferred row and
    /// rows missing at the end had no effect. `None` if no response came.
    pub outcomes: Option<Vec<Outcome>>,
}

impl Intent {
    /// Returns whether the response says that the row at this index had no effect.
    pub fn had_no_effect(&self, index: usize) -> bool {
        let Some(outcomes) = &self.outcomes else { return false };
        outcomes.get(index).is_none_or(|outcome| matches!(outcome, Outcome::Deferred(_)))
    }
}

/// The name of an intent inside its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntentId {
    /// Intents of a run have different numbers.
    pub number: u64,
    /// The batch of its rows.
    pub batch: u64,
}

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
    /// ([`IntentRow::sends`]).
    pub recalled: Vec<RowVersion>,
}

impl BatchCommit {
    /// Returns the rows that have a result.
    pub fn decided(&self) -> impl Iterator<Item = RowVersion> {
        let delivered = self.delivered.iter().flat_map(Delivered::versions);
        delivered.chain(self.results.iter().map(|result| RowVersion { key: result.key, row: result.row }))
    }
}

/// A user, or the id of a catalog item, under the key of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptUser {
    /// Hash of the key columns, as in [`RowResult::key`].
    pub key: RowHash,
    /// The identifier, as in [`RowResult::user`].
    pub user: Text,
}

/// The attributes of a user that were delivered last, under the key of the row, with `changed: attributes`.
/// They are kept sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentUser {
    /// Hash of the key columns, as in [`RowResult::key`].
    pub key: RowHash,
    /// The version of the row, as in [`RowResult::row`].
    pub row: RowHash,
    /// The identifier, as in [`RowResult::user`].
    pub user: Text,
    /// A hash of each attribute: of its name and its value.
    pub attributes: Vec<u64>,
}

/// Which rows to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowQuery {
    /// Of one sync.
    pub sync: Option<SyncId>,
    /// Of one run.
    pub run: Option<RunId>,
    /// Of one user, or one catalog item.
    pub user: Option<String>,
    /// With one status: `delivered`, `rejected`, `in_doubt`.
    pub status: Option<StatusKind>,
    /// Committed at this time or later.
    pub from: Option<Timestamp>,
    /// Committed before this time.
    pub to: Option<Timestamp>,
    /// At most this many, newest first.
    pub limit: usize,
    /// Leaves [`RowEntry::payload`] empty, for queries that only count.
    pub without_payload: bool,
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct RowEntry {
    /// When its status was committed.
    pub at: Timestamp,
    /// The sync.
    pub sync: SyncId,
    /// The run.
    pub run: RunId,
    /// The kind of object.
    pub object: ObjectKind,
    /// The user's identifier, or the catalog item's id.
    pub user: String,
    /// The key columns as text.
    pub key: String,
    /// Its status.
    pub status: StatusKind,
    /// Why it was not delivered; `None` for a delivered row.
    pub reason: Option<Reason>,
    /// The row itself, as long as it counts as failed.
    pub payload: Option<KeptRow>,
}

/// A row that was rejected or is in doubt and has not been delivered since.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedRow {
    /// Hash of the key columns or of the origin, as in [`RowResult::key`].
    pub key: RowHash,
    /// Hash of the version that failed, as in [`RowResult::row`].
    pub row: RowHash,
    /// What the ledger says of it.
    pub entry: RowEntry,
    /// When it failed first.
    pub first_at: Timestamp,
    /// How often it was tried.
    pub attempts: u64,
    /// Its position in the batch in which it came up.
    pub position: u64,
}

/// How many failed rows of a sync there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FailedRowTotals {
    /// Open ones.
    pub rows: u64,
    /// What is kept of their contents, in bytes.
    pub bytes: u64,
    /// Those that a person dismissed so far.
    pub dismissed: u64,
}

/// A failed row that a person closed without a delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct DismissedRow {
    /// What the ledger said of it, at the time when it was dismissed.
    pub entry: RowEntry,
    /// Why it needs no delivery.
    pub note: String,
}

/// What a rotation of the master key did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeyRotation {
    /// The name of the new key; it gives nothing of the key away.
    pub key: String,
    /// How many secrets the new key seals.
    pub sealed: u64,
    /// The secrets that were removed because the key that sealed them is lost.
    pub discarded: Vec<String>,
}

/// Work on a sync that was asked for while another process held it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkRequest {
    /// An id that is unique in the store.
    pub id: String,
    /// The task, in the words of the engine.
    pub work: String,
}

/// How a run ends.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// How it ended.
    pub ending: Ending,
    /// Why it ended early, as people read it.
    pub error: Option<String>,
    /// Whether the read completed: intents of earlier runs are removed.
    pub complete: bool,
    /// Whether the sync is paused, or a pause that Tidegate set is lifted; one that a person set stays.
    pub pause: PauseChange,
    /// When it ended.
    pub at: Timestamp,
}

impl RunEnd {
    /// Returns an ending without an error that leaves everything else as it is.
    pub fn new(ending: Ending, at: Timestamp) -> RunEnd {
        RunEnd { ending, error: None, complete: false, pause: PauseChange::Keep, at }
    }
}

/// What a run does to the pause of its sync. A pause that a person set is never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseChange {
    /// Leaves it as it is.
    Keep,
    /// Pauses the sync in the name of Tidegate, for this reason.
    Set(String),
    /// Replaces the reason of a pause that Tidegate set, if there is one.
    Explain(String),
    /// Removes a pause that Tidegate set.
    Lift,
}

/// Everything the engine asks of storage.
///
/// Every method is durable when it returns, unless it says otherwise. Methods may be called
/// in parallel.
///
/// A sync is run by the process that holds its lease. Taking a lease ends the previous run in the
/// same transaction, so a process that lost its lease can write nothing.
///
/// A sync without state is not an error: it reads as the default, and lists are empty. For a run
/// that does not exist, [`Store::run`] returns `None`.
///
/// # Errors
/// Every method fails with [`ErrorKind::Storage`](crate::ErrorKind::Storage) if the store cannot
/// be read or written, and with [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if its
/// server cannot be reached. Methods that take a run or a claim fail with
/// [`ErrorKind::Held`](crate::ErrorKind::Held), without an effect, once the run has ended or the
/// lease was taken by another process.
#[async_trait]
pub trait Store: Send + Sync {
    /// Takes a sync for this process, unless a process holds it. Runs of the sync that
    /// never ended become `Interrupted`.
    async fn claim(&self, sync: &SyncId) -> Result<Claimed, Error>;

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

    /// Returns what is known of a sync; the default if it never ran.
    async fn sync_state(&self, sync: &SyncId) -> Result<SyncState, Error>;

    /// Returns the state of every sync that is known, in one question, however many there are.
    async fn sync_states(&self) -> Result<HashMap<SyncId, SyncState>, Error>;

    /// Pauses a sync, or lets it run again.
    async fn set_paused(&self, sync: &SyncId, paused: Option<Pause>) -> Result<(), Error>;

    /// Removes the pause of a run's sync if Tidegate set it.
    async fn lift_pause(&self, run: &RunId) -> Result<(), Error>;

    /// Notes that a run waits because the destination asked for it, or that it waits no longer. The end
    /// of the run removes it.
    async fn note_wait(&self, run: &RunId, wait: Option<Wait>) -> Result<(), Error>;

    /// Clears the checkpoint, systems, lookback, kept users and intents of the sync that is held. Runs and
    /// row statuses stay.
    async fn reset(&self, claim: &Claim) -> Result<(), Error>;

    /// Notes between which systems the sync that is held moves data. [`Store::reset`] forgets them.
    async fn note_systems(&self, claim: &Claim, systems: &Systems) -> Result<(), Error>;

    /// Opens a run of the sync that is held.
    async fn start_run(
        &self,
        claim: &Claim,
        object: ObjectKind,
        cause: Cause,
        at: Timestamp,
    ) -> Result<Run, Error>;

    /// Records an attempt to run the sync that is held as a run that has ended already. The
    /// object of the sync is not fixed by it.
    async fn fail_run(
        &self,
        claim: &Claim,
        object: ObjectKind,
        cause: Cause,
        end: RunEnd,
    ) -> Result<Run, Error>;

    /// Stores when a sync runs next.
    async fn plan_run(&self, sync: &SyncId, next: NextRun) -> Result<(), Error>;

    /// Asks the process that holds a sync for work on it. Returns the name of the request.
    async fn request_work(&self, sync: &SyncId, work: &str) -> Result<String, Error>;

    /// Returns the requests for a sync that were not answered, oldest first.
    async fn requested_work(&self, sync: &SyncId) -> Result<Vec<WorkRequest>, Error>;

    /// Answers a request for the sync that is held.
    async fn answer_work(&self, claim: &Claim, id: &str, answer: &str) -> Result<(), Error>;

    /// Returns the answer to a request and forgets both; `None` if there is none yet.
    async fn take_answer(&self, id: &str) -> Result<Option<String>, Error>;

    /// Takes a request back. Returns whether it had not been answered.
    async fn withdraw_work(&self, id: &str) -> Result<bool, Error>;

    /// Records what is about to be sent. It is durable when this returns.
    async fn intend(&self, run: &RunId, batch: u64, request: IntendedRequest) -> Result<IntentId, Error>;

    /// Records the answer to an intent of the run, soon: before a batch of the run is committed in part
    /// and before intents are read. If the process dies before that, it is as if no answer had come.
    async fn answered(&self, run: &RunId, intent: IntentId, outcomes: Vec<Outcome>) -> Result<(), Error>;

    /// Returns what earlier runs of the sync were about to send and never committed.
    async fn open_intents(&self, sync: &SyncId) -> Result<Vec<Intent>, Error>;

    /// Writes a batch's results, failed rows, history, lookback and checkpoint: all or
    /// nothing.
    async fn commit_batch(&self, run: &RunId, commit: BatchCommit) -> Result<(), Error>;

    /// Closes a run, and pauses or resumes its sync with it. Its history file may follow later.
    async fn finish_run(&self, run: &RunId, end: RunEnd) -> Result<Run, Error>;

    /// Opens the committed rows that a run may read again.
    async fn lookback(&self, sync: &SyncId) -> Result<Box<dyn Lookback>, Error>;

    /// Begins to compare all rows of a source with those that the sync has committed.
    async fn compare(&self, sync: &SyncId) -> Result<Box<dyn Comparison>, Error>;

    /// Opens the memo of the hashes of a source. Of memos of other names nothing is kept.
    async fn hash_memo(&self, sync: &SyncId, name: RowHash) -> Result<Box<dyn HashMemo>, Error>;

    /// Returns what holds rows until they are compared. No row is held yet.
    fn held_rows(&self) -> Box<dyn HeldRows>;

    /// Notes what a run found by a comparison.
    async fn note_compared(&self, run: &RunId, compared: Compared) -> Result<(), Error>;

    /// Returns the next page of kept users after page `after`, with its page number. If a key has
    /// several users, the last one counts.
    async fn kept_users(&self, sync: &SyncId, after: u64) -> Result<Option<(u64, Vec<KeptUser>)>, Error>;

    /// Returns what was delivered last of the users under these keys, of those that are known, in any order.
    async fn sent_users(&self, sync: &SyncId, keys: &[RowHash]) -> Result<Vec<SentUser>, Error>;

    /// Removes the kept users of rows that are gone ([`RowHash::REMOVED`]).
    async fn forget_removed_users(&self, run: &RunId) -> Result<(), Error>;

    /// Clears all committed rows of the sync of a run, as after a completed full read.
    async fn clear_lookback(&self, run: &RunId) -> Result<(), Error>;

    /// Returns the last run of every sync that has run, in one question, however many there are.
    async fn last_runs(&self) -> Result<HashMap<SyncId, Run>, Error>;

    /// Returns runs, newest first, of one sync if one is given.
    async fn runs(&self, sync: Option<&SyncId>, limit: usize) -> Result<Vec<Run>, Error>;

    /// Returns a run by its name.
    async fn run(&self, id: &RunId) -> Result<Option<Run>, Error>;

    /// Returns a page of runs, newest first.
    async fn find_runs(&self, query: &RunQuery) -> Result<Vec<Run>, Error>;

    /// Returns what happened to rows, of one sync if one is given, by runs that started at `started` or later,
    /// and ended after `ended` or are in progress; in any order.
    async fn hour_counts(
        &self,
        sync: Option<&SyncId>,
        started: Timestamp,
        ended: Timestamp,
    ) -> Result<Vec<HourCounts>, Error>;

    /// Returns row statuses, newest first.
    async fn rows(&self, query: &RowQuery) -> Result<Vec<RowEntry>, Error>;

    /// Returns the rows of a sync that were rejected or are in doubt and have not been
    /// delivered since.
    async fn failed_rows(&self, sync: &SyncId) -> Result<Vec<FailedRow>, Error> {
        let query =
            FailedRowQuery { sync: Some(sync.clone()), limit: usize::MAX, ..FailedRowQuery::default() };
        self.failed_rows_in_order(&query, None).await
    }

    /// Returns a page of open failed rows in the order in which they came up: those behind
    /// `after`, which may be closed meanwhile. The `after` of the query does not count.
    async fn failed_rows_in_order(
        &self,
        query: &FailedRowQuery,
        after: Option<&FailedRow>,
    ) -> Result<Vec<FailedRow>, Error>;

    /// Returns the keys and versions of the open failed rows of a sync that were rejected, in any order.
    async fn rejected_versions(&self, sync: &SyncId) -> Result<Vec<RowVersion>, Error> {
        let query = FailedRowQuery {
            sync: Some(sync.clone()),
            status: Some(StatusKind::Rejected),
            limit: usize::MAX,
            ..FailedRowQuery::default()
        };
        let rows = self.failed_rows_in_order(&query, None).await?;
        Ok(rows.iter().map(|row| RowVersion { key: row.key, row: row.row }).collect())
    }

    /// Returns how many open failed rows each sync has, if it has any, in one question.
    async fn failed_row_counts(&self) -> Result<HashMap<SyncId, u64>, Error>;

    /// Returns how many failed rows of a sync there are, without looking at them.
    async fn failed_row_totals(&self, sync: &SyncId) -> Result<FailedRowTotals, Error>;

    /// Closes open failed rows that need no delivery, with a note. Returns how many; `after` and
    /// `limit` of the query do not count.
    async fn dismiss_failed_rows(
        &self,
        query: &FailedRowQuery,
        note: &str,
        at: Timestamp,
    ) -> Result<u64, Error>;

    /// Returns rows that were dismissed, the last one first; `from` and `to` of the query are about
    /// the time when they were, and `after` does not count.
    async fn dismissed_rows(&self, query: &FailedRowQuery) -> Result<Vec<DismissedRow>, Error>;

    /// Returns a page of the open failed rows of all syncs, the row that failed last first.
    async fn find_failed_rows(&self, query: &FailedRowQuery) -> Result<Vec<FailedRow>, Error>;

    /// Returns a page of the open failed rows in groups, the group that failed last first.
    async fn failed_row_groups(&self, query: &FailedRowGroupQuery) -> Result<Vec<FailedRowGroup>, Error>;

    /// Removes history older than `before`.
    async fn trim_history(&self, before: Timestamp) -> Result<(), Error>;

    /// Seals and keeps a secret.
    async fn put_secret(&self, name: &str, secret: &Secret) -> Result<(), Error>;

    /// Opens a secret; `None` if there is none of this name.
    ///
    /// # Errors
    /// Also if the master key that sealed it is missing.
    async fn secret(&self, name: &str) -> Result<Option<Secret>, Error>;

    /// Returns the names of all secrets, sorted.
    async fn secrets(&self) -> Result<Vec<String>, Error>;

    /// Removes a secret; returns whether there was one.
    async fn remove_secret(&self, name: &str) -> Result<bool, Error>;

    /// Seals everything that is sealed with a new master key, all or nothing. A crash at any
    /// moment leaves everything readable. `discard_unreadable` removes what was sealed with
    /// a key that is lost; otherwise it is an error.
    async fn rotate_master_key(&self, discard_unreadable: bool) -> Result<KeyRotation, Error>;

    /// Erases a user from failed rows, kept users, intents and history, so that no file of the store holds
    /// the user any more. Called while no run is under way.
    async fn erase_user(&self, user: &str) -> Result<ErasureCounts, Error>;

    /// Notes an erasure without the user's id.
    async fn note_erasure(&self, user: &str, removed: &ErasureCounts, at: Timestamp) -> Result<(), Error>;

    /// Returns the erasures that were noted, newest first; of one user if one is given.
    async fn erasures(&self, user: Option<&str>) -> Result<Vec<Erasure>, Error>;

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
