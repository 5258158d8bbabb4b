//! A cursor that moves through the segments of a stream.

use std::path::PathBuf;

use tidegate_model::{Error, ErrorKind, LoggedEvent};
use tracing::warn;

use super::failure::{self, Damage};
use super::recovery::LogEnd;
use super::segment::{self, Room, SegmentReader};

/// Reads a stream in order. Asks the disk and waits for it.
pub(super) struct Cursor {
    folder: PathBuf,
    next: u64,
    at: At,
}

enum At {
    /// Nowhere yet: the segment of the next offset is to be found.
    Start,
    Inside(Box<SegmentReader>),
    /// At the end of the segment with this first offset.
    Behind(u64),
}

impl Cursor {
    /// Stands in front of an offset.
    pub(super) fn new(folder: PathBuf, next: u64) -> Cursor {
        Cursor { folder, next, at: At::Start }
    }

    /// The offset that is read next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Reads one event; none if nothing is left before the end.
    pub(super) fn first(mut self, log_end: LogEnd) -> Result<Option<LoggedEvent>, Error> {
        let mut events = Vec::new();
        self.read(log_end, &mut Room { events: 1, bytes: usize::MAX }, &mut events)?;
        Ok(events.pop())
    }

    /// Reads until there is no room, or nothing is left before the end. What came
    /// before an error is read all the same.
    pub(super) fn read(
        &mut self,
        log_end: LogEnd,
        room: &mut Room,
        events: &mut Vec<LoggedEvent>,
    ) -> Result<(), Error> {
        while !room.is_full() && self.next < log_end.next {
            let At::Inside(reader) = &mut self.at else {
                self.enter(log_end)?;
                continue;
            };
            let end = end_of(reader, log_end)?;
            if reader.position() >= end {
                self.at = At::Behind(reader.first());
                continue;
            }
            if let Err(failed) = reader.read_some(end, room, events) {
                return Err(reader.error(failed));
            }
            self.next = reader.next();
        }
        Ok(())
    }

    /// Opens the segment that has the next offset.
    fn enter(&mut self, log_end: LogEnd) -> Result<(), Error> {
        loop {
            let firsts =
                segment::list(&self.folder).map_err(|cause| failure::reading(cause, &self.folder))?;
            let found = match self.at {
                At::Behind(done) => firsts.iter().find(|&&first| first > done),
                _ => firsts.iter().rev().find(|&&first| first <= self.next).or(firsts.first()),
            };
            let Some(&first) = found else {
                if let At::Behind(done) = self.at {
                    return Err(self.ends_early(done));
                }
                let shown = self.folder.display();
                return Err(Error::new(
                    ErrorKind::Storage,
                    format!("the event log in {shown} has lost its files"),
                )
                .hint("restore the folder from a copy, or restart tidegate to begin a new one"));
            };
            // Retention may have taken it a moment ago.
            let Some(mut reader) = SegmentReader::open(&self.folder, first)? else { continue };
            if first > self.next {
                if let At::Behind(done) = self.at
                    && reader.header().before == done
                {
                    return Err(self.ends_early(done));
                }
                // Who begins at the beginning never knew what retention has removed.
                if self.next > 0 {
                    let folder = self.folder.display();
                    warn!(%folder, from = self.next, to = first, "events are gone from the log and skipped");
                }
                self.next = first;
            } else {
                let end = end_of(&reader, log_end)?;
                reader.skip_to(self.next, end)?;
            }
            self.at = At::Inside(Box::new(reader));
            return Ok(());
        }
    }

    /// The error of a segment that lacks events which it had.
    fn ends_early(&self, first: u64) -> Error {
        let path = segment::path(&self.folder, first);
        let at = path.metadata().map_or(0, |metadata| metadata.len());
        Damage { at }.of(&path)
    }
}

/// The byte up to which a segment may be read.
fn end_of(reader: &SegmentReader, log_end: LogEnd) -> Result<u64, Error> {
    if reader.first() == log_end.segment { Ok(log_end.bytes) } else { reader.length() }
}
