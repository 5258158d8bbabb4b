//! A stream as batches.

use futures_util::{StreamExt as _, stream};
use tidegate_model::{Batch, Checkpoint, Error, Feed, LoggedEvent, Reading};
use tokio::sync::watch;
use tokio::task::{self, JoinHandle};

use super::cursor::Cursor;
use super::erase;
use super::position::CheckpointOffset;
use super::recovery::LogEnd;
use super::segment::Room;
use super::writer::Progress;

/// About how much one batch holds at most.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

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
    /// Reads until the batch is full or the end is reached.
    fn grow(mut self, log_end: LogEnd) -> JoinHandle<Growing> {
        task::spawn_blocking(move || {
            let had = self.items.len();
            self.failed = self.cursor.read(log_end, &mut self.room, &mut self.items).err();
            if self.items[had..].iter().any(|logged| erase::is_erased(&logged.event)) {
                self.items.retain(|logged| !erase::is_erased(&logged.event));
            }
            self
        })
    }

    /// Whether more would fit that is there.
    fn lacks(&self, log_end: LogEnd) -> bool {
        self.failed.is_none() && !self.room.is_full() && self.cursor.next() < log_end.next
    }
}

impl Reader {
    async fn batch(&mut self) -> Result<Option<Batch<LoggedEvent>>, Error> {
        loop {
            // Look before reading, so that what comes in between wakes the wait below.
            let log_end = self.log_end();
            let reading = match std::mem::replace(&mut self.ahead, Ahead::Failed(None)) {
                Ahead::Reading(task) => task,
                Ahead::Idle(cursor) if cursor.next() < log_end.next => self.begin(cursor, 0).grow(log_end),
                Ahead::Idle(cursor) => {
                    self.ahead = Ahead::Idle(cursor);
                    // The sender is gone: the log was closed.
                    if !self.reading.follow || self.progress.changed().await.is_err() {
                        return Ok(None);
                    }
                    continue;
                }
                Ahead::Failed(error) => return error.map_or(Ok(None), Err),
            };
            let mut read = finished(reading).await?;
            // It was begun when less was there.
            while read.lacks(log_end) {
                read = finished(read.grow(log_end)).await?;
            }
            let Growing { cursor, items, failed, .. } = read;
            self.ahead = match failed {
                Some(error) => Ahead::Failed(Some(error)),
                None if cursor.next() < log_end.next => {
                    Ahead::Reading(self.begin(cursor, items.len()).grow(log_end))
                }
                None => Ahead::Idle(cursor),
            };
            if let Some(last) = items.last() {
                let checkpoint = Some(Checkpoint(serde_json::json!(CheckpointOffset::behind(last.offset))));
                return Ok(Some(Batch { checkpoint, ..Batch::of(items) }));
            }
        }
    }

    /// An empty batch after one with this many events: it is likely to have as many.
    fn begin(&self, cursor: Cursor, before: usize) -> Growing {
        let events = self.reading.batch_events.max(1);
        let items = Vec::with_capacity((before + before / 64).min(events));
        Growing { cursor, items, room: Room { events, bytes: BATCH_BYTES }, failed: None }
    }

    fn log_end(&mut self) -> LogEnd {
        match &*self.progress.borrow_and_update() {
            Progress::Durable(log_end, _) => *log_end,
            Progress::Opening | Progress::Unusable(_) => LogEnd::default(),
        }
    }
}

async fn finished(reading: JoinHandle<Growing>) -> Result<Growing, Error> {
    reading.await.map_err(|cause| Error::internal("reading the event log").caused_by(cause))
}
