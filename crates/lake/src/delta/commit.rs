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
use super::fit;
use super::form::{Encoded, Form};
use super::stage::Stage;
use super::table::{Engine, MAKER, Table};
use crate::progress::{Entry, Mark};

/// How often a commit is tried when other writers are quicker.
const ATTEMPTS: usize = 16;
/// Commits between two checkpoints where the table says nothing: opening a table
/// reads the commits behind its last checkpoint.
const CHECKPOINT_EVERY: u64 = 100;

/// A table that is open, and how far each partition of the log is written to it.
pub(super) struct Open {
    engine: Engine,
    snapshot: SnapshotRef,
    marks: Marks,
}

type Marks = BTreeMap<u32, Option<Mark>>;

/// What a delivery is written from.
pub(super) enum Material {
    /// Files of all of its events, encoded before its turn; they can be used once.
    Encoded(Option<Encoded>),
    /// The events themselves.
    Events(Vec<LoggedEvent>),
}

/// An export into a table.
pub(super) struct Export {
    /// The table.
    pub(super) table: Table,
    /// What the export's `txn` actions are named by, without the partition of the log.
    prefix: String,
    /// How the table's files looked when it was last written to.
    form: Mutex<Option<Form>>,
}

impl Export {
    /// The export of this target.
    pub(super) fn new(table: Table, target: &SinkTarget) -> Export {
        Export {
            table,
            prefix: format!("tidegate/{}/{}", target.stream, target.sync),
            form: Mutex::default(),
        }
    }

    /// Opens the table, making it where there is none.
    pub(super) fn open(&self, runtime: &Handle) -> Result<Open, Error> {
        let engine = self.table.engine(runtime);
        let snapshot = self.table.open_or_make(&engine, runtime)?;
        Ok(Open { engine, snapshot, marks: Marks::new() })
    }

    /// Encodes events for the table as it was last; nothing where it was not written to yet.
    pub(super) fn encode(&self, events: &[LoggedEvent], now: Timestamp) -> Result<Option<Encoded>, Error> {
        let form = self.form.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let events: Vec<&LoggedEvent> = events.iter().collect();
        form.map(|form| form.encode(&self.table, &events, now)).transpose()
    }

    /// Writes the events that were not written before; `None` where the material
    /// does not do and the events themselves are needed. `open` stays empty where
    /// the state of the table is not certain any more.
    pub(super) fn write(
        &self,
        open: &mut Option<Open>,
        runtime: &Handle,
        events: &[Entry],
        mut material: Material,
        now: Timestamp,
    ) -> Result<Option<Receipt>, Error> {
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
                return Ok(Some(Receipt::delivered(events.len())));
            }
            if fresh.len() < events.len() && matches!(material, Material::Encoded(_)) {
                return Ok(None);
            }
            let marks = after(&at.marks, fresh.iter().map(|&place| events[place]));
            let mut transaction = self.transaction(&at, &marks)?;
            let form = Form::of(&self.table, &transaction, &at.engine)?;
            self.form.lock().unwrap_or_else(PoisonError::into_inner).replace(form.clone());
            let ready = match stage.take().filter(|ready: &Stage| ready.fits(&form, fresh.len())) {
                Some(ready) => ready,
                None => {
                    let Some(encoded) = self.encoded(&form, &mut material, &fresh, now)? else {
                        return Ok(None);
                    };
                    Stage::put(&self.table, runtime, encoded, fresh.len(), now)?
                }
            };
            ready.offer(&mut transaction);
            stage = Some(ready);
            match transaction.commit(&at.engine) {
                Ok(CommitResult::Committed(done)) => {
                    *open = self.settle(at, &done, marks);
                    return Ok(Some(Receipt::delivered(events.len())));
                }
                Ok(CommitResult::Conflicted(_)) => {
                    let snapshot = self.table.refresh(&at.engine, at.snapshot)?;
                    at = Open { snapshot, marks: Marks::new(), ..at };
                }
                Ok(CommitResult::Retryable(failed)) => {
                    return self.resolve(runtime, events, failed.error).map(Some);
                }
                Err(cause) => return self.resolve(runtime, events, cause).map(Some),
            }
        }
        let message =
            format!("other writers of the table {} were quicker {ATTEMPTS} times", self.table.name());
        Err(Error::new(ErrorKind::Unavailable, message)
            .hint("write less often to it, or run its maintenance later"))
    }

    /// Files of these events of the delivery that the table can take; `None` where
    /// the material has none.
    fn encoded(
        &self,
        form: &Form,
        material: &mut Material,
        fresh: &[usize],
        now: Timestamp,
    ) -> Result<Option<Encoded>, Error> {
        match material {
            Material::Encoded(encoded) => Ok(encoded.take().filter(|encoded| form.is(&encoded.form))),
            Material::Events(events) => {
                let events: Vec<&LoggedEvent> = fresh.iter().filter_map(|&place| events.get(place)).collect();
                form.encode(&self.table, &events, now).map(Some)
            }
        }
    }

    /// A transaction that appends to the table, adding the columns that it lacks.
    fn transaction(&self, at: &Open, marks: &Marks) -> Result<Transaction, Error> {
        let missing = fit::missing(&self.table.name(), &at.snapshot.schema(), self.table.layout)?;
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
        let built = builder.build(&at.engine, Box::new(FileSystemCommitter::new()));
        built.map_err(|cause| kernel(&self.table.writing(), cause))
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
