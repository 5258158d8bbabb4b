//! An event log that is gone with its process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tidegate_model::{
    Appended, Batch, Checkpoint, Clock, Error, ErrorKind, Event, EventLog, Feed, Lag, LoggedEvent, Offset,
    Reading, Retention, StreamId, Text,
};
use tokio::sync::watch;

const DEDUP_WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// Keeps the promises of an [`EventLog`] in memory; clones share what they keep.
#[derive(Clone)]
pub struct MemoryEventLog {
    clock: Arc<dyn Clock>,
    streams: Arc<Mutex<BTreeMap<StreamId, Kept>>>,
    appends: Arc<watch::Sender<u64>>,
    refusal: Arc<Mutex<Option<ErrorKind>>>,
}

#[derive(Default)]
struct Kept {
    events: Vec<LoggedEvent>,
    end: u64,
    seen: HashMap<Text, Timestamp>,
}

impl MemoryEventLog {
    /// Creates an empty log. It knows an event by its id for 24 hours.
    pub fn new(clock: Arc<dyn Clock>) -> MemoryEventLog {
        MemoryEventLog {
            clock,
            streams: Arc::default(),
            appends: Arc::new(watch::Sender::new(0)),
            refusal: Arc::default(),
        }
    }

    /// Refuses each append with such an error; with `None` not any more.
    pub fn fail_with(&self, kind: Option<ErrorKind>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = kind;
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<StreamId, Kept>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn batch(&self, stream: &StreamId, from: u64, most: usize) -> Option<Batch<LoggedEvent>> {
        let streams = self.streams();
        let events = &streams.get(stream)?.events;
        let start = events.partition_point(|logged| logged.offset.at < from);
        let items: Vec<LoggedEvent> = events[start..].iter().take(most.max(1)).cloned().collect();
        let next = items.last()?.offset.at + 1;
        Some(Batch { checkpoint: Some(Checkpoint(next.into())), ..Batch::of(items) })
    }
}

fn next_of(after: Option<&Checkpoint>) -> u64 {
    after.and_then(|checkpoint| checkpoint.0.as_u64()).unwrap_or_default()
}

#[async_trait]
impl EventLog for MemoryEventLog {
    async fn append(&self, stream: &StreamId, events: Vec<Event>) -> Result<Appended, Error> {
        if let Some(kind) = *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(Error::new(kind, "this log was told to refuse"));
        }
        let mut appended = Appended::default();
        if events.is_empty() {
            return Ok(appended);
        }
        let logged_at = self.clock.now();
        let mut streams = self.streams();
        let kept = streams.entry(stream.clone()).or_default();
        for event in events {
            let known = kept.seen.get(&event.id);
            if known.is_some_and(|seen| logged_at.duration_since(*seen) <= DEDUP_WINDOW) {
                appended.duplicates += 1;
                continue;
            }
            kept.seen.insert(event.id.clone(), logged_at);
            kept.events.push(LoggedEvent { offset: Offset::new(0, kept.end), logged_at, event });
            kept.end += 1;
            appended.events += 1;
        }
        self.appends.send_modify(|count| *count += 1);
        Ok(appended)
    }

    async fn read(
        &self,
        stream: &StreamId,
        after: Option<&Checkpoint>,
        reading: Reading,
    ) -> Result<Feed<LoggedEvent>, Error> {
        let start = (self.clone(), self.appends.subscribe(), stream.clone(), next_of(after));
        Ok(stream::unfold(start, move |(log, mut appends, stream, next)| async move {
            loop {
                appends.borrow_and_update();
                if let Some(batch) = log.batch(&stream, next, reading.batch_events) {
                    let next = next_of(batch.checkpoint.as_ref());
                    return Some((Ok(batch), (log, appends, stream, next)));
                }
                if !reading.follow || appends.changed().await.is_err() {
                    return None;
                }
            }
        })
        .boxed())
    }

    async fn lag(&self, stream: &StreamId, after: Option<&Checkpoint>) -> Result<Vec<Lag>, Error> {
        let streams = self.streams();
        let Some(kept) = streams.get(stream) else { return Ok(Vec::new()) };
        let first = kept.events.first().map_or(kept.end, |logged| logged.offset.at);
        let position = next_of(after).max(first);
        Ok(vec![Lag {
            partition: format!("{stream}[0]"),
            position,
            end: kept.end,
            behind: kept.end.saturating_sub(position),
            last_seen: None,
            per_minute: None,
            trouble: None,
        }])
    }

    async fn streams(&self) -> Result<Vec<StreamId>, Error> {
        Ok(self.streams().keys().cloned().collect())
    }

    async fn trim(&self, retention: &Retention) -> Result<(), Error> {
        for (stream, kept) in self.streams().iter_mut() {
            let exports = retention.exports.iter().filter(|export| export.stream == *stream);
            let hold = exports.map(|export| next_of(export.checkpoint.as_ref())).min().unwrap_or(u64::MAX);
            kept.events.retain(|logged| logged.logged_at >= retention.before || logged.offset.at >= hold);
        }
        Ok(())
    }
}
