//! One delivery as one commit.

use std::collections::BTreeMap;

use delta_kernel::KernelError;
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::schema::StructField;
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::transaction::{CommitResult, CommittedTransaction, Transaction, UpdateTableOperation};
use jiff::Timestamp;
use tidegate_model::{Error, ErrorKind, Outcome, Reason, Receipt, SinkTarget};
use tokio::runtime::Handle;

use super::errors::kernel;
use super::fit;
use super::stage::{Files, Stage};
use super::table::{Engine, MAKER, Table};
use crate::progress::{Entry, Mark};
use crate::stream::Supply;

/// How often a commit is tried when other writers are quicker.
const ATTEMPTS: usize = 16;
/// Commits between two checkpoints where the table says nothing: opening a table
/// reads the commits behind its last checkpoint.
const CHECKPOINT_EVERY: u64 = 100;

/// A table that is open, and how far each partition of the log is written to it.
pub(super) struct Open {
    engine: Engine,
    runtime: Handle,
    snapshot: SnapshotRef,
    marks: Marks,
}

type Marks = BTreeMap<u32, Option<Mark>>;

/// An export into a table.
#[derive(Debug)]
pub(super) struct Export {
    /// The table.
    pub(super) table: Table,
    /// What the export's `txn` actions are named by, without the partition of the log.
    prefix: String,
}

impl Export {
    /// The export of this target.
    pub(super) fn new(table: Table, target: &SinkTarget) -> Export {
        Export { table, prefix: format!("tidegate/{}/{}", target.stream, target.sync) }
    }

    /// Opens the table, making it where there is none.
    pub(super) fn open(&self, runtime: &Handle) -> Result<Open, Error> {
        let engine = self.table.engine(runtime);
        let snapshot = self.table.open_or_make(&engine, runtime)?;
        Ok(Open { engine, runtime: runtime.clone(), snapshot, marks: Marks::new() })
    }

    /// Writes the events that were not written before. `open` stays empty where
    /// the state of the table is not certain any more.
    pub(super) fn write(
        &self,
        open: &mut Option<Open>,
        runtime: &Handle,
        events: &[Entry],
        supply: &Supply,
        now: Timestamp,
    ) -> Result<Receipt, Error> {
        let mut at = match open.take() {
            Some(at) if self.table.still_has(at.snapshot.version(), runtime)? => at,
            _ => self.open(runtime)?,
        };
        let mut stage = None;
        for _ in 0..ATTEMPTS {
            self.look_up_marks(&mut at, events)?;
            let fresh: Vec<usize> = (0..events.len()).filter(|&place| !at.covers(events[place])).collect();
            if fresh.is_empty() {
                *open = Some(at);
                return Ok(Receipt::delivered(events.len()));
            }
            let marks = after(&at.marks, fresh.iter().map(|&place| events[place]));
            let transaction = self.stage(&at, &mut stage, fresh, supply, &marks, now)?;
            match transaction.commit(&at.engine) {
                Ok(CommitResult::Committed(done)) => {
                    *open = self.settle(at, &done, marks);
                    return Ok(Receipt::delivered(events.len()));
                }
                Ok(CommitResult::Conflicted(_)) => {
                    let snapshot = self.table.refresh(&at.engine, at.snapshot)?;
                    at = Open { snapshot, marks: Marks::new(), ..at };
                }
                Ok(CommitResult::Retryable(failed)) => return self.resolve(runtime, events, failed.error),
                Err(cause) => return self.resolve(runtime, events, cause),
            }
        }
        let message =
            format!("other writers of the table {} were quicker {ATTEMPTS} times", self.table.name());
        Err(Error::new(ErrorKind::Unavailable, message)
            .hint("write less often to it, or run its maintenance later"))
    }

    /// A transaction with the files of these events, ready to be committed.
    fn stage(
        &self,
        at: &Open,
        stage: &mut Option<Stage>,
        fresh: Vec<usize>,
        supply: &Supply,
        marks: &Marks,
        now: Timestamp,
    ) -> Result<Transaction, Error> {
        let schema = at.snapshot.schema();
        let missing = fit::missing(&self.table.name(), &schema, self.table.layout)?;
        let mut transaction = self
            .transaction(at, missing, marks)
            .map_err(|cause| kernel(&format!("writing the table {}", self.table.name()), cause))?;
        let ready = match stage.take() {
            Some(ready) if ready.fits(&transaction, &schema, fresh.len()) => ready,
            _ => Files { table: &self.table, engine: &at.engine, runtime: &at.runtime, now }.write(
                &transaction,
                schema,
                fresh,
                supply,
            )?,
        };
        ready.offer(&mut transaction);
        *stage = Some(ready);
        Ok(transaction)
    }

    fn transaction(
        &self,
        at: &Open,
        missing: Vec<StructField>,
        marks: &Marks,
    ) -> delta_kernel::KernelResult<Transaction> {
        let mut builder =
            at.snapshot.clone().update_table(UpdateTableOperation::StreamingUpdate, MAKER, true);
        // It depends on nothing in the table, so that a merge of somebody else need not begin anew.
        if missing.is_empty() {
            builder = builder.with_blind_append();
        }
        for column in missing {
            builder = builder.add_column(column);
        }
        for (partition, mark) in marks {
            if let Some(mark) = mark {
                let offset = i64::try_from(mark.at).unwrap_or(i64::MAX);
                builder = builder
                    .with_transaction_id(self.offset_id(*partition), offset)
                    .with_transaction_id(self.time_id(*partition), mark.logged_us);
            }
        }
        builder.build(&at.engine, Box::new(FileSystemCommitter::new()))
    }

    /// Reads how far the partitions of these events are written.
    fn look_up_marks(&self, at: &mut Open, events: &[Entry]) -> Result<(), Error> {
        for event in events {
            let partition = event.partition;
            if at.marks.contains_key(&partition) {
                continue;
            }
            let look_up = |id: &str| {
                at.snapshot
                    .get_app_id_version(id, &at.engine)
                    .map_err(|cause| kernel(&format!("reading the table {}", self.table.name()), cause))
            };
            let mark = match look_up(&self.offset_id(partition))? {
                None => None,
                Some(offset) => Some(Mark {
                    at: u64::try_from(offset).unwrap_or(0),
                    logged_us: look_up(&self.time_id(partition))?.unwrap_or(i64::MAX),
                }),
            };
            at.marks.insert(partition, mark);
        }
        Ok(())
    }

    /// The table behind a commit. Data is safe already, so a checkpoint that
    /// fails is only noted.
    fn settle(&self, at: Open, done: &CommittedTransaction, marks: Marks) -> Option<Open> {
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
        Some(Open { snapshot, marks, ..at })
    }

    /// A commit failed: whether it took effect is seen in the table itself.
    fn resolve(&self, runtime: &Handle, events: &[Entry], cause: KernelError) -> Result<Receipt, Error> {
        let error = kernel(&format!("committing to the table {}", self.table.name()), cause);
        let looked = self.open(runtime).and_then(|mut at| {
            self.look_up_marks(&mut at, events)?;
            Ok(at)
        });
        match looked {
            Ok(at) if events.iter().all(|event| at.covers(*event)) => Ok(Receipt::delivered(events.len())),
            Ok(_) => Err(error),
            Err(_) => {
                let doubt = Outcome::Unknown(Reason::new("commit_in_doubt", error.message()));
                Ok(Receipt { outcomes: vec![doubt; events.len()], pace: None })
            }
        }
    }

    fn offset_id(&self, partition: u32) -> String {
        format!("{}/{partition}", self.prefix)
    }

    fn time_id(&self, partition: u32) -> String {
        format!("{}/{partition}/logged", self.prefix)
    }
}

impl Open {
    fn covers(&self, event: Entry) -> bool {
        let mark = self.marks.get(&event.partition).copied().flatten();
        mark.is_some_and(|mark| mark.covers(event))
    }
}

/// The marks once these events are written.
fn after(marks: &Marks, fresh: impl Iterator<Item = Entry>) -> Marks {
    let mut marks = marks.clone();
    for event in fresh {
        let mark = marks.entry(event.partition).or_default();
        *mark = Some(Mark::after(*mark, event));
    }
    marks
}
