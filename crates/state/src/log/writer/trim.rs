//! What is removed when it is old.

use std::fs;
use std::io;

use jiff::Timestamp;
use tidegate_model::{Error, SyncId};
use tracing::warn;

use super::Writer;
use crate::failure;
use crate::log::recovery::Active;
use crate::log::scan::UNKNOWN;
use crate::log::seconds::second;
use crate::log::{ids, segment, users};

/// What may be removed of a stream.
#[derive(Clone, Debug)]
pub(in crate::log) struct Bounds {
    /// Events logged before this are old.
    pub(in crate::log) before: Timestamp,
    /// The export that has read the least.
    pub(in crate::log) hold: Option<Hold>,
    /// The bytes beyond which events go that are not old or not exported.
    pub(in crate::log) max_bytes: Option<u64>,
}

/// An export that has not read everything.
#[derive(Clone, Debug)]
pub(in crate::log) struct Hold {
    pub(in crate::log) sync: SyncId,
    /// What it reads next.
    pub(in crate::log) offset: u64,
}

impl Writer<'_> {
    /// Removes segments that are older as a whole and that no export needs, and never
    /// what repetitions are known by. Beyond `max_bytes` the oldest go all the same.
    pub(super) fn trim(&mut self, bounds: Bounds) -> Result<(), Error> {
        let now = second(self.config.clock.now());
        let window = now.saturating_sub(self.config.dedup.window_seconds);
        let oldest = second(bounds.before).min(window);
        let hold = bounds.hold.as_ref().map_or(u64::MAX, |hold| hold.offset);
        let next = self.next;
        let outdated =
            |active: &mut Active| !active.seen.is_empty() && newest_by(active, now) < oldest && next <= hold;
        if self.stopped.is_none()
            && let Some(active) = self.active.take_if(outdated)
        {
            let newest = newest_by(&active, now);
            let fresh = self.roll(Some(active)).map_err(|failure| failure.error())?;
            self.active = Some(fresh);
            // Its newest second may be one of a clock that was ahead.
            if let Some(closed) = self.closed.back_mut() {
                closed.newest = newest;
            }
            self.publish();
        }
        let mut bytes = bounds.max_bytes.map(|_| self.bytes());
        while let Some(first) = self.closed.front().map(|closed| closed.first) {
            let end = self.closed.get(1).map_or(self.active_first(), |closed| closed.first);
            let excess = bytes.zip(bounds.max_bytes).is_some_and(|(bytes, most)| bytes > most);
            let old = self.front_newest() < oldest && end <= hold;
            if !old && !excess {
                if let Some(hold) = bounds.hold.filter(|_| self.front_newest() < oldest) {
                    self.tell_held(&hold);
                }
                break;
            }
            if end > hold
                && let Some(hold) = &bounds.hold
            {
                let events = end - hold.offset.max(first);
                warn!(
                    stream = %self.config.stream, sync = %hold.sync, events,
                    "the event log is larger than its limit: events that were not exported are removed"
                );
            }
            let path = segment::path(&self.config.folder, first);
            let size = path.metadata().map_or(0, |metadata| metadata.len());
            ids::remove(&self.config.folder, first);
            users::remove(&self.config.folder, first).map_err(|cause| {
                failure::of_io(cause, "removing", &users::path(&self.config.folder, first))
            })?;
            match fs::remove_file(&path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    return Err(failure::of_io(cause, "removing", &path));
                }
                _ => self.closed.pop_front(),
            };
            bytes = bytes.map(|bytes| bytes.saturating_sub(size));
        }
        Ok(())
    }

    /// The newest second of the oldest closed segment. One that cannot be read, or that a clock
    /// which was ahead has logged, is as old as the one after it at least.
    fn front_newest(&self) -> u32 {
        let now = second(self.config.clock.now());
        let is_known = |newest: &u32| *newest != UNKNOWN && *newest <= now;
        let known = self.closed.iter().map(|closed| closed.newest).find(is_known);
        let active = || self.active.as_ref().map(|active| newest_by(active, now));
        known.or_else(active).unwrap_or(UNKNOWN)
    }

    fn active_first(&self) -> u64 {
        self.active.as_ref().map_or(self.next, |active| active.first)
    }

    /// The bytes of all segments.
    fn bytes(&self) -> u64 {
        let size =
            |first| segment::path(&self.config.folder, first).metadata().map_or(0, |found| found.len());
        let closed: u64 = self.closed.iter().map(|closed| size(closed.first)).sum();
        closed + self.active.as_ref().map_or(0, |active| active.end)
    }

    fn tell_held(&self, hold: &Hold) {
        warn!(
            stream = %self.config.stream, sync = %hold.sync, offset = hold.offset,
            "events beyond their retention are kept, because an export has not read them"
        );
    }
}

/// The newest second of the segment that is written, by a clock that shows `now`; unknown without
/// events, and if a clock that was ahead has logged the last one.
fn newest_by(active: &Active, now: u32) -> u32 {
    match active.seen.last() {
        Some(last) if last.second() <= now => active
            .seen
            .iter()
            .map(|seen| seen.second())
            .filter(|&second| second <= now)
            .max()
            .unwrap_or(UNKNOWN),
        _ => UNKNOWN,
    }
}
