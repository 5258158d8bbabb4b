//! The files of a stream, and reading one.

use std::fs;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use tidegate_model::{Error, Event, LoggedEvent};

use super::failure::{self, Damage};
use super::format::{self, FRAME_HEADER, FrameHeader, NoRecord, SEGMENT_HEADER_MAX, SegmentHeader};
use super::segment_file::SegmentFile;

/// About how much is read at once; its events share this memory.
const BLOCK_BYTES: u64 = 256 * 1024;

/// Where the segment with this first offset is.
pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.log"))
}

/// The first offsets of the segments in a folder, in order.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(cause),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let first = name
            .to_str()
            .and_then(|name| name.strip_suffix(".log"))
            .and_then(|name| name.parse::<u64>().ok());
        found.extend(first);
    }
    found.sort_unstable();
    Ok(found)
}

/// Returns what a segment says about itself; `None` if that is damaged.
pub(super) fn header(folder: &Path, first: u64) -> Result<Option<SegmentHeader>, Error> {
    let path = path(folder, first);
    let mut start = Vec::new();
    SegmentFile::open(&path)
        .and_then(|file| file.take(SEGMENT_HEADER_MAX as u64).read_to_end(&mut start))
        .map_err(|cause| failure::reading(cause, &path))?;
    let decoded = SegmentHeader::decode(&start).filter(|(header, _)| header.first == first);
    Ok(decoded.map(|(header, _)| header))
}

/// The frame that a reader is in.
#[derive(Clone, Copy)]
struct Frame {
    start: u64,
    end: u64,
    first: u64,
    records_left: u32,
    logged_at: Timestamp,
}

/// Reads one segment from its start to its end.
pub(super) struct SegmentReader {
    path: PathBuf,
    file: SegmentFile,
    header: SegmentHeader,
    position: u64,
    next: u64,
    frame: Frame,
    /// Events before this offset are read and not given out.
    wanted: u64,
}

impl SegmentReader {
    /// Opens a segment; `None` if it is not there.
    pub(super) fn open(folder: &Path, first: u64) -> Result<Option<SegmentReader>, Error> {
        let path = path(folder, first);
        let mut file = match SegmentFile::open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failure::reading(cause, &path)),
        };
        let mut start = Vec::new();
        (&mut file)
            .take(SEGMENT_HEADER_MAX as u64)
            .read_to_end(&mut start)
            .map_err(|cause| failure::reading(cause, &path))?;
        let Some((header, length)) =
            SegmentHeader::decode(&start).filter(|(header, _)| header.first == first)
        else {
            return Err(Damage { at: 0 }.of(&path));
        };
        let position = length as u64;
        let frame = Frame {
            start: position,
            end: position,
            first,
            records_left: 0,
            logged_at: Timestamp::UNIX_EPOCH,
        };
        Ok(Some(SegmentReader { path, file, header, position, next: first, frame, wanted: first }))
    }

    /// The offset of its first event.
    pub(super) fn first(&self) -> u64 {
        self.header.first
    }

    /// What it says about itself.
    pub(super) fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The stream it belongs to.
    pub(super) fn stream(&self) -> &str {
        &self.header.stream
    }

    /// The offset of the event that is read next.
    pub(super) fn next(&self) -> u64 {
        self.next.max(self.wanted)
    }

    /// The byte after what was read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The start of the frame that is not read to its end, and its first offset.
    pub(super) fn frame(&self) -> (u64, u64) {
        if self.frame.records_left == 0 {
            (self.position, self.next)
        } else {
            (self.frame.start, self.frame.first)
        }
    }

    /// How long the file is.
    pub(super) fn length(&self) -> Result<u64, Error> {
        self.file.length().map_err(|cause| failure::reading(cause, &self.path))
    }

    /// Whether nothing can be appended to it.
    pub(super) fn is_packed(&self) -> bool {
        self.file.is_packed()
    }

    /// Goes forward to an offset, looking only at the headers of frames.
    pub(super) fn skip_to(&mut self, offset: u64, end: u64) -> Result<(), Error> {
        self.wanted = offset;
        let mut reader = BufReader::with_capacity(64 * 1024, &mut self.file);
        let failed = |cause| failure::reading(cause, &self.path);
        reader.seek(SeekFrom::Start(self.position)).map_err(failed)?;
        let mut bytes = [0; FRAME_HEADER];
        while self.position + (FRAME_HEADER as u64) <= end {
            reader.read_exact(&mut bytes).map_err(failed)?;
            let header = FrameHeader::decode(&bytes).filter(|header| header.first == self.next);
            let Some(header) = header else { return Err(Damage { at: self.position }.of(&self.path)) };
            let behind = header.first + u64::from(header.records);
            if behind > offset {
                break;
            }
            reader.seek_relative(i64::from(header.bytes)).map_err(failed)?;
            self.position += FRAME_HEADER as u64 + u64::from(header.bytes);
            self.next = behind;
        }
        Ok(())
    }

    /// Reads about a block of events, not beyond byte `end`.
    ///
    /// # Errors
    /// Damage is told when nothing before it is left to give out.
    pub(super) fn read(&mut self, end: u64, out: &mut Vec<LoggedEvent>) -> Result<(), ReadFailure> {
        self.read_some(end, &mut Room { events: usize::MAX, bytes: usize::MAX }, out)
    }

    /// As [`SegmentReader::read`], as long as there is room.
    pub(super) fn read_some(
        &mut self,
        end: u64,
        room: &mut Room,
        out: &mut Vec<LoggedEvent>,
    ) -> Result<(), ReadFailure> {
        let had = out.len();
        let mut wanted = BLOCK_BYTES;
        while out.len() == had && self.position < end && !room.is_full() {
            let block = self.block(wanted.min(end - self.position))?;
            match self.parse(&block, end, room, out) {
                // Only a record longer than the block stops it before its end.
                Parsed::Longer(bytes) => wanted = bytes.max(BLOCK_BYTES),
                Parsed::Block => wanted = BLOCK_BYTES,
                Parsed::Damaged if out.len() > had => {}
                Parsed::Damaged => return Err(ReadFailure::Damaged(Damage { at: self.position })),
            }
        }
        Ok(())
    }

    /// The error of a failed reading.
    pub(super) fn error(&self, failed: ReadFailure) -> Error {
        match failed {
            ReadFailure::Damaged(damage) => damage.of(&self.path),
            ReadFailure::Io(cause) => failure::reading(cause, &self.path),
        }
    }

    /// The last header of a frame after the unfinished one: what was damaged
    /// had been durable, for the next frame is written only then.
    pub(super) fn frame_behind(&mut self) -> Result<Option<FrameHeader>, Error> {
        let (at, first) = self.frame();
        let mut found = None;
        let mut rest = Vec::new();
        let read = self.file.seek(SeekFrom::Start(at + 1)).and_then(|_| self.file.read_to_end(&mut rest));
        read.map_err(|cause| failure::reading(cause, &self.path))?;
        let mut from = 0;
        while let Some((header, at)) = FrameHeader::find(&rest, from) {
            if header.first > first {
                found = Some(header);
            }
            from = at + FRAME_HEADER;
        }
        Ok(found)
    }

    fn block(&mut self, length: u64) -> Result<Bytes, ReadFailure> {
        let mut block = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        self.file
            .seek(SeekFrom::Start(self.position))
            .and_then(|_| (&mut self.file).take(length).read_to_end(&mut block))
            .map_err(ReadFailure::Io)?;
        if (block.len() as u64) < length {
            return Err(ReadFailure::Damaged(Damage { at: self.position + block.len() as u64 }));
        }
        Ok(block.into())
    }

    fn parse(&mut self, block: &Bytes, end: u64, room: &mut Room, out: &mut Vec<LoggedEvent>) -> Parsed {
        let mut at = 0;
        loop {
            // What is left of the block is read again with the next one.
            if room.is_full() {
                return Parsed::Block;
            }
            if self.frame.records_left == 0 {
                let Some(rest) = block.get(at..at + FRAME_HEADER) else {
                    let whole = self.position + FRAME_HEADER as u64 <= end;
                    return if whole || self.position == end { Parsed::Block } else { Parsed::Damaged };
                };
                let Some(header) = FrameHeader::decode(rest).filter(|header| header.first == self.next)
                else {
                    return Parsed::Damaged;
                };
                let behind = self.position + FRAME_HEADER as u64 + u64::from(header.bytes);
                if behind > end {
                    return Parsed::Damaged;
                }
                self.frame = Frame {
                    start: self.position,
                    end: behind,
                    first: header.first,
                    records_left: header.records,
                    logged_at: header.logged_at,
                };
                at += FRAME_HEADER;
                self.position += FRAME_HEADER as u64;
            }
            match format::read_record(block, at) {
                Err(NoRecord::Longer(bytes)) if self.position + bytes as u64 <= self.frame.end => {
                    return Parsed::Longer(bytes as u64);
                }
                Ok((event, bytes)) if self.position + bytes as u64 <= self.frame.end => {
                    if self.next >= self.wanted {
                        room.take(&event);
                        out.push(format::logged(
                            event,
                            self.header.lineage.id,
                            self.next,
                            self.frame.logged_at,
                        ));
                    }
                    at += bytes;
                    self.position += bytes as u64;
                    self.next += 1;
                    self.frame.records_left -= 1;
                }
                _ => return Parsed::Damaged,
            }
            if self.frame.records_left == 0 && self.position != self.frame.end {
                return Parsed::Damaged;
            }
        }
    }
}

/// How much may still be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Events.
    pub(super) events: usize,
    /// About how many bytes of them; the last event may have more.
    pub(super) bytes: usize,
}

impl Room {
    /// Whether nothing more may be read.
    pub(super) fn is_full(self) -> bool {
        self.events == 0 || self.bytes == 0
    }

    fn take(&mut self, event: &Event) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(event.estimated_size());
    }
}

/// Why a segment could not be read on.
pub(super) enum ReadFailure {
    /// The content was never written like that.
    Damaged(Damage),
    /// The disk did not give it.
    Io(io::Error),
}

enum Parsed {
    /// Everything that is whole in the block was read.
    Block,
    /// The next record has this many bytes.
    Longer(u64),
    Damaged,
}
