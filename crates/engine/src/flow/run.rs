//! One execution of an import, from opening the feed to the end of the run.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tidegate_model::source::Column;
use tidegate_model::store::{Fate, Pause, RowFate, Settlement};
use tidegate_model::{
    Batch, Cause, Checkpoint, Clock, Columns, ConnectionId, Counts, Ending, Error, Feed, Mapping, Overlap,
    Platform, Reach, Reaction, Repeat, Row, Run, RunId, Selection, Source, Store, SyncId,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::delivery::Delivery;
use super::lane::Lanes;
use super::memory::Memory;
use super::place::{self, Place};
use super::read::Reader;
use super::settle::{self, Remember, Settler};
use super::slot::Slot;

/// Batches under way at once: enough that reading, delivering and settling
/// overlap, few enough that memory stays small.
pub(super) const BATCHES_UNDER_WAY: usize = 4;

/// How new rows are found.
#[derive(Clone, Debug, PartialEq)]
pub enum Detection {
    /// Every row, every time.
    Full,
    /// Rows behind the last place, by a column.
    Cursor {
        /// The column.
        column: Column,
        /// Its place among the columns.
        at: usize,
        /// How far back late rows are looked for.
        overlap: Overlap,
    },
    /// The source keeps its own place.
    Place,
}

/// An import with both of its ends opened.
#[derive(Clone)]
pub struct Import {
    /// The sync.
    pub sync: SyncId,
    /// Where rows are read.
    pub source: Arc<dyn Source>,
    /// What is read there.
    pub selection: Selection,
    /// The connection that records go to, for its lane.
    pub connection: ConnectionId,
    /// Where records go.
    pub platform: Arc<dyn Platform>,
    /// The columns that the mapping was made for.
    pub columns: Arc<Columns>,
    /// From row to record.
    pub mapping: Arc<Mapping>,
    /// How new rows are found.
    pub detection: Detection,
    /// The zone of times that have none.
    pub time_zone: String,
    /// Whether rows in doubt are sent again without asking.
    pub resend: bool,
    /// How long an unreachable system is tried.
    pub retry_for: Duration,
}

/// What a run works on.
pub enum Input {
    /// What is new at the source.
    Changes,
    /// These rows, whatever is known of them; the place of the sync stays.
    Rows(Vec<Row>),
}

/// What every run is handed.
#[derive(Clone)]
pub struct Parts {
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The lanes of this process.
    pub lanes: Arc<Lanes>,
}

/// Runs an import to its end, or until `stop` fires.
///
/// # Errors
/// Only where the run could not be opened or closed in the ledger. What goes
/// wrong in between ends the run and stands in it: its error and its ending.
pub async fn run(
    import: &Import,
    parts: &Parts,
    cause: Cause,
    input: Input,
    stop: CancellationToken,
    progress: watch::Sender<Counts>,
) -> Result<Run, Error> {
    let object = import.platform.object();
    let state = parts.store.sync_state(&import.sync).await?;
    let run = parts.store.start_run(&import.sync, object.kind, cause, parts.clock.now()).await?;
    let control = Arc::new(Control::new(stop));
    let changes = matches!(input, Input::Changes);
    let moved = match open(import, parts, state.checkpoint.as_ref(), input).await {
        Ok((feed, memory, place)) => {
            Some(move_rows(import, parts, &run.id, &control, feed, memory, place, changes, progress).await)
        }
        Err(error) => {
            control.fail(error);
            None
        }
    };
    let failure = control.take_failure();
    let complete = failure.is_none() && !control.stopped() && changes;
    let mut counts = Counts::default();
    if let Some((memory, batches, settled)) = moved {
        counts = settled;
        if complete {
            counts += finish(import, parts, &run.id, memory, batches + 1).await?;
        }
    }
    let ending = match (&failure, control.stopped()) {
        (Some(_), _) => Ending::Failed,
        (None, true) => Ending::Interrupted,
        (None, false) if counts.rejected + counts.in_doubt > 0 => Ending::Partial,
        (None, false) => Ending::Succeeded,
    };
    // Looked at again: what a person paused in the meantime stays paused.
    let paused = parts.store.sync_state(&import.sync).await?.paused;
    let pausing = failure.as_ref().filter(|error| error.reaction() == Reaction::Pause);
    match (pausing, paused) {
        (_, Some(pause)) if pause.by != "tidegate" => {}
        (Some(error), _) => {
            let pause = Pause { by: "tidegate".to_owned(), why: sentence(error), at: parts.clock.now() };
            parts.store.set_paused(&import.sync, Some(pause)).await?;
        }
        // Only a run that came to its end proves that the cause is mended.
        (None, Some(_)) if matches!(ending, Ending::Succeeded | Ending::Partial) => {
            parts.store.set_paused(&import.sync, None).await?;
        }
        _ => {}
    }
    let error = failure.as_ref().map(sentence);
    parts.store.finish_run(&run.id, ending, error, complete, parts.clock.now()).await
}

/// What people read of a failure: the sentence, its cause, the next step.
fn sentence(error: &Error) -> String {
    format!("{}. Next: {}", error.chain(), error.next_step())
}

type Opened = (Feed<Row>, Memory, Option<Place>);

/// Opens the feed at the place where the sync stands.
async fn open(
    import: &Import,
    parts: &Parts,
    checkpoint: Option<&Checkpoint>,
    input: Input,
) -> Result<Opened, Error> {
    let memory = Memory::load(parts.store.as_ref(), &import.sync).await?;
    let place = place::place_of(&import.sync, &import.detection, checkpoint)?;
    if let Input::Rows(rows) = input {
        let batches: Vec<_> =
            rows.chunks(batch_rows(import)).map(|rows| Ok(Batch::of(rows.to_vec()))).collect();
        return Ok((futures_util::stream::iter(batches).boxed(), memory, place));
    }
    let reach = match &import.detection {
        Detection::Full => Reach::Everything,
        Detection::Place => Reach::After { checkpoint: checkpoint.cloned(), follow: false },
        Detection::Cursor { column, overlap, .. } => Reach::Cursor {
            column: column.name.clone(),
            from: place.as_ref().map(|place| place.low(*overlap)),
            time_zone: import.time_zone.clone(),
        },
    };
    let feed = import.source.read(&import.selection, &reach, batch_rows(import)).await?;
    Ok((feed, memory, place))
}

/// Rows of a batch: a few requests for each slot.
fn batch_rows(import: &Import) -> usize {
    let limits = import.platform.limits();
    (limits.items_max * limits.requests_at_once * 4).clamp(500, 4_800)
}

/// The pipeline itself. Returns what is left of the memory, the number of
/// batches and what was settled.
#[expect(clippy::too_many_arguments, reason = "the seam between opening and moving, called once")]
async fn move_rows(
    import: &Import,
    parts: &Parts,
    run: &RunId,
    control: &Arc<Control>,
    feed: Feed<Row>,
    mut memory: Memory,
    place: Option<Place>,
    changes: bool,
    progress: watch::Sender<Counts>,
) -> (Memory, u64, Counts) {
    let limits = parts.lanes.limits(import.platform.limits());
    let repeat = import.platform.object().repeat;
    let cursor = match &import.detection {
        Detection::Cursor { at, .. } => Some(*at),
        _ => None,
    };
    let standing = match (&import.detection, &place) {
        (Detection::Cursor { column, .. }, Some(place)) => Some((column.name.clone(), place.cursor.clone())),
        _ => None,
    };
    let settler = Settler {
        store: parts.store.clone(),
        run: run.clone(),
        control: control.clone(),
        remember: match &import.detection {
            Detection::Cursor { overlap, .. } => Remember::Overlap(*overlap),
            Detection::Full if repeat != Repeat::Safe => Remember::UntilComplete,
            Detection::Full | Detection::Place => Remember::Torn,
        },
        place,
        chunks: std::mem::take(&mut memory.chunks).into(),
        problems: std::mem::take(&mut memory.problems),
        progress,
        moves: changes,
    };
    let (notes, noted) = mpsc::channel(256);
    let settler = tokio::spawn(settler.settle_all(noted));
    let delivery = Delivery {
        platform: import.platform.clone(),
        mapping: import.mapping.clone(),
        lane: parts.lanes.lane(&import.connection, limits.bucket, limits.rate),
        store: parts.store.clone(),
        run: run.clone(),
        control: control.clone(),
        clock: parts.clock.clone(),
        repeat,
        resend: import.resend,
        interval: if limits.one_user { limits.user_interval } else { Duration::ZERO },
        retry_for: import.retry_for,
    };
    let mut slots = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..limits.requests_at_once.max(1) {
        let (sender, incoming) = mpsc::channel(BATCHES_UNDER_WAY);
        let slot = Slot {
            platform: import.platform.clone(),
            limits,
            delivery: delivery.clone(),
            control: control.clone(),
            incoming,
            notes: notes.clone(),
        };
        slots.push(tokio::spawn(slot.send_all()));
        senders.push(sender);
    }
    let reader = Reader {
        sync: import.sync.clone(),
        columns: import.columns.clone(),
        standing,
        mapping: import.mapping.clone(),
        platform: import.platform.clone(),
        control: control.clone(),
        memory,
        cursor,
        resend: import.resend || repeat != Repeat::Unsafe,
        recall: changes,
        slots: senders,
        items_max: limits.items_max,
        spread: 0,
        notes,
        window: Arc::new(Semaphore::new(BATCHES_UNDER_WAY)),
    };
    let (memory, batches) = reader.read_all(feed).await;
    for slot in slots {
        if let Err(fault) = slot.await {
            control.fail(Error::internal("a slot of the run ended by a fault").caused_by(fault));
        }
    }
    let counts = settler.await.unwrap_or_else(|fault| {
        control.fail(Error::internal("the settling of the run ended by a fault").caused_by(fault));
        Counts::default()
    });
    (memory, batches, counts)
}

/// After a read that came to its end: rows that an earlier run sent and that the
/// source no longer shows are listed with their fate, in doubt where it is not known, and what was kept for an early end is forgotten.
async fn finish(
    import: &Import,
    parts: &Parts,
    run: &RunId,
    mut memory: Memory,
    batch: u64,
) -> Result<Counts, Error> {
    let fates: Vec<RowFate> = (memory.left_over().into_iter())
        .map(|(row, fate)| RowFate {
            key: row.key,
            key_text: row.key_text,
            row: row.row,
            user: row.user,
            fate,
            payload: None,
        })
        .collect();
    // Whatever read them could not count them any more.
    let mut counts = Counts { read: fates.len() as u64, ..Counts::default() };
    fates.iter().for_each(|row| settle::count(&mut counts, &row.fate));
    if !fates.is_empty() {
        let recalled = fates.iter().map(|row| row.row).collect();
        let delivered = fates.iter().filter(|row| row.fate == Fate::Delivered);
        let solved = delivered.map(|row| row.key).collect();
        let settlement = Settlement { batch, counts, fates, solved, recalled, ..Settlement::default() };
        parts.store.settle(run, settlement).await?;
    }
    if !matches!(import.detection, Detection::Cursor { .. }) {
        parts.store.clear_overlap(&import.sync).await?;
    }
    Ok(counts)
}
