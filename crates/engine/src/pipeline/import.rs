//! Imports: rows of a source become records of a platform.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use tidegate_model::source::Column;
use tidegate_model::store::{BatchCommit, SyncState};
use tidegate_model::{
    Batch, Cause, Checkpoint, Columns, ConnectionId, Ending, Error, Feed, Idempotency, Mapping, Platform,
    Progress, ReadMode, Reason, Record, Row, RowHash, Run, RunId, Selection, Source, SyncId, Systems,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::pipeline::batch_size::batch_items;
use crate::pipeline::begins::Begins;
use crate::pipeline::brake::ConfirmedRows;
use crate::pipeline::interrupted;
use crate::pipeline::kept_row::KeptRows;
use crate::pipeline::mirror::{compared, doubted, is_noted};
use crate::pipeline::read::compare::Duplicates;
use crate::pipeline::read::cursor_state::{self, ChangeTracking, CursorState};
use crate::pipeline::read::epoch::EpochUnit;
use crate::pipeline::read::key;
use crate::pipeline::read::mirror_state::{MirrorState, SharedMirrorState};
use crate::pipeline::read::relay::laid_out;
use crate::pipeline::removal::Removal;
use crate::pipeline::rows::Rows;
use crate::pipeline::run::{self, Job, Opened, Parts};
use crate::pipeline::run_kind::{Retention, RunKind};
use crate::pipeline::sent::SentAttributes;
use crate::pipeline::systems;
use tidegate_project::{Changed, Compare, Limits};

/// An import with both of its ends opened.
#[derive(Clone)]
pub struct Import {
    /// The sync.
    pub sync: SyncId,
    /// Where rows are read.
    pub source: Arc<dyn Source>,
    /// The connection that they come from.
    pub source_connection: ConnectionId,
    /// What both connections point to.
    pub systems: Systems,
    /// What is read there.
    pub selection: Selection,
    /// The connection that records go to, for its rate limiter.
    pub connection: ConnectionId,
    /// Where records go.
    pub platform: Arc<dyn Platform>,
    /// The columns that the mapping was made for.
    pub columns: Arc<Columns>,
    /// Whether rows may come with other columns, or in another order.
    pub open: bool,
    /// From row to record.
    pub mapping: Arc<Mapping>,
    /// How new rows are found.
    pub tracking: ChangeTracking,
    /// What becomes of a row whose key was committed with other values.
    pub changed: Changed,
    /// How long keys of delivered rows are known if changes are ignored; `None` for good.
    pub keys_for: Option<Duration>,
    /// What is done about rows that are gone, if anything.
    pub removal: Option<Removal>,
    /// Whether the source compares its rows itself.
    pub compares_at_source: bool,
    /// Whether rows are read, or hashes of them before.
    pub compare: Compare,
    /// The name of the memo of what hashes stood for; `None` if the rows are always read.
    pub hashes: Option<RowHash>,
    /// How much a run may change; `None` if a person has confirmed it, whatever it changes.
    pub limits: Option<Limits>,
    /// What a person has confirmed of a run: it may exceed its limits up to there.
    pub confirmed: Option<ConfirmedRows>,
    /// The zone of times that have none.
    pub time_zone: String,
    /// Whether rows in doubt are sent again without asking.
    pub resend: bool,
    /// How long an unreachable system is tried.
    pub retry_for: Duration,
}

impl Import {
    /// Returns a mirror between two ends that are no connections of a project, without options: all rows are read and
    /// compared, and those that have changed are sent.
    pub fn mirror(
        sync: SyncId,
        source: Arc<dyn Source>,
        platform: Arc<dyn Platform>,
        mapping: Mapping,
        columns: Arc<Columns>,
    ) -> Import {
        Import {
            sync,
            source,
            source_connection: ConnectionId::new("source"),
            systems: Systems::default(),
            selection: Selection::default(),
            connection: ConnectionId::new("destination"),
            platform,
            columns,
            open: false,
            mapping: Arc::new(mapping),
            tracking: ChangeTracking::Mirror,
            changed: Changed::Send,
            keys_for: None,
            removal: None,
            compares_at_source: false,
            compare: Compare::Rows,
            hashes: None,
            limits: None,
            confirmed: None,
            time_zone: "UTC".to_owned(),
            resend: false,
            retry_for: Duration::from_secs(60),
        }
    }
}

/// What a run of an import works on.
pub enum Input {
    /// What is new at the source.
    Changes,
    /// All that is at the source, whatever was sent of it.
    Everything,
    /// What is new, and what comes later, until the run is stopped.
    Following,
    /// These rows, whatever is known of them; the checkpoint of the sync stays.
    Rows(Feed<Row>),
    /// These rows, of which the mapping sends a part: what is known of them stays.
    Backfill(Feed<Row>),
}

impl Input {
    /// These rows, all at once.
    pub fn rows(rows: Batch<Row>) -> Input {
        Input::Rows(futures_util::stream::iter([Ok(rows)]).boxed())
    }

    fn kind(&self) -> RunKind {
        match self {
            Input::Changes => RunKind::CatchUp,
            Input::Everything => RunKind::Full,
            Input::Following => RunKind::Follow,
            Input::Rows(_) => RunKind::Retry,
            Input::Backfill(_) => RunKind::Backfill,
        }
    }
}

/// Runs an import to its end, or until `stop` fires.
///
/// # Errors
/// Only where the run could not be opened or closed in the ledger. What goes
/// wrong in between ends the run and is recorded in it: its error and its ending.
pub async fn run(
    import: &Import,
    parts: &Parts,
    cause: Cause,
    input: Input,
    stop: CancellationToken,
    progress: watch::Sender<Progress>,
) -> Result<Run, Error> {
    let kind = input.kind();
    let state = parts.store.sync_state(&import.sync).await?;
    let kept = Arc::new(KeptRows::of(parts.store.clone(), &import.sync).await?);
    let duplicates = Duplicates::default();
    let sends_attributes = import.changed == Changed::Attributes && kind != RunKind::Backfill;
    let sent =
        sends_attributes.then(|| SentAttributes::new(import.platform.always_sent(), kind.skips_committed()));
    let sent = sent.as_ref();
    let job = |begins: &Begins, platform: &Arc<dyn Platform>| Job {
        sync: import.sync.clone(),
        transform: Arc::new(Rows::of(import, begins, kept.clone(), &duplicates, sent)),
        destination: platform.clone(),
        connection: import.connection.clone(),
        object: import.platform.object().kind,
        idempotency: platform.object().idempotency,
        resend: import.resend,
        retry_for: import.retry_for,
        isolates: true,
        retention: import.retention(kind),
        changed: import.changed,
        keys_for: import.keys_for,
        keeps_users: import.removal.is_some(),
        counts_read: true,
        notes: is_noted(import, platform),
        kind,
        cursor_state: begins.cursor_state.clone(),
        mirror: begins.mirror.clone(),
    };
    let checkpoint = state.checkpoint.as_ref();
    // A checkpoint that no longer fits its column ends the run before anything is read.
    let begins = match systems::confirmed(import, &state, kind) {
        Ok(()) => Begins::of(import, checkpoint, kind).await,
        Err(error) => Err(error),
    };
    let (begins, opened) = match begins {
        Ok(begins) => (begins, Ok(())),
        Err(error) => (Begins::default(), Err(error)),
    };
    let removing = import.removal.as_ref().map(|removal| Job {
        keeps_users: false,
        counts_read: false,
        notes: is_noted(import, &removal.platform),
        ..job(&begins, &removal.platform)
    });
    let job = job(&begins, &import.platform);
    let comparing = progress.clone();
    let (begins, duplicates) = (&begins, &duplicates);
    let systems_to_note = systems::to_note(import, &state, kind);
    let feed = |run: RunId| async move {
        opened?;
        if let Some(systems) = systems_to_note {
            parts.store.note_systems(&parts.lease, systems).await?;
        }
        take_over(import, parts, begins, &run).await?;
        match (&import.tracking, input) {
            (ChangeTracking::Mirror, Input::Changes | Input::Everything | Input::Following) => {
                let (feed, removed) =
                    compared(import, parts, &run, begins, (duplicates, sent), comparing).await?;
                Ok(Opened { feed, then: removing.zip(removed) })
            }
            (ChangeTracking::Mirror, Input::Rows(rows)) => {
                let rows = duplicates.of_retry(rows, &import.mapping);
                let rows = match &begins.at_source {
                    Some(at_source) => doubted(rows, &import.mapping, at_source),
                    None => rows,
                };
                open(import, None, None, Input::Rows(rows)).await.map(Opened::alone)
            }
            (_, input) => {
                open(import, begins.cursor_state.as_ref(), checkpoint, input).await.map(Opened::alone)
            }
        }
    };
    let run = run::run_job(&job, parts, cause, feed, stop, progress).await?;
    let complete = matches!(run.ending, Some(Ending::Succeeded | Ending::Partial));
    if let Some(at_source) = begins.at_source.as_ref().filter(|_| kind.moves_checkpoint())
        && let Err(error) = at_source.end(complete).await
    {
        // The source shows these rows once more, and the ledger knows them.
        let (sync, error) = (&import.sync, error.chain());
        tracing::warn!(%sync, error, "the source could not note rows that were committed");
    }
    if kind == RunKind::Full && complete {
        parts.store.note_systems(&parts.lease, &import.systems).await?;
    }
    Ok(run)
}

/// Brings into order what earlier runs left, before anything is read.
async fn take_over(import: &Import, parts: &Parts, begins: &Begins, run: &RunId) -> Result<(), Error> {
    if begins.leaves_source {
        // Entries at the source no longer hold once anything is sent.
        let checkpoint = begins.mirror.as_ref().map(SharedMirrorState::checkpoint);
        let commit = BatchCommit { batch: interrupted::BATCH, checkpoint, ..BatchCommit::default() };
        parts.store.commit_batch(run, commit).await?;
    }
    if is_noted(import, &import.platform) {
        interrupted::take_over(import, parts.store.as_ref(), run).await?;
    }
    Ok(())
}

impl Import {
    /// Returns whether a run can follow the source, until it is stopped.
    pub(crate) fn follows(&self) -> bool {
        matches!(self.tracking, ChangeTracking::Checkpoint) && self.source.supports_streaming()
    }

    /// The names of the key columns, none if the whole row is the key.
    pub(crate) fn key_names(&self) -> Vec<String> {
        let names = self.columns.names();
        self.mapping.key_columns().iter().filter_map(|at| names.get(*at).cloned()).collect()
    }

    /// Returns which committed rows a run keeps for later ones.
    fn retention(&self, kind: RunKind) -> Retention {
        match &self.tracking {
            // It looks nothing up, and leaves nothing.
            _ if kind == RunKind::Backfill => Retention::UntilComplete,
            ChangeTracking::Cursor { lookback, origin, .. } => {
                Retention::Lookback(lookback.clone(), origin.clone())
            }
            ChangeTracking::Mirror => Retention::ByKey,
            ChangeTracking::Full if self.platform.object().idempotency != Idempotency::Idempotent => {
                Retention::UntilComplete
            }
            ChangeTracking::Full | ChangeTracking::Checkpoint => Retention::PartialBatches,
        }
    }

    /// Reads the source. What fails there is said to fail at its connection.
    ///
    /// # Errors
    /// If reading cannot begin.
    pub(crate) async fn read(&self, mode: &ReadMode, batch_rows: usize) -> Result<Feed<Row>, Error> {
        let connection = self.source_connection.clone();
        let feed = self.source.read(&self.selection, mode, batch_rows).await;
        let feed = feed.map_err(|error| error.at(&connection))?;
        let feed = feed.map_err(move |error| error.at(&connection)).boxed();
        Ok(if self.open { laid_out(feed, Arc::clone(&self.columns)) } else { feed })
    }

    /// Whether a person has confirmed the run, wholly or as it was shown.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.limits.is_none() || self.confirmed.is_some()
    }

    /// Reads about `rows` rows, as the mapping expects them; `None` if the source cannot cheaply.
    ///
    /// # Errors
    /// If reading cannot begin.
    pub(crate) async fn sample(&self, rows: usize) -> Result<Option<Feed<Row>>, Error> {
        let feed = self.source.sample(&self.selection, rows).await?;
        Ok(feed.map(|feed| if self.open { laid_out(feed, Arc::clone(&self.columns)) } else { feed }))
    }

    /// Returns the record that a row becomes, or why the platform would not take it.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn record_of(&self, row: &Row, scratch: &mut Vec<u8>) -> Result<Record, Reason> {
        let whole = self.mapping.version_of(row, scratch);
        let key = self.mapping.key_of(row, whole, scratch);
        let record = self.mapping.apply(row, key, whole)?;
        self.platform.validate(&record).map(|()| record)
    }

    /// Checks that the next run can continue from the checkpoint of the sync.
    ///
    /// # Errors
    /// If another `mode`, or a cursor of another type, made it, or it is about another system, or rows of another key.
    pub(crate) fn continues(&self, state: &SyncState) -> Result<(), Error> {
        let checkpoint = state.checkpoint.as_ref();
        systems::unchanged(self, state)?;
        cursor_state::cursor_state_of(&self.sync, &self.tracking, checkpoint)?;
        key::unchanged(self, checkpoint)?;
        match self.tracking {
            ChangeTracking::Mirror => MirrorState::of(&self.sync, checkpoint).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Returns what the numbers of the cursor count since 1970, by the magnitude of
    /// the highest one; `None` if there are none, or the source cannot say.
    ///
    /// # Errors
    /// If the source cannot be asked.
    pub(crate) async fn cursor_unit(&self, cursor: &Column) -> Result<Option<Option<EpochUnit>>, Error> {
        let highest = self.source.highest(&self.selection, &cursor.name, &self.time_zone).await?;
        Ok(highest.as_ref().map(EpochUnit::of))
    }
}

/// Opens the feed at the checkpoint of the sync.
async fn open(
    import: &Import,
    cursor_state: Option<&CursorState>,
    checkpoint: Option<&Checkpoint>,
    input: Input,
) -> Result<Feed<Row>, Error> {
    let batch_rows = batch_items(&import.platform.limits());
    let (follow, from_beginning) = match input {
        Input::Rows(rows) | Input::Backfill(rows) => {
            let pieces = move |rows| futures_util::stream::iter(pieces(rows, batch_rows).into_iter().map(Ok));
            return Ok(rows.map_ok(pieces).try_flatten().boxed());
        }
        Input::Changes => (false, false),
        Input::Everything => (false, true),
        Input::Following => (true, false),
    };
    let cursor_state = cursor_state.filter(|_| !from_beginning);
    let mode = match &import.tracking {
        ChangeTracking::Full | ChangeTracking::Mirror => ReadMode::Full,
        ChangeTracking::Checkpoint => ReadMode::Resume { checkpoint: checkpoint.cloned(), follow },
        ChangeTracking::Cursor { column, lookback, .. } => ReadMode::Incremental {
            column: column.name.clone(),
            from: cursor_state.map(|cursor_state| cursor_state.low(lookback)).transpose()?.flatten(),
            time_zone: import.time_zone.clone(),
        },
    };
    import.read(&mode, batch_rows).await
}

/// Cuts a batch into batches of this many rows; the last one has what is no row.
fn pieces(rows: Batch<Row>, batch_rows: usize) -> Vec<Batch<Row>> {
    let Batch { items, origins, malformed, fixed, .. } = rows;
    let (mut items, mut origins) = (items.into_iter(), origins.into_iter());
    let mut batches = Vec::new();
    while items.len() > 0 {
        let items = items.by_ref().take(batch_rows.max(1)).collect();
        let origins = origins.by_ref().take(batch_rows.max(1)).collect();
        batches.push(Batch { origins, ..Batch::of(items) });
    }
    if !malformed.is_empty() || !fixed.is_empty() {
        batches.push(Batch { malformed, fixed, ..Batch::of(Vec::new()) });
    }
    batches
}
