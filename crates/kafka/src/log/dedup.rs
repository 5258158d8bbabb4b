//! The deduplication index: ids of recently logged events.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Event, RowHash, Value};
use tokio::sync::watch;

use super::reading::Offsets;
use crate::partition::lock;
use crate::producer::WriteResult;

/// How many ids fit into one half of the index: with more, the window gets shorter.
pub(super) const IDS_MAX: usize = 1_000_000;

/// The state of an append, for the appends that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    UnderWay,
    Landed,
}

/// The ids of one stream with the time they were logged: of events in flight,
/// of this window, of the window before.
pub(super) struct DedupIndex {
    topic: String,
    window: SignedDuration,
    since: Timestamp,
    young: HashMap<RowHash, Timestamp>,
    old: HashMap<RowHash, Timestamp>,
    flying: HashMap<RowHash, watch::Receiver<Flight>>,
    /// Whether the ids that were logged before this process began are known.
    is_loaded: bool,
    /// The offset of each partition below which every event of this process has an outcome.
    next: Offsets,
    lost: LostIds,
    reading: Option<UnderWay>,
}

/// An append, split into new events and duplicates.
pub(super) struct SplitAppend {
    /// The indexes of the events to write.
    pub(super) fresh: Vec<usize>,
    /// How many were logged before, or are being logged.
    pub(super) duplicates: u64,
    /// Ends the flight of the fresh ones.
    pub(super) landing: Landing,
    /// The appends that write some of the others at this moment.
    pub(super) others: Others,
}

impl DedupIndex {
    /// Creates the index of a topic that was not read yet.
    pub(super) fn new(topic: &str, window: SignedDuration, now: Timestamp) -> DedupIndex {
        DedupIndex {
            topic: topic.to_owned(),
            window,
            since: now,
            young: HashMap::new(),
            old: HashMap::new(),
            flying: HashMap::new(),
            is_loaded: false,
            next: Offsets::new(),
            lost: LostIds::default(),
            reading: None,
        }
    }

    /// Notes that an event is in the log.
    fn know(&mut self, id: RowHash, logged_at: Timestamp, now: Timestamp) {
        if self.young.len() >= IDS_MAX {
            self.rotate(now);
        }
        self.young.insert(id, logged_at);
    }

    fn knows(&self, id: &RowHash, now: Timestamp) -> bool {
        let logged_at = self.young.get(id).or_else(|| self.old.get(id));
        logged_at.is_some_and(|at| now.duration_since(*at) <= self.window)
    }

    fn rotate(&mut self, now: Timestamp) {
        let age = now.duration_since(self.since);
        if age < self.window && self.young.len() < IDS_MAX {
            return;
        }
        if age < self.window && !self.old.is_empty() {
            tracing::warn!(
                topic = self.topic,
                seconds = age.as_secs(),
                "more events than the ids that are kept: an event that is repeated after these seconds counts as new"
            );
        }
        self.old = std::mem::take(&mut self.young);
        self.since = now;
    }

    /// Returns whether the topic has to be read before it is known which of these events are new.
    fn must_read(&self, ids: &[RowHash], now: Timestamp) -> bool {
        let reading = self.reading.as_ref().map(|reading| &reading.lost.ids);
        let is_lost =
            |id: &RowHash| self.lost.ids.contains(id) || reading.is_some_and(|reading| reading.contains(id));
        !self.is_loaded || ids.iter().any(|id| is_lost(id) && !self.knows(id, now))
    }

    /// Splits an append. An event that another append is writing at this moment
    /// does not count as durable before that one has ended. `None` if the topic has to
    /// be read first: [`DedupIndex::join_read`].
    pub(super) fn split(
        this: &Arc<Mutex<DedupIndex>>,
        ids: &[RowHash],
        now: Timestamp,
    ) -> Option<SplitAppend> {
        let mut dedup = lock(this);
        dedup.rotate(now);
        if dedup.must_read(ids, now) {
            return None;
        }
        let (ended, flight) = watch::channel(Flight::UnderWay);
        let mut fresh = Vec::with_capacity(ids.len());
        let mut others = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            if dedup.knows(id, now) {
                continue;
            }
            match dedup.flying.get(id) {
                // A duplicate inside this append is written with the first one.
                Some(other) if other.same_channel(&flight) => {}
                Some(other) => others.push(other.clone()),
                None => {
                    dedup.flying.insert(*id, flight.clone());
                    fresh.push(at);
                }
            }
        }
        let flying = fresh.iter().map(|at| ids[*at]).collect();
        let duplicates = (ids.len() - fresh.len()) as u64;
        let from = dedup.next.clone();
        let landing = Landing { dedup: Arc::clone(this), flying, from, logged_at: now, ended };
        Some(SplitAppend { fresh, duplicates, landing, others: Others(others) })
    }

    /// Returns the end of the read that is under way. If there is none, one begins: its reader must
    /// be run to the end.
    pub(super) fn join_read(this: &Arc<Mutex<DedupIndex>>) -> (ReadEnd, Option<IdReader>) {
        let mut dedup = lock(this);
        if let Some(reading) = &dedup.reading {
            return (reading.end.clone(), None);
        }
        let (ended, end) = watch::channel(ReadState::UnderWay);
        let lost = std::mem::take(&mut dedup.lost);
        let start = match dedup.is_loaded {
            true => ReadStart::At(lost.from.clone()),
            false => ReadStart::Window(dedup.window),
        };
        dedup.reading = Some(UnderWay { lost, end: end.clone() });
        (end, Some(IdReader { dedup: Arc::clone(this), start, ended }))
    }

    /// Returns whether the topic was read, or is being read.
    pub(super) fn has_begun(&self) -> bool {
        self.is_loaded || self.reading.is_some()
    }

    fn lose(&mut self, ids: impl Iterator<Item = RowHash>, from: &Offsets) {
        self.lost.add(ids, from);
        if self.lost.ids.len() > IDS_MAX {
            // Reading all of the window answers for them, too.
            self.lost = LostIds::default();
            self.is_loaded = false;
        }
    }
}

/// Ids of events that may have been written: no answer came.
#[derive(Default)]
struct LostIds {
    ids: HashSet<RowHash>,
    /// Where they are at the earliest. A partition that is absent has to be read from its beginning.
    from: Offsets,
}

impl LostIds {
    fn add(&mut self, ids: impl Iterator<Item = RowHash>, from: &Offsets) {
        let is_first = self.ids.is_empty();
        self.ids.extend(ids);
        if self.ids.is_empty() {
            return;
        }
        if is_first {
            self.from = from.clone();
            return;
        }
        self.from.retain(|partition, _| from.contains_key(partition));
        for (partition, at) in &mut self.from {
            *at = from.get(partition).map_or(*at, |other| (*at).min(*other));
        }
    }
}

/// A read of the topic that is under way.
struct UnderWay {
    lost: LostIds,
    end: ReadEnd,
}

/// How a read of the topic ends.
pub(super) type ReadEnd = watch::Receiver<ReadState>;

/// The state of a read, for the appends that wait for it.
#[derive(Clone, Debug)]
pub(super) enum ReadState {
    UnderWay,
    Done,
    Failed { message: String, hint: String },
}

/// Where a read begins. It ends at the end of the topic.
#[derive(Clone, Debug)]
pub(super) enum ReadStart {
    /// The deduplication window.
    Window(SignedDuration),
    /// These offsets; the beginning of other partitions.
    At(Offsets),
}

/// Takes the ids of a topic into the index. Dropped before its end, nothing counts as read.
pub(super) struct IdReader {
    dedup: Arc<Mutex<DedupIndex>>,
    start: ReadStart,
    ended: watch::Sender<ReadState>,
}

impl IdReader {
    pub(super) fn start(&self) -> &ReadStart {
        &self.start
    }

    /// Notes events that are in the topic, with the times they were logged.
    pub(super) fn know(&self, events: impl Iterator<Item = (RowHash, Timestamp)>, now: Timestamp) {
        let mut dedup = lock(&self.dedup);
        for (id, logged_at) in events {
            dedup.know(id, logged_at, now);
        }
    }

    /// Ends the read at the offsets that it came to.
    pub(super) fn finish(self, next: &Offsets) {
        let mut dedup = lock(&self.dedup);
        // Ids that were lost meanwhile may be after this end.
        dedup.reading = None;
        dedup.is_loaded |= matches!(self.start, ReadStart::Window(_));
        for (partition, at) in next {
            let known = dedup.next.entry(*partition).or_insert(*at);
            *known = (*known).max(*at);
        }
        drop(dedup);
        self.ended.send_replace(ReadState::Done);
    }

    /// Ends the read with what its callers are told.
    pub(super) fn fail(self, message: &str, hint: &str) {
        let state = ReadState::Failed { message: message.to_owned(), hint: hint.to_owned() };
        let ended = self.ended.clone();
        drop(self);
        ended.send_replace(state);
    }
}

impl Drop for IdReader {
    fn drop(&mut self) {
        let mut dedup = lock(&self.dedup);
        let is_mine =
            dedup.reading.as_ref().is_some_and(|reading| reading.end.same_channel(&self.ended.subscribe()));
        if let Some(reading) = dedup.reading.take_if(|_| is_mine) {
            dedup.lose(reading.lost.ids.into_iter(), &reading.lost.from);
        }
    }
}

/// Appends that write the same events.
pub(super) struct Others(Vec<watch::Receiver<Flight>>);

impl Others {
    /// Waits for them. Returns whether all of them landed.
    pub(super) async fn landed(self) -> bool {
        for mut flight in self.0 {
            if flight.wait_for(|flight| *flight == Flight::Landed).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// The fresh events of an append in flight. Dropped before it lands, whether they were
/// logged is unknown, as of those whose result was lost.
pub(super) struct Landing {
    dedup: Arc<Mutex<DedupIndex>>,
    flying: Vec<RowHash>,
    /// Where they are at the earliest.
    from: Offsets,
    logged_at: Timestamp,
    ended: watch::Sender<Flight>,
}

impl Landing {
    /// Notes the results of the fresh events, by their order.
    pub(super) fn land(mut self, results: &[WriteResult]) {
        let mut lost = Vec::new();
        let mut dedup = lock(&self.dedup);
        let mut all = true;
        for (id, result) in self.flying.drain(..).zip(results) {
            dedup.flying.remove(&id);
            all &= matches!(result, WriteResult::Written { .. });
            match *result {
                WriteResult::Written { partition, offset } => {
                    dedup.know(id, self.logged_at, self.logged_at);
                    let next = dedup.next.entry(partition).or_insert(offset + 1);
                    *next = (*next).max(offset + 1);
                }
                WriteResult::Rejected(_) => {}
                WriteResult::Lost(_) => lost.push(id),
            }
        }
        dedup.lose(lost.into_iter(), &self.from);
        drop(dedup);
        if all {
            self.ended.send_replace(Flight::Landed);
        }
    }

    /// Notes that nothing was written.
    pub(super) fn cancel(mut self) {
        let mut dedup = lock(&self.dedup);
        for id in self.flying.drain(..) {
            dedup.flying.remove(&id);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let mut dedup = lock(&self.dedup);
        for id in &self.flying {
            dedup.flying.remove(id);
        }
        dedup.lose(self.flying.drain(..), &self.from);
    }
}

/// Returns the key of an event in the index.
pub(super) fn id_of(event: &Event, scratch: &mut Vec<u8>) -> RowHash {
    RowHash::of_values([&Value::Text(event.id.clone())], scratch)
}

#[cfg(test)]
mod tests;
