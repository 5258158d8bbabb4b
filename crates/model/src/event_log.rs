//! The durable event log: events are persisted before they are acknowledged.

use std::collections::VecDeque;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Checkpoint, Error, Event, Feed, LoggedEvent, StreamId, SyncId};

/// Events of a stream beyond which a log without an index of users does not search it for those of one.
pub const EVENTS_READ_MAX: u64 = 2_000_000;

/// What one append did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Events that are durable now.
    pub events: u64,
    /// Duplicates: events that were durable before, recognized by their id.
    pub duplicates: u64,
}

/// How a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// About how many events a batch holds at most.
    pub batch_events: usize,
    /// Whether the feed waits for what comes later, until it is dropped. Else it
    /// ends when nothing is left for now.
    pub follow: bool,
}

/// How many items of one partition of a stream are not committed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lag {
    /// The partition, for example `orders[3]`.
    pub partition: String,
    /// The next position to read.
    pub position: u64,
    /// The position after the last item.
    pub end: u64,
    /// How many items wait; of a log with gaps, at most this many.
    pub behind: u64,
    /// When the last committed item was created, if known.
    pub last_seen: Option<Timestamp>,
    /// Items committed in the last minute, if known.
    pub per_minute: Option<u64>,
    /// What is wrong with the stream, as far as it can be known without reading
    /// it: damage, or events that are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How far an export has come.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The name of the export.
    pub sync: SyncId,
    /// The stream that it reads.
    pub stream: StreamId,
    /// Its checkpoint; `None` at the beginning of the stream.
    pub checkpoint: Option<Checkpoint>,
}

/// What may be removed from an event log.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Events that were logged before this and that every export has are removed.
    pub before: Timestamp,
    /// The bytes of a stream beyond which its oldest events are removed, exported or
    /// not. `None` sets no limit.
    pub max_bytes: Option<u64>,
    /// Every export. Events after its checkpoint are kept for it.
    pub exports: Vec<Exported>,
}

impl Retention {
    /// Creates one by age alone, of a log that is not exported.
    pub fn by_age(before: Timestamp) -> Retention {
        Retention { before, max_bytes: None, exports: Vec::new() }
    }
}

/// An append-only log of events, by stream. A stream exists once something was
/// appended to it; reading another one gives nothing.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Makes events durable, in their order. An event whose id was logged in the same
    /// stream within the deduplication window is skipped.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Throttled`] if too much is waiting already: nothing was logged, and the
    /// call may be repeated soon. [`crate::ErrorKind::Storage`] if the events could not be made
    /// durable: it is unknown whether they were logged, and appending them again is safe.
    async fn append(&self, stream: &StreamId, events: Vec<Event>) -> Result<Appended, Error>;

    /// Reads a stream after a checkpoint that one of its batches gave; without one, from its
    /// beginning. Events that retention removed are skipped.
    ///
    /// # Errors
    /// If the stream cannot be opened. Damage that is found later is an item of the feed and ends
    /// it.
    async fn read(
        &self,
        stream: &StreamId,
        after: Option<&Checkpoint>,
        reading: Reading,
    ) -> Result<Feed<LoggedEvent>, Error>;

    /// Returns how many events are after a checkpoint, by partition.
    ///
    /// # Errors
    /// If the log cannot be read.
    async fn lag(&self, stream: &StreamId, after: Option<&Checkpoint>) -> Result<Vec<Lag>, Error>;

    /// Returns the newest events of a user in a stream, newest first, at most `limit`: those whose
    /// [`Event::user`] is exactly this text. `None` if the log would have to read too many events to
    /// find them.
    ///
    /// A log without an index of users reads the stream, up to [`EVENTS_READ_MAX`] events.
    ///
    /// # Errors
    /// If the log cannot be read, or is damaged where events of the user may be.
    async fn events_of(
        &self,
        stream: &StreamId,
        user: &str,
        limit: usize,
    ) -> Result<Option<Vec<Event>>, Error> {
        let events: u64 = self.lag(stream, None).await?.iter().map(|lag| lag.behind).sum();
        if events > EVENTS_READ_MAX {
            return Ok(None);
        }
        let reading = Reading { batch_events: 4_096, follow: false };
        let mut feed = self.read(stream, None, reading).await?;
        let mut found = VecDeque::new();
        while let Some(batch) = feed.next().await {
            for logged in batch?.items.into_iter().filter(|logged| *logged.event.user == *user) {
                found.push_front(logged.event);
                found.truncate(limit);
            }
        }
        Ok(Some(found.into()))
    }

    /// Returns the streams that exist.
    ///
    /// # Errors
    /// If the log cannot be read.
    async fn streams(&self) -> Result<Vec<StreamId>, Error>;

    /// Compares the log with checkpoints that exist elsewhere. A log that ends before one of them
    /// was replaced by an older copy: it gets a new id, which distinguishes events that are
    /// appended from now on from those that had the same offsets.
    ///
    /// Called once, before events are appended. A checkpoint of another kind of log counts for none.
    /// A stream whose new id cannot be stored takes no events until that works.
    ///
    /// # Errors
    /// If a stream could not be compared, after all others were: no events may be appended.
    async fn fence(&self, exports: &[Exported]) -> Result<(), Error> {
        let _ = exports;
        Ok(())
    }

    /// Removes old events; keeps more if that is cheaper. An event that an export has
    /// not read is removed only because of [`Retention::max_bytes`], and that is logged
    /// as a warning.
    ///
    /// # Errors
    /// If a file cannot be removed.
    async fn trim(&self, retention: &Retention) -> Result<(), Error>;

    /// Returns whether [`EventLog::erase`] is possible. If it is not, events go with the retention of
    /// what keeps them.
    fn can_erase(&self) -> bool {
        true
    }

    /// Erases the events of a user, and those that have the id as a value. Offsets and ids
    /// stay taken. Called before any other method. Returns the number of erased events.
    ///
    /// # Errors
    /// If this log cannot erase events, or a file cannot be rewritten.
    async fn erase(&self, user: &str) -> Result<u64, Error> {
        let _ = user;
        Err(Error::settings("events of this event log cannot be erased")
            .hint("they go with the retention of their topics"))
    }
}
