//! A stream as batches.

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tidegate_model::{Batch, Checkpoint, Error, Feed, LoggedEvent, Reading};
use tokio::sync::watch;
use tokio::task::{self, JoinHandle};

use super::cursor::Cursor;
use super::recovery::Tail;
use super::segment::Room;
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
    let reader = Reader { ahead: Ahead::Idle(cursor), progress, reading };
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
    progress: watch::Receiver<Progress>,
    reading: Reading,
}

/// The next batch: it is read while the one before it is used.
enum Ahead {
    Idle(Cursor),
    Reading(JoinHandle<Growing>),
    /// Told once what came before it was given out.
    Failed(Option<Error>),
}

/// A batch while it is read, on a thread that waits for the disk.
struct Growing {
    cursor: Cursor,
    items: Vec<LoggedEvent>,
    room: Room,
    failed: Option<Error>,
}

impl Growing {
    /// Reads until the batch is full or the tail is reached.
    fn grow(mut self, tail: Tail) -> JoinHandle<Growing> {
        task::spawn_blocking(move || {
            self.failed = self.cursor.read(tail, &mut self.room, &mut self.items).err();
            self
        })
    }

    /// Whether more would fit that is there.
    fn lacks(&self, tail: Tail) -> bool {
        self.failed.is_none() && !self.room.is_full() && self.cursor.next() < tail.next
    }
}

impl Reader {
    async fn batch(&mut self) -> Result<Option<Batch<LoggedEvent>>, Error> {
        loop {
            // Look before reading, so that what comes in between wakes the wait below.
            let tail = self.tail();
            let reading = match std::mem::replace(&mut self.ahead, Ahead::Failed(None)) {
                Ahead::Reading(task) => task,
                Ahead::Idle(cursor) if cursor.next() < tail.next => self.begin(cursor, 0).grow(tail),
                Ahead::Idle(cursor) => {
                    self.ahead = Ahead::Idle(cursor);
                    // The log was closed when nobody tells any more.
                    if !self.reading.follow || self.progress.changed().await.is_err() {
                        return Ok(None);
                    }
                    continue;
                }
                Ahead::Failed(error) => return error.map_or(Ok(None), Err),
            };
            let mut read = finished(reading).await?;
            // It was begun when less was there.
            while read.lacks(tail) {
                read = finished(read.grow(tail)).await?;
            }
            let Growing { cursor, items, failed, .. } = read;
            self.ahead = match failed {
                Some(error) => Ahead::Failed(Some(error)),
                None if cursor.next() < tail.next => {
                    Ahead::Reading(self.begin(cursor, items.len()).grow(tail))
                }
                None => Ahead::Idle(cursor),
            };
            if let Some(last) = items.last() {
                let checkpoint = Some(checkpoint(last.offset.at + 1));
                return Ok(Some(Batch { checkpoint, ..Batch::of(items) }));
            }
        }
    }

    /// An empty batch behind one with so many events: it is likely to have as many.
    fn begin(&self, cursor: Cursor, before: usize) -> Growing {
        let events = self.reading.batch_events.max(1);
        let items = Vec::with_capacity((before + before / 64).min(events));
        Growing { cursor, items, room: Room { events, bytes: BATCH_BYTES }, failed: None }
    }

    fn tail(&mut self) -> Tail {
        match &*self.progress.borrow_and_update() {
            Progress::Durable(tail) => *tail,
            Progress::Opening | Progress::Unusable(_) => Tail::default(),
        }
    }
}

async fn finished(reading: JoinHandle<Growing>) -> Result<Growing, Error> {
    reading.await.map_err(|cause| Error::internal("reading the event log").caused_by(cause))
}
