//! A stream as batches.

use std::collections::VecDeque;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tidegate_model::{Batch, Checkpoint, Error, Feed, LoggedEvent, Reading};
use tokio::sync::watch;
use tokio::task::{self, JoinHandle};

use super::cursor::Cursor;
use super::recovery::Tail;
use super::writer::Progress;

/// About how much one batch holds at most.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The place behind a batch.
#[derive(Serialize, Deserialize)]
struct Place {
    /// The offset to read on from.
    offset: u64,
}

/// The offset behind a checkpoint; 0 where there is none.
pub(super) fn offset_of(after: Option<&Checkpoint>) -> Result<u64, Error> {
    let Some(Checkpoint(value)) = after else { return Ok(0) };
    Place::deserialize(value)
        .map(|place| place.offset)
        .map_err(|cause| Error::internal("a checkpoint is not one of the event log").caused_by(cause))
}

fn checkpoint(offset: u64) -> Checkpoint {
    Checkpoint(serde_json::json!(Place { offset }))
}

/// Batches from a cursor on.
pub(super) fn feed(
    cursor: Cursor,
    progress: watch::Receiver<Progress>,
    reading: Reading,
) -> Feed<LoggedEvent> {
    let reader =
        Reader { ahead: Ahead::Idle(cursor), pending: VecDeque::new(), weight: 0, progress, reading };
    stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        match reader.batch().await {
            Ok(Some(batch)) => Some((Ok(batch), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

struct Reader {
    ahead: Ahead,
    pending: VecDeque<LoggedEvent>,
    weight: usize,
    progress: watch::Receiver<Progress>,
    reading: Reading,
}

/// The next block: it is read while the one before it is used.
enum Ahead {
    Idle(Cursor),
    Reading(JoinHandle<(Cursor, Result<Vec<LoggedEvent>, Error>)>),
    Failed(Option<Error>),
}

impl Reader {
    async fn batch(&mut self) -> Result<Option<Batch<LoggedEvent>>, Error> {
        loop {
            // Look before reading, so that what comes in between wakes the wait below.
            let tail = self.tail();
            let full = self.pending.len() >= self.reading.batch_events.max(1) || self.weight >= BATCH_BYTES;
            if !full && self.load(tail).await? {
                continue;
            }
            if !self.pending.is_empty() {
                return Ok(Some(self.take()));
            }
            if let Ahead::Failed(error) = &mut self.ahead {
                return error.take().map_or(Ok(None), Err);
            }
            // The log was closed when nobody tells any more.
            if !self.reading.follow || self.progress.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    fn tail(&mut self) -> Tail {
        match &*self.progress.borrow_and_update() {
            Progress::Durable(tail) => *tail,
            Progress::Opening | Progress::Unusable(_) => Tail::default(),
        }
    }

    /// Adds a block to what is pending; `false` where there is none for now.
    async fn load(&mut self, tail: Tail) -> Result<bool, Error> {
        self.start(tail);
        let Ahead::Reading(task) = &mut self.ahead else { return Ok(false) };
        let done = task.await.map_err(|cause| Error::internal("reading the event log").caused_by(cause));
        self.ahead = match done {
            Ok((cursor, Ok(events))) => {
                self.weight += events.iter().map(|logged| logged.event.weight()).sum::<usize>();
                self.pending.extend(events);
                Ahead::Idle(cursor)
            }
            // Told once what is pending was given out.
            Ok((_, Err(error))) | Err(error) => Ahead::Failed(Some(error)),
        };
        self.start(tail);
        Ok(true)
    }

    /// Begins to read the next block, where there is one.
    fn start(&mut self, tail: Tail) {
        self.ahead = match std::mem::replace(&mut self.ahead, Ahead::Failed(None)) {
            Ahead::Idle(mut cursor) if cursor.next() < tail.next => {
                Ahead::Reading(task::spawn_blocking(move || {
                    let events = cursor.read(tail);
                    (cursor, events)
                }))
            }
            other => other,
        };
    }

    fn take(&mut self) -> Batch<LoggedEvent> {
        let most = self.reading.batch_events.max(1);
        let mut bytes = 0;
        let fits = self.pending.iter().take(most).take_while(|logged| {
            let first = bytes == 0;
            bytes += logged.event.weight();
            first || bytes <= BATCH_BYTES
        });
        let count = fits.count();
        let items: Vec<LoggedEvent> = self.pending.drain(..count).collect();
        self.weight -= items.iter().map(|logged| logged.event.weight()).sum::<usize>();
        let checkpoint = items.last().map(|last| checkpoint(last.offset.at + 1));
        Batch { checkpoint, ..Batch::of(items) }
    }
}
