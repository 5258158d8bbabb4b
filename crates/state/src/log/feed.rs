//! A stream as batches.

use std::vec;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tidegate_model::{Batch, Checkpoint, Error, Feed, LoggedEvent, Reading};
use tokio::sync::watch;
use tokio::task::{self, JoinHandle};

use super::cursor::Cursor;
use super::recovery::Tail;
use super::writer::Progress;

/// About how much one batch holds at most.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

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
        Reader { ahead: Ahead::Idle(cursor), block: Vec::new().into_iter(), expected: 0, progress, reading };
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
    /// What is left of the block that was read last.
    block: vec::IntoIter<LoggedEvent>,
    /// Events of the batch before: the next one is likely to have as many.
    expected: usize,
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
        let mut items = Vec::new();
        let mut bytes = 0;
        loop {
            // Look before reading, so that what comes in between wakes the wait below.
            let tail = self.tail();
            let full = self.take(&mut items, &mut bytes);
            if !full && self.load(tail).await? {
                continue;
            }
            if let Some(last) = items.last() {
                self.expected = items.len();
                let checkpoint = Some(checkpoint(last.offset.at + 1));
                return Ok(Some(Batch { checkpoint, ..Batch::of(items) }));
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

    /// Moves events of the block into a batch. Returns whether it is full.
    fn take(&mut self, items: &mut Vec<LoggedEvent>, bytes: &mut usize) -> bool {
        let most = self.reading.batch_events.max(1);
        if items.is_empty() && self.block.len() > 0 {
            items.reserve(self.expected.max(self.block.len()).min(most));
        }
        while let Some(next) = self.block.as_slice().first() {
            *bytes += next.event.weight();
            if items.len() >= most || (*bytes > BATCH_BYTES && !items.is_empty()) {
                return true;
            }
            items.extend(self.block.next());
        }
        items.len() >= most
    }

    fn tail(&mut self) -> Tail {
        match &*self.progress.borrow_and_update() {
            Progress::Durable(tail) => *tail,
            Progress::Opening | Progress::Unusable(_) => Tail::default(),
        }
    }

    /// Waits for the next block; `false` where there is none for now.
    async fn load(&mut self, tail: Tail) -> Result<bool, Error> {
        self.start(tail);
        let Ahead::Reading(task) = &mut self.ahead else { return Ok(false) };
        let done = task.await.map_err(|cause| Error::internal("reading the event log").caused_by(cause));
        self.ahead = match done {
            Ok((cursor, Ok(events))) => {
                self.block = events.into_iter();
                Ahead::Idle(cursor)
            }
            // Told once what came before it was given out.
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
}
