//! Batches, and the entries in them for files that cannot be read.

use std::io;

use tidegate_model::{Batch, MalformedRecord, Origin, PartialRow, Reason, Row};

use super::content::Broken;
use super::listing::{Found, Odd, malformed};
use super::object::failure;
use super::offsets::{FileOffset, FileOffsets};
use super::open::{Open, Stop};
use crate::feed::Sender;

/// Bytes of a batch that is sent, however few rows they are.
pub const BATCH_BYTES: usize = 4 << 20;

/// Collects rows into batches, each with the offsets after it.
pub struct Output {
    /// Files of which something may not be finished.
    pub not_due: u64,
    /// How far the files were read.
    pub offsets: FileOffsets,
    /// What the settings of the selection are known by.
    pub settings: String,
    batch: Batch<Row>,
    limit: usize,
    bytes: usize,
    sender: Sender,
}

impl Output {
    /// Sends batches of up to `limit` rows.
    pub fn new(offsets: FileOffsets, settings: String, limit: usize, sender: Sender) -> Output {
        let batch = Batch::of(Vec::new());
        Output { not_due: 0, offsets, settings, batch, limit: limit.max(1), bytes: 0, sender }
    }

    /// Says where something was wrong and is not any more.
    pub fn fixed(&mut self, indexes: impl IntoIterator<Item = String>) {
        self.batch.fixed.extend(indexes);
    }

    /// Adds the row of a line or row of a file, made of this many bytes.
    pub fn row(&mut self, open: &Open<'_>, number: u64, row: Row, bytes: usize) {
        self.bytes += bytes + size_of_val(&*row.values);
        self.batch.origins.push(Origin::Location { name: open.prefix.clone(), number });
        self.batch.items.push(row);
    }

    /// Reports what is no row.
    pub fn malformed(&mut self, place: String, payload: String, reason: Reason) {
        self.bytes += payload.len();
        self.batch.push_malformed(MalformedRecord::new(place, payload, reason));
    }

    /// Reports a line or a row of a file that is none.
    pub fn rejected(&mut self, open: &mut Open<'_>, number: u64, payload: String, reason: Reason) {
        open.mark.reject(number);
        self.malformed(open.place(number), payload, reason);
    }

    /// Reports a row of which some values could not be read.
    pub fn partial(&mut self, open: &mut Open<'_>, number: u64, row: PartialRow, reason: Reason) {
        open.mark.reject(number);
        let location = open.place(number);
        self.batch.push_malformed(MalformedRecord::partial(location, reason, row));
    }

    /// Returns whether the batch has to be sent before the next row is added.
    pub fn is_full(&self) -> bool {
        let count = self.batch.items.len() + self.batch.malformed.len();
        count >= self.limit || self.bytes >= BATCH_BYTES
    }

    /// Notes how far `open` was read; sends the batch if it is full. A file that cannot be
    /// read on when something is appended is known again as a whole.
    pub fn reached(&mut self, open: &mut Open<'_>, whole: bool) -> Result<(), Stop> {
        open.mark.covered = if whole { open.found.size } else { open.mark.offset + open.mark.torn };
        open.mark.print = open.file.print(open.mark.covered).map_err(Broken::System)?;
        if open.mark.done && !open.told {
            open.told = true;
            self.batch.fixed.push(open.found.name.clone());
            let fixed = open.mark.fixed();
            self.batch.fixed.extend(fixed.into_iter().map(|number| open.place(number)));
        }
        self.offsets.files.insert(open.found.name.clone(), open.mark.clone());
        if self.is_full() { self.flush() } else { Ok(()) }
    }

    /// Reports a file that is read no further until it changes, or the settings do if nothing of it
    /// could be read by these.
    pub fn broken(&mut self, open: &mut Open<'_>, reason: Reason) -> Result<(), Stop> {
        self.malformed(open.found.name.clone(), String::new(), reason);
        (open.mark.done, open.told) = (true, true);
        let nothing = open.mark.offset == 0 && open.mark.torn == 0 && open.mark.rejected.is_empty();
        open.mark.unread_by = nothing.then(|| self.settings.clone());
        match self.reached(open, true) {
            // It changed meanwhile, and is looked at again.
            Err(Stop::Broken(_)) => Ok(()),
            reached => reached,
        }
    }

    /// Reports a file that the system does not give. It is tried again by each run.
    ///
    /// A store that does not give an object ends the read.
    pub fn cannot_read(&mut self, found: &Found, cause: io::Error) -> Result<(), Stop> {
        let cause = match failure(cause) {
            Ok(error) => return Err(Stop::Failed(error)),
            Err(cause) => cause,
        };
        // One that is gone since the folder was listed has nothing to read.
        if cause.kind() != io::ErrorKind::NotFound {
            self.malformed(found.name.clone(), String::new(), malformed(&cause));
        }
        if self.is_full() { self.flush() } else { Ok(()) }
    }

    /// Reports something that is no file to read, once until it changes.
    pub fn odd(&mut self, odd: &Odd) {
        let mark =
            FileOffset { modified_us: odd.modified_us, done: true, odd: true, ..FileOffset::default() };
        if self.offsets.files.get(&odd.name) != Some(&mark) {
            self.offsets.files.insert(odd.name.clone(), mark);
            self.malformed(odd.name.clone(), String::new(), odd.reason.clone());
        }
    }

    /// Sends what was not sent yet.
    pub fn flush(&mut self) -> Result<(), Stop> {
        if self.is_empty() { Ok(()) } else { self.send() }
    }

    /// Returns whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        let Batch { items, malformed, fixed, .. } = &self.batch;
        items.is_empty() && malformed.is_empty() && fixed.is_empty() && self.not_due == 0
    }

    /// Sends how far everything was read, and what was not sent yet.
    pub fn send(&mut self) -> Result<(), Stop> {
        let mut batch = std::mem::replace(&mut self.batch, Batch::of(Vec::new()));
        self.bytes = 0;
        batch.not_due = std::mem::take(&mut self.not_due);
        batch.checkpoint = Some(self.offsets.checkpoint());
        self.sender.blocking_send(Ok(batch)).map_err(|_| Stop::Dropped)
    }
}
