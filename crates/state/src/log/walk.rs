//! Walks through the bytes of a segment, as they come in pieces, and finds whose each record is.
//!
//! It checks what a [`SegmentReader`](super::segment::SegmentReader) checks and makes no events, which is
//! several times as fast.

use std::io::{self, Read};
use std::mem;

use tidegate_model::LogId;

use super::format::{self, FRAME_HEADER, FrameHeader, NoRecord, SEGMENT_HEADER_MAX, SegmentHeader};

/// How much is read at once.
const PIECE: usize = 256 * 1024;

/// A walk through one segment.
pub(super) struct Walk {
    first: u64,
    log: LogId,
    next: u64,
    /// What was not walked through yet, and where it begins.
    rest: Vec<u8>,
    at: u64,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// In front of the segment's header.
    Start,
    /// In a frame that ends there, or in front of one if no records are left.
    Frame {
        records_left: u32,
        end: u64,
    },
    Damaged,
}

impl Walk {
    /// Begins in front of the segment with this first offset.
    pub(super) fn new(first: u64) -> Walk {
        Walk { first, log: LogId::default(), next: first, rest: Vec::new(), at: 0, state: State::Start }
    }

    /// The log that the segment is of.
    pub(super) fn log(&self) -> LogId {
        self.log
    }

    /// The offset behind the records so far.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The byte behind what was walked through; if it is damaged, that of the damage.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// Whether the bytes so far are whole frames.
    pub(super) fn is_whole(&self) -> bool {
        self.rest.is_empty() && matches!(self.state, State::Frame { records_left: 0, .. })
    }

    /// Reads `file` to its end. Returns `false` if `go_on`, which is asked before each piece, says no.
    pub(super) fn read(
        &mut self,
        file: &mut impl Read,
        go_on: impl Fn() -> bool,
        mut found: impl FnMut(u64, &[u8]),
    ) -> io::Result<bool> {
        let mut piece = vec![0; PIECE];
        loop {
            if !go_on() {
                return Ok(false);
            }
            match file.read(&mut piece) {
                Ok(0) => return Ok(true),
                Ok(read) => self.take(&piece[..read], &mut found),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
    }

    /// Takes the next bytes, and calls `found` with the position and the user of each event that was
    /// not erased.
    pub(super) fn take(&mut self, bytes: &[u8], found: &mut impl FnMut(u64, &[u8])) {
        let mut rest = mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(step) = self.step(&rest[used..], found) {
            used += step;
            self.at += step as u64;
        }
        rest.drain(..used);
        self.rest = rest;
    }

    /// Returns the bytes of the next header or record; `None` if they are not all there, or damaged.
    fn step(&mut self, rest: &[u8], found: &mut impl FnMut(u64, &[u8])) -> Option<usize> {
        match self.state {
            State::Damaged => None,
            State::Start => {
                match SegmentHeader::decode(rest).filter(|(header, _)| header.first == self.first) {
                    Some((header, length)) => {
                        self.log = header.lineage.id;
                        self.state = State::Frame { records_left: 0, end: self.at + length as u64 };
                        Some(length)
                    }
                    None if rest.len() < SEGMENT_HEADER_MAX => None,
                    None => self.damaged(),
                }
            }
            State::Frame { records_left: 0, .. } => {
                let header = rest.get(..FRAME_HEADER)?;
                let Some(header) = FrameHeader::decode(header).filter(|header| header.first == self.next)
                else {
                    return self.damaged();
                };
                let end = self.at + FRAME_HEADER as u64 + u64::from(header.bytes);
                self.state = State::Frame { records_left: header.records, end };
                Some(FRAME_HEADER)
            }
            State::Frame { records_left, end } => match format::read_user(rest) {
                Err(NoRecord::Longer(bytes)) if self.at + bytes as u64 <= end => None,
                Ok(record) if self.at + record.bytes as u64 <= end => {
                    let is_last = records_left == 1;
                    if is_last && self.at + record.bytes as u64 != end {
                        return self.damaged();
                    }
                    if !record.is_erased {
                        found(self.at, record.user);
                    }
                    self.next += 1;
                    self.state = State::Frame { records_left: records_left - 1, end };
                    Some(record.bytes)
                }
                _ => self.damaged(),
            },
        }
    }

    fn damaged(&mut self) -> Option<usize> {
        self.state = State::Damaged;
        None
    }
}
