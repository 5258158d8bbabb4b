//! One delivery as one commit.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use delta_kernel::KernelError;
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::transaction::{CommitResult, CommittedTransaction, Transaction, UpdateTableOperation};
use jiff::Timestamp;
use tidegate_model::{Error, ErrorKind, LoggedEvent, Outcome, Reason, Receipt, SinkTarget};
use tokio::runtime::Handle;

use super::errors::kernel;
use super::file_layout::{Encoded, FileLayout};
use super::fit;
use super::staged::StagedFiles;
use super::table::{Engine, MAKER, Table};
use crate::progress::{EventOffset, MarkKey, Progress};
use crate::stage_of;

/// How often a commit is tried after conflicts with other writers.
const ATTEMPTS: usize = 16;
/// Commits between two checkpoints if the table sets no number: opening a table reads the commits after
/// its last checkpoint.
const CHECKPOINT_EVERY: u64 = 100;

/// An open table, and the progress of each partition of the log in it.
pub(super) struct OpenTable {
    engine: Engine,
    snapshot: SnapshotRef,
    partitions: PartitionProgress,
}

type PartitionProgress = BTreeMap<MarkKey, Option<Progress>>;

/// The input of a write.
pub(super) enum WriteInput {
    /// Files of all events, encoded ahead; they can be used once.
    Encoded(Option<Encoded>),
    /// The events themselves.
    Events(Vec<LoggedEvent>),
}

/// Writes an export into a table.
pub(super) struct TableWriter {
    /// The table.
    pub(super) table: Table,
    /// The prefix of the names of the export's `txn` actions.
    prefix: String,
    /// How the names of its data files begin while they are written.
    pub(super) stage: String,
    /// The layout of the files at the last write.
    file_layout: Mutex<Option<FileLayout>>,
}

impl TableWriter {
    /// Creates the writer of this target.
    pub(super) fn new(table: Table, target: &SinkTarget) -> TableWriter {
        TableWriter {
            table,
            prefix: format!("tidegate/{}/{}", target.stream, target.sync),
            stage: stage_of(target),
            file_layout: Mutex::default(),
        }
    }

    /// Opens the table, creating it if it does not exist.
    pub(super) fn open(&self, runtime: &Handle) -> Result<OpenTable, Error> {
        let engine = self.table.engine(runtime);
        let snapshot = self.table.open_or_make(&engine, runtime)?;
        Ok(OpenTable { engine, snapshot, partitions: PartitionProgress::new() })
    }

    /// Encodes events for the table as it was last; `None` before the first write.
    pub(super) fn encode(&self, events: &[LoggedEvent], now: Timestamp) -> Result<Option<Encoded>, Error> {
        let file_layout = self.file_layout.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let events: Vec<&LoggedEvent> = events.iter().collect();
        file_layout.map(|file_layout| file_layout.encode(&self.table, &events, now)).transpose()
    }

    /// Writes the events that were not written before; `None` if the encoded files do not fit and the
    /// events themselves are needed. `open` stays empty if the state of the table is uncertain.
    pub(super) fn write(
        &self,
        open: &mut Option<OpenTable>,
        runtime: &Handle,
        events: &[EventOffset],
        mut input: WriteInput,
        now: Timestamp,
    ) -> Result<Option<Receipt>, Error> {
        let mut at = match open.take() {
            Some(at) if self.table.still_has(at.snapshot.version(), runtime)? => at,
            _ => self.open(runtime)?,
        };
        let mut staged = None;
        for _ in 0..ATTEMPTS {
            self.look_up_progress(&mut at, events)?;
            let fresh: Vec<usize> = (0..events.len()).filter(|&index| !at.covers(events[index])).collect();
            if fresh.is_empty() {
                *open = Some(at);
                return Ok(Some(Receipt::delivered(events.len())));
            }
            if fresh.len() < events.len() && matches!(input, WriteInput::Encoded(_)) {
                return Ok(None);
            }
            let partitions = after(&at.partitions, fresh.iter().map(|&index| events[index]));
            let mut transaction = self.transaction(&at, &partitions)?;
            let file_layout = FileLayout::of(&self.table, &transaction, &at.engine)?;
            self.file_layout.lock().unwrap_or_else(PoisonError::into_inner).replace(file_layout.clone());
            let ready =
                match staged.take().filter(|ready: &StagedFiles| ready.fits(&file_layout, fresh.len())) {
                    Some(ready) => ready,
                    None => {
                        let Some(encoded) = self.encoded(&file_layout, &mut input, &fresh, now)? else {
                            return Ok(None);
                        };
                        StagedFiles::put(&self.table, &self.stage, runtime, encoded, fresh.len(), now)?
                    }
                };
            ready.offer(&mut transaction);
            staged = Some(ready);
            match transaction.commit(&at.engine) {
                Ok(CommitResult::Committed(done)) => {
                    *open = self.after_commit(at, &done, partitions);
                    return Ok(Some(Receipt::delivered(events.len())));
                }
                Ok(CommitResult::Conflicted(_)) => {
                    let snapshot = self.table.refresh(&at.engine, at.snapshot)?;
                    at = OpenTable { snapshot, partitions: PartitionProgress::new(), ..at };
                }
                Ok(CommitResult::Retryable(failed)) => {
                    return self.resolve(runtime, events, failed.error).map(Some);
                }
                Err(cause) => return self.resolve(runtime, events, cause).map(Some),
            }
        }
        let message = format!("gave up after {ATTEMPTS} commit conflicts on table {}", self.table.name());
        Err(Error::new(ErrorKind::Unavailable, message)
            .hint("write to it less often, or run its maintenance at another time"))
    }

    /// Returns files of these events that fit the table; `None` if the input has none.
    fn encoded(
        &self,
        file_layout: &FileLayout,
        input: &mut WriteInput,
        fresh: &[usize],
        now: Timestamp,
    ) -> Result<Option<Encoded>, Error> {
        match input {
            WriteInput::Encoded(encoded) => {
                Ok(encoded.take().filter(|encoded| file_layout.is(&encoded.file_layout)))
            }
            WriteInput::Events(events) => {
                let events: Vec<&LoggedEvent> = fresh.iter().filter_map(|&index| events.get(index)).collect();
                file_layout.encode(&self.table, &events, now).map(Some)
            }
        }
    }

    /// Returns a transaction that appends to the table, adding missing columns.
    fn transaction(&self, at: &OpenTable, partitions: &PartitionProgress) -> Result<Transaction, Error> {
        let missing = fit::missing(&self.table.name(), &at.snapshot.schema(), self.table.layout)?;
        let mut builder =
            at.snapshot.clone().update_table(UpdateTableOperation::StreamingUpdate, MAKER, true);
        // It depends on nothing in the table, so that it causes no conflict for other writers.
        if missing.is_empty() {
            builder = builder.with_blind_append();
        }
        for column in missing {
            builder = builder.add_column(column);
        }
        for (key, progress) in partitions {
            let Some(progress) = progress else { continue };
            let offset = i64::try_from(progress.at).unwrap_or(i64::MAX);
            builder = builder.with_transaction_id(self.offset_id(*key), offset);
            if !key.log.is_known() {
                builder = builder.with_transaction_id(self.time_id(*key), progress.logged_us);
            }
        }
        let built = builder.build(&at.engine, Box::new(FileSystemCommitter::new()));
        built.map_err(|cause| kernel(&self.table.writing(), cause))
    }

    /// Reads the progress of the partitions of these events.
    fn look_up_progress(&self, at: &mut OpenTable, events: &[EventOffset]) -> Result<(), Error> {
        for event in events {
            let key = event.key;
            if at.partitions.contains_key(&key) {
                continue;
            }
            let look_up = |id: &str| {
                at.snapshot
                    .get_app_id_version(id, &at.engine)
                    .map_err(|cause| kernel(&format!("reading the table {}", self.table.name()), cause))
            };
            let progress = match look_up(&self.offset_id(key))? {
                None => None,
                Some(offset) => Some(Progress {
                    at: u64::try_from(offset).unwrap_or(0),
                    logged_us: match key.log.is_known() {
                        true => i64::MAX,
                        false => look_up(&self.time_id(key))?.unwrap_or(i64::MAX),
                    },
                }),
            };
            at.partitions.insert(key, progress);
        }
        Ok(())
    }

    /// Returns the table after a commit. The data is safe already, so a failed checkpoint is only
    /// logged.
    fn after_commit(
        &self,
        at: OpenTable,
        done: &CommittedTransaction,
        partitions: PartitionProgress,
    ) -> Option<OpenTable> {
        let mut snapshot = done.post_commit_snapshot()?.clone();
        let every = snapshot.table_properties().checkpoint_interval.map_or(CHECKPOINT_EVERY, Into::into);
        if done.post_commit_stats().commits_since_checkpoint >= every {
            match snapshot.checkpoint(&at.engine, None) {
                Ok((_, lighter)) => snapshot = lighter,
                Err(cause) => {
                    let error = kernel("writing a checkpoint", cause).chain();
                    tracing::warn!(table = self.table.name(), error, "no checkpoint was written");
                }
            }
        }
        Some(OpenTable { snapshot, partitions, ..at })
    }

    /// Resolves a failed commit: the table itself shows whether it took effect.
    fn resolve(
        &self,
        runtime: &Handle,
        events: &[EventOffset],
        cause: KernelError,
    ) -> Result<Receipt, Error> {
        let error = kernel(&format!("committing to the table {}", self.table.name()), cause);
        let opened = self.open(runtime).and_then(|mut at| {
            self.look_up_progress(&mut at, events)?;
            Ok(at)
        });
        match opened {
            Ok(at) if events.iter().all(|event| at.covers(*event)) => Ok(Receipt::delivered(events.len())),
            Ok(_) => Err(error),
            Err(_) => {
                let doubt = Outcome::Unknown(Reason::new("commit_in_doubt", error.message()));
                Ok(Receipt { outcomes: vec![doubt; events.len()], rate_limit: None })
            }
        }
    }

    fn offset_id(&self, key: MarkKey) -> String {
        format!("{}/{key}", self.prefix)
    }

    fn time_id(&self, key: MarkKey) -> String {
        format!("{}/{key}/logged", self.prefix)
    }
}

impl OpenTable {
    fn covers(&self, event: EventOffset) -> bool {
        let progress = self.partitions.get(&event.key).copied().flatten();
        progress.is_some_and(|progress| progress.covers(event))
    }
}

/// Returns the progress once these events are written.
fn after(partitions: &PartitionProgress, fresh: impl Iterator<Item = EventOffset>) -> PartitionProgress {
    let mut partitions = partitions.clone();
    for event in fresh {
        let progress = partitions.entry(event.key).or_default();
        *progress = Some(Progress::after(*progress, event));
    }
    partitions
}
