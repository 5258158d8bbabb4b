//! The newest events of one user.
//!
//! Closed segments are looked up in their indexes of users, newest first, until there are enough events.
//! The segment that is written, and one without an index that can be relied on, is walked through.

use std::collections::VecDeque;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use tidegate_model::{Error, Event};

use super::failure::{self, Damage};
use super::lineage::{Lineage, Start};
use super::recovery::LogEnd;
use super::segment_file::SegmentFile;
use super::users::UserIndex;
use super::walk::Walk;
use super::{erase, format, segment};
use crate::user_mark::mark_of;

/// What a search has found.
pub(super) struct Found {
    /// The events, newest first.
    pub(super) events: Vec<Event>,
    /// The segments whose index is damaged.
    pub(super) damaged: Vec<u64>,
}

/// Returns the newest events of a user in the stream in a folder, at most `limit`, up to a durable end.
/// An index of another log, which an older copy may have left, is not used.
///
/// # Errors
/// If a segment that can have events of the user cannot be read, or is damaged.
pub(super) fn newest(
    folder: &Path,
    (log_end, lineage): (LogEnd, &Lineage),
    user: &str,
    limit: usize,
) -> Result<Found, Error> {
    let firsts = segment::list(folder).map_err(|cause| failure::reading(cause, folder))?;
    let search = Search { folder, lineage, user };
    let mut found = Found { events: Vec::new(), damaged: Vec::new() };
    let mut behind = None;
    for &first in firsts.iter().rev().filter(|&&first| first <= log_end.segment) {
        let wanted = limit - found.events.len();
        if wanted == 0 {
            break;
        }
        let looked = match first < log_end.segment {
            true => search.look_up(first, wanted),
            false => LookedUp::NoIndex,
        };
        match looked {
            LookedUp::Found(events) => found.events.extend(events),
            LookedUp::NoIndex | LookedUp::Damaged => {
                let end = (first == log_end.segment).then_some(log_end.bytes);
                found.events.extend(search.scan(first, end, behind, wanted)?);
                if matches!(looked, LookedUp::Damaged) {
                    found.damaged.push(first);
                }
            }
        }
        behind = Some(first);
    }
    Ok(found)
}

/// What the index of a segment has given.
enum LookedUp {
    Found(Vec<Event>),
    NoIndex,
    /// The index or the segment is damaged.
    Damaged,
}

struct Search<'a> {
    folder: &'a Path,
    lineage: &'a Lineage,
    user: &'a str,
}

impl Search<'_> {
    fn look_up(&self, first: u64, wanted: usize) -> LookedUp {
        match self.by_index(first, wanted) {
            Ok(Some(events)) => LookedUp::Found(events),
            Ok(None) => LookedUp::NoIndex,
            Err(_) => LookedUp::Damaged,
        }
    }

    /// Returns the newest events of a closed segment by its index; `None` if it has none.
    fn by_index(&self, first: u64, wanted: usize) -> io::Result<Option<Vec<Event>>> {
        let Some(index) = UserIndex::open(self.folder, first)? else { return Ok(None) };
        if self.lineage.start(index.log(), first) == Start::Anew {
            return Ok(None);
        }
        let mut events = Vec::new();
        let mut opened: Option<SegmentFile> = None;
        for position in index.positions(mark_of(self.user)) {
            let position = position?;
            let file = match &mut opened {
                Some(file) => file,
                none => {
                    let file = match SegmentFile::open(&segment::path(self.folder, first)) {
                        // Retention has removed it.
                        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Some(events)),
                        opened => opened?,
                    };
                    if file.length()? != index.segment_bytes() {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    none.insert(file)
                }
            };
            let event = event_at(file, position, index.segment_bytes())?;
            if *event.user == *self.user && !erase::is_erased(&event) {
                events.push(event);
                if events.len() == wanted {
                    break;
                }
            }
        }
        Ok(Some(events))
    }

    /// Returns the newest events of a segment without its index, up to byte `end`. `behind` is the
    /// first offset of the segment after it.
    fn scan(
        &self,
        first: u64,
        end: Option<u64>,
        behind: Option<u64>,
        wanted: usize,
    ) -> Result<Vec<Event>, Error> {
        let path = segment::path(self.folder, first);
        let failed = |cause| failure::reading(cause, &path);
        let mut file = match SegmentFile::open(&path) {
            // Retention has removed it.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened.map_err(failed)?,
        };
        let end = match end {
            Some(end) => end,
            None => file.length().map_err(failed)?,
        };
        let mut walk = Walk::new(first);
        let mut newest = VecDeque::new();
        walk.read(
            &mut (&mut file).take(end),
            || true,
            |position, user| {
                if user == self.user.as_bytes() {
                    if newest.len() == wanted {
                        newest.pop_front();
                    }
                    newest.push_back(position);
                }
            },
        )
        .map_err(failed)?;
        let cut_off = || match behind {
            Some(behind) if behind > walk.next() => segment::header(self.folder, behind),
            _ => Ok(None),
        };
        if !walk.is_whole() || cut_off()?.is_some_and(|header| header.before == first) {
            return Err(Damage { at: walk.position() }.of(&path));
        }
        let events = newest.into_iter().rev().map(|position| event_at(&mut file, position, end));
        events.collect::<io::Result<_>>().map_err(failed)
    }
}

/// Reads the event of the record at a position of a segment with this number of bytes.
fn event_at(file: &mut SegmentFile, position: u64, bytes: u64) -> io::Result<Event> {
    let mut record = Vec::new();
    let mut wanted = format::RECORD_MIN as u64;
    loop {
        if position + wanted > bytes {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let behind = record.len() as u64;
        file.seek(SeekFrom::Start(position + behind))?;
        if file.take(wanted - behind).read_to_end(&mut record)? as u64 != wanted - behind {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let block = Bytes::from(record);
        match format::read_record(&block, 0) {
            Ok((event, _)) => return Ok(event),
            Err(format::NoRecord::Longer(longer)) if longer as u64 > wanted => wanted = longer as u64,
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
        record = block.into();
    }
}
