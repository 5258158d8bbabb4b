//! What is written at once, and who waits for it.

use std::iter;

use jiff::Timestamp;
use tidegate_model::{Appended, Error};
use tokio::sync::oneshot;

use super::chunk::Chunk;
use super::dedup::{DedupIndex, Seen};
use super::failure::Failure;
use super::format::{FRAME_HEADER, FrameHeader};
use super::queue::MemoryPermit;
use super::seconds::second;

/// About how much one frame takes: bounds the memory of a write.
const FRAME_BYTES: usize = 8 * 1024 * 1024;

/// Where the answer to an append goes.
pub(super) type Answer = oneshot::Sender<Result<Appended, Error>>;

/// The appends that become durable together.
pub(super) struct Frame {
    logged_at: Timestamp,
    records: Vec<Vec<u8>>,
    bytes: usize,
    added: Vec<Seen>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    appended: Appended,
    answer: Answer,
    // Held until the answer: what waits for the disk is still in memory.
    _permit: MemoryPermit,
}

impl Frame {
    /// One without appends.
    pub(super) fn new(logged_at: Timestamp) -> Frame {
        Frame { logged_at, records: Vec::new(), bytes: 0, added: Vec::new(), waiting: Vec::new() }
    }

    /// Adds what was not logged before.
    pub(super) fn add(&mut self, chunk: Chunk, permit: MemoryPermit, answer: Answer, dedup: &mut DedupIndex) {
        let (all, before) = (chunk.ids().len(), self.added.len());
        let second = second(self.logged_at);
        dedup.fetch(chunk.ids());
        let records = chunk.into_records(|id| {
            let seen = Seen::new(id, second);
            let fresh = dedup.insert(seen);
            self.added.extend(fresh.then_some(seen));
            fresh
        });
        let events = self.added.len() - before;
        let appended = Appended { events: events as u64, duplicates: (all - events) as u64 };
        self.waiting.push(Waiting { appended, answer, _permit: permit });
        self.bytes += records.len();
        if !records.is_empty() {
            self.records.push(records);
        }
    }

    /// Whether no more should be added.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= FRAME_BYTES
    }

    /// The events that were not logged before, in order.
    pub(super) fn added(&self) -> &[Seen] {
        &self.added
    }

    /// What is in front of its records, the first of which gets this offset.
    pub(super) fn header(&self, first: u64) -> [u8; FRAME_HEADER] {
        let (records, bytes) = (self.added.len() as u32, self.bytes as u32);
        FrameHeader { first, logged_at: self.logged_at, records, bytes }.encode()
    }

    /// Everything, in the order in which it is written.
    pub(super) fn pieces<'a>(&'a self, header: &'a [u8]) -> Vec<&'a [u8]> {
        iter::once(header).chain(self.records.iter().map(Vec::as_slice)).collect()
    }

    /// Reports its result to each append.
    pub(super) fn answer(self, written: &Result<(), Failure>) {
        for Waiting { appended, answer, _permit } in self.waiting {
            // The caller may have stopped waiting.
            let _ = answer.send(written.as_ref().map(|()| appended).map_err(Failure::error));
        }
    }
}
