//! The deduplication index: the ids of a window of time.
//!
//! The newest ids are in memory ([`RecentIds`]). When there are many, a thread of their own writes
//! them to a sorted file behind a filter ([`run::Run`]), and merges files of about the same size, so
//! that a lookup asks a handful of filters: an id costs 24 bytes of memory at first, later 12 bits,
//! and 16 bytes of disk. Everything here can be made again from the segments.

mod recent;
mod run;
mod runs;
#[cfg(test)]
mod tests;
mod worker;

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use tidegate_model::LogId;
use tracing::warn;

use self::recent::RecentIds;
pub(super) use self::recent::{Id, Seen};
use self::run::Covers;
pub(super) use self::runs::Runs;
use self::worker::{Done, Task, Worker};

/// How many ids are kept, and where.
#[derive(Clone, Debug)]
pub(super) struct DedupLimits {
    /// For how long an id is known.
    pub(super) window_seconds: u32,
    /// About how many ids are in memory.
    pub(super) recent_max: usize,
    /// How many ids are in files. Of more, the oldest are forgotten before their time.
    pub(super) ids_max: u64,
}

/// The ids of a window of time.
pub(super) struct DedupIndex {
    limits: DedupLimits,
    recent: RecentIds,
    /// The ones that are being written to a file.
    frozen: Option<Frozen>,
    runs: Runs,
    worker: Worker,
    /// After a failure: with how many ids in memory it is tried again.
    retry_above: usize,
}

/// Ids that change no more.
#[derive(Clone)]
struct Frozen {
    ids: Arc<RecentIds>,
    covers: Covers,
}

impl DedupIndex {
    /// Creates an index over the files in a folder.
    pub(super) fn new(folder: PathBuf, limits: DedupLimits, runs: Runs) -> DedupIndex {
        let recent = RecentIds::new(limits.window_seconds);
        DedupIndex { recent, frozen: None, runs, worker: Worker::new(folder), retry_above: 0, limits }
    }

    /// Reads where these events are going to be looked for, so that inserting them waits less.
    pub(super) fn fetch(&self, ids: &[Id]) {
        self.recent.fetch(ids);
    }

    /// Remembers an event; `false` if it is remembered already.
    pub(super) fn insert(&mut self, seen: Seen) -> bool {
        if !self.recent.insert(seen) {
            return false;
        }
        let since = seen.second().saturating_sub(self.limits.window_seconds);
        let frozen = || self.frozen.as_ref().and_then(|frozen| frozen.ids.get(seen.id()));
        if frozen().is_some_and(|older| older.second() >= since) || self.runs.know(seen.id(), since) {
            self.recent.forget(seen.id());
            return false;
        }
        true
    }

    /// Remembers an event that is in the log.
    pub(super) fn restore(&mut self, seen: Seen) {
        self.recent.insert(seen);
    }

    /// Forgets an event that was not logged after all.
    pub(super) fn forget(&mut self, seen: Seen) {
        self.recent.forget(seen.id());
    }

    /// Moves ids out of memory if there are too many. All of them are durable in the log, which
    /// has this id and ends before `end`.
    pub(super) fn make_room(&mut self, log: LogId, end: u64, now: u32) {
        if let Some(done) = self.worker.done() {
            self.take(done);
        }
        if self.worker.is_busy() || self.recent.len() < self.retry_above {
            return;
        }
        let since = now.saturating_sub(self.limits.window_seconds);
        if self.recent.len() >= self.limits.recent_max && self.frozen.is_none() {
            self.runs.forget_before(since, self.limits.ids_max);
            let covers = Covers { log, first: self.runs.end(), end };
            let ids = mem::replace(&mut self.recent, RecentIds::new(self.limits.window_seconds));
            self.frozen = Some(Frozen { ids: Arc::new(ids), covers });
        }
        if let Some(Frozen { ids, covers }) = self.frozen.clone() {
            self.worker.start(Task::Write { ids, covers, since });
        } else if let Some(runs) = self.runs.to_merge() {
            self.worker.start(Task::Merge { runs, since });
        }
    }

    fn take(&mut self, done: Done) {
        self.retry_above = 0;
        match done {
            Done::Written(run) => {
                self.frozen = None;
                self.runs.add(run);
            }
            Done::Merged(run) => self.runs.replace(run),
            // What was to be written stays in memory, and is tried again.
            Done::Failed(cause) => {
                self.retry_above = self.recent.len() + self.limits.recent_max / 4;
                warn!(%cause, "ids of logged events cannot be written to a file: they stay in memory");
            }
        }
    }

    /// Returns the memory that it takes, in bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let frozen = self.frozen.as_ref().map_or(0, |frozen| frozen.ids.bytes());
        self.recent.bytes() + frozen + self.runs.bytes()
    }

    /// Waits for the worker.
    #[cfg(test)]
    fn wait(&mut self) {
        if let Some(done) = self.worker.wait() {
            self.take(done);
        }
    }
}
