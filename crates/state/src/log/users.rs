//! The index of users of a closed segment: where the events of each user are.
//!
//! `<first offset>.users`, numbers little-endian, checksums CRC-32:
//!
//! ```text
//! file      magic 8 | log u64 | first offset u64 | bytes of the segment u64 | entries u32
//!           checksum u32 of the header and the first entries
//!           the mark of the first entry of each page u32 | pages
//! page      checksum u32 of its entries | up to 512 entries
//! entry     position of the record in the segment u32 | mark of its user u32
//! ```
//!
//! A mark is four bytes of a hash of the user. Entries are in the order of marks, and those of one mark in
//! the order of their events, so that a lookup reads the header and a page. A position is that in the
//! uncompressed segment. Two users may have the same mark: the event says whose it is. The file can be
//! rebuilt from its segment, so it is written without waiting for the disk.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tidegate_model::LogId;

use super::format::{take_u32, take_u64};
use super::segment;
use super::segment_file::SegmentFile;
use super::walk::Walk;
use crate::folder;
use crate::user_mark::mark_of_bytes;

const MAGIC: &[u8; 8] = b"TIDEUSR1";
const HEADER_BYTES: usize = 40;
const PAGE_ENTRIES: usize = 512;
const ENTRY_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
const PAGE_BYTES: usize = CHECKSUM_BYTES + PAGE_ENTRIES * ENTRY_BYTES;

/// Where the index of the segment with this first offset is.
pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.users"))
}

/// Removes an index, if there is one.
pub(super) fn remove(folder: &Path, first: u64) -> io::Result<()> {
    match fs::remove_file(path(folder, first)) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Returns whether a segment has an index, which belongs to it as far as its header says.
pub(super) fn is_there(folder: &Path, first: u64) -> bool {
    let Ok(Some(index)) = UserIndex::open(folder, first) else { return false };
    let same_log = segment::header(folder, first)
        .is_ok_and(|header| header.is_some_and(|header| header.lineage.id == index.log));
    let length = SegmentFile::open(&segment::path(folder, first)).and_then(|file| file.length());
    same_log && length.is_ok_and(|length| length == index.segment_bytes)
}

/// The users of a segment, collected while it is walked through.
pub(super) struct Users {
    first: u64,
    walk: Walk,
    /// The mark above, the position below.
    entries: Vec<u64>,
}

impl Users {
    /// Begins in front of the segment with this first offset.
    pub(super) fn new(first: u64) -> Users {
        Users { first, walk: Walk::new(first), entries: Vec::new() }
    }

    /// Takes the next bytes of the segment.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let entries = &mut self.entries;
        self.walk.take(bytes, &mut |position, user| {
            entries.push(u64::from(mark_of_bytes(user)) << 32 | position & u64::from(u32::MAX));
        });
    }

    /// Writes the index to a file. Returns `false` if the segment was damaged, so that there is none.
    pub(super) fn write(mut self, to: &Path) -> io::Result<bool> {
        let segment_bytes = self.walk.position();
        if !self.walk.is_whole() || segment_bytes > u64::from(u32::MAX) {
            return Ok(false);
        }
        self.entries.sort_unstable();
        let mut head = Vec::with_capacity(HEADER_BYTES + self.entries.len() / PAGE_ENTRIES * 4 + 4);
        head.extend_from_slice(MAGIC);
        for number in [self.walk.log().0, self.first, segment_bytes] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        head.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        head.extend_from_slice(&[0; CHECKSUM_BYTES]);
        for page in self.entries.chunks(PAGE_ENTRIES) {
            head.extend_from_slice(&mark(page[0]).to_le_bytes());
        }
        let checksum = head_checksum(&head);
        head[HEADER_BYTES - CHECKSUM_BYTES..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        let mut file = BufWriter::with_capacity(64 * 1024, folder::create_file(to)?);
        file.write_all(&head)?;
        let mut bytes = Vec::with_capacity(PAGE_BYTES);
        for page in self.entries.chunks(PAGE_ENTRIES) {
            bytes.clear();
            page.iter().for_each(|entry| bytes.extend_from_slice(&entry.to_le_bytes()));
            file.write_all(&crc32fast::hash(&bytes).to_le_bytes())?;
            file.write_all(&bytes)?;
        }
        file.flush()?;
        Ok(true)
    }
}

fn mark(entry: u64) -> u32 {
    (entry >> 32) as u32
}

fn position(entry: u64) -> u64 {
    entry & u64::from(u32::MAX)
}

fn head_checksum(head: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[..HEADER_BYTES - CHECKSUM_BYTES]);
    hasher.update(&head[HEADER_BYTES..]);
    hasher.finalize()
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an index of users is damaged")
}

/// An index that can be asked.
pub(super) struct UserIndex {
    file: File,
    log: LogId,
    segment_bytes: u64,
    entries: usize,
    /// The mark of the first entry of each page.
    firsts: Vec<u32>,
}

impl UserIndex {
    /// Opens the index of a segment; `None` if it has none.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub(super) fn open(folder: &Path, first: u64) -> io::Result<Option<UserIndex>> {
        let mut file = match File::open(path(folder, first)) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(cause),
        };
        let length = file.metadata()?.len();
        let mut head = vec![0; HEADER_BYTES];
        file.read_exact(&mut head)?;
        let (log, segment_bytes, entries, checksum) = decode(&head, first).ok_or_else(damaged)?;
        let pages = entries.div_ceil(PAGE_ENTRIES);
        let behind = pages as u64 * (4 + CHECKSUM_BYTES) as u64 + entries as u64 * ENTRY_BYTES as u64;
        if length != HEADER_BYTES as u64 + behind {
            return Err(damaged());
        }
        head.resize(HEADER_BYTES + pages * 4, 0);
        file.read_exact(&mut head[HEADER_BYTES..])?;
        if head_checksum(&head) != checksum {
            return Err(damaged());
        }
        let firsts = head[HEADER_BYTES..].as_chunks::<4>().0.iter().copied().map(u32::from_le_bytes);
        let firsts = firsts.collect();
        Ok(Some(UserIndex { file, log, segment_bytes, entries, firsts }))
    }

    /// The log that the segment is of.
    pub(super) fn log(&self) -> LogId {
        self.log
    }

    /// How long the segment is.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Returns where records of users with this mark are, newest first.
    pub(super) fn positions(&self, mark: u32) -> Positions<'_> {
        let pages = self.firsts.partition_point(|first| *first <= mark);
        Positions { index: self, mark, pages, found: Vec::new() }
    }

    fn page(&self, page: usize) -> io::Result<Vec<u64>> {
        let entries = PAGE_ENTRIES.min(self.entries - page * PAGE_ENTRIES);
        let mut bytes = vec![0; CHECKSUM_BYTES + entries * ENTRY_BYTES];
        let at = HEADER_BYTES + self.firsts.len() * 4 + page * PAGE_BYTES;
        self.file.read_exact_at(&mut bytes, at as u64)?;
        let mut rest = &bytes[..];
        let checksum = take_u32(&mut rest);
        if checksum != Some(crc32fast::hash(rest)) {
            return Err(damaged());
        }
        Ok(rest.as_chunks().0.iter().copied().map(u64::from_le_bytes).collect())
    }
}

/// The log, the bytes of the segment, the number of entries and the checksum of a header.
fn decode(head: &[u8], first: u64) -> Option<(LogId, u64, usize, u32)> {
    let mut rest = head.strip_prefix(MAGIC)?;
    let (log, of, bytes) = (take_u64(&mut rest)?, take_u64(&mut rest)?, take_u64(&mut rest)?);
    let (entries, checksum) = (take_u32(&mut rest)?, take_u32(&mut rest)?);
    (of == first).then_some((LogId(log), bytes, entries as usize, checksum))
}

/// Positions of records, newest first. Pages are read as they are needed.
pub(super) struct Positions<'a> {
    index: &'a UserIndex,
    mark: u32,
    /// The pages in front of this one may have more.
    pages: usize,
    /// Those of the page that was read last, oldest first.
    found: Vec<u64>,
}

impl Iterator for Positions<'_> {
    type Item = io::Result<u64>;

    fn next(&mut self) -> Option<io::Result<u64>> {
        while self.found.is_empty() && self.pages > 0 {
            self.pages -= 1;
            let page = match self.index.page(self.pages) {
                Ok(page) => page,
                Err(cause) => return Some(Err(cause)),
            };
            if self.index.firsts[self.pages] < self.mark {
                self.pages = 0;
            }
            let of_mark = page.into_iter().filter(|entry| mark(*entry) == self.mark);
            self.found.extend(of_mark.map(position));
        }
        self.found.pop().map(Ok)
    }
}
