//! Ids of older events: a file of them, sorted by hash, behind a filter in memory.
//!
//! `<first offset>-<offset after the last>.seen`: a header, 16 bytes for each event, and the
//! filter. It is durable before it has its name.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parquet::bloom_filter::Sbbf;
use tidegate_model::LogId;
use tracing::warn;

use super::recent::{Id, Seen};
use crate::folder;
use crate::log::format::{take_u32, take_u64};

const MAGIC: &[u8; 8] = b"TIDESEE1";
const HEADER_BYTES: usize = 64;
const ENTRY_BYTES: u64 = size_of::<Seen>() as u64;
/// How often the filter is wrong about an id that is not in the file; 12 bits an id.
const WRONG: f64 = 0.005;
/// How many entries are read at once: one page.
const BLOCK: u64 = 256;

/// Which events a file covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Covers {
    /// The id of the log when it was written.
    pub(in crate::log) log: LogId,
    /// The offset of the first event.
    pub(in crate::log) first: u64,
    /// The offset after the last event.
    pub(in crate::log) end: u64,
}

/// A file of ids that can be asked.
#[derive(Debug)]
pub(in crate::log) struct Run {
    path: PathBuf,
    file: File,
    filter: Sbbf,
    covers: Covers,
    count: u64,
    newest: u32,
    unreadable: AtomicBool,
}

impl Run {
    /// Writes a file of events that come sorted, at most `count`, and opens it.
    ///
    /// # Errors
    /// What the disk says. Nothing with the file's name is left behind.
    pub(super) fn write(
        folder: &Path,
        covers: Covers,
        count: u64,
        sorted: impl Iterator<Item = io::Result<Seen>>,
    ) -> io::Result<Run> {
        let path = folder.join(format!("{:020}-{:020}.seen", covers.first, covers.end));
        let half = path.with_extension("tmp");
        let written = write_half(&half, covers, count, sorted).and_then(|()| {
            fs::rename(&half, &path)?;
            folder::sync(folder)
        });
        if let Err(cause) = written {
            let _ = fs::remove_file(&half);
            return Err(cause);
        }
        Run::open(path)?.ok_or_else(|| io::Error::other("a file of ids cannot be read back"))
    }

    /// Opens a file; `None` if it is damaged.
    pub(super) fn open(path: PathBuf) -> io::Result<Option<Run>> {
        let mut file = File::open(&path)?;
        let mut bytes = [0; HEADER_BYTES];
        let length = file.metadata()?.len();
        if length < HEADER_BYTES as u64 {
            return Ok(None);
        }
        file.read_exact(&mut bytes)?;
        let Some(header) = Header::decode(&bytes) else { return Ok(None) };
        let entries = header.count.saturating_mul(ENTRY_BYTES);
        let behind = (HEADER_BYTES as u64).saturating_add(entries);
        if behind.checked_add(header.filter_bytes) != Some(length) {
            return Ok(None);
        }
        let mut filter = Vec::new();
        file.seek(SeekFrom::Start(behind))?;
        file.read_to_end(&mut filter)?;
        if crc32fast::hash(&filter) != header.filter_sum {
            return Ok(None);
        }
        let Ok(filter) = Sbbf::from_bytes(&filter) else { return Ok(None) };
        let Header { covers, count, newest, .. } = header;
        Ok(Some(Run { path, file, filter, covers, count, newest, unreadable: AtomicBool::new(false) }))
    }

    /// Returns which events it covers.
    pub(super) fn covers(&self) -> Covers {
        self.covers
    }

    /// Returns how many ids it holds.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the second its newest event was logged in.
    pub(super) fn newest(&self) -> u32 {
        self.newest
    }

    /// Removes its file.
    pub(super) fn remove(&self) {
        // What stays is inside what another file covers, or out of the window.
        let _ = fs::remove_file(&self.path);
    }

    /// Returns whether an event with this id was logged in this second or later.
    pub(super) fn knows(&self, id: Id, since: u32) -> bool {
        if self.newest < since || !self.filter.check(&id.bytes()[..]) {
            return false;
        }
        match self.find(id) {
            Ok(found) => found.is_some_and(|seen| seen.second() >= since),
            Err(cause) => {
                if !self.unreadable.swap(true, Ordering::Relaxed) {
                    let file = self.path.display();
                    warn!(%file, %cause, "ids of logged events cannot be read: what is posted again may be logged again");
                }
                false
            }
        }
    }

    /// Searches by interpolation: hashes are spread evenly.
    fn find(&self, id: Id) -> io::Result<Option<Seen>> {
        let (mut low, mut high) = (0, self.count);
        let (mut least, mut greatest) = (Id::LEAST, Id::GREATEST);
        let mut block = Vec::new();
        while low < high {
            let guess = low + (id.between(least, greatest) * (high - low) as f64) as u64;
            let from = guess.saturating_sub(BLOCK / 2).clamp(low, high - 1);
            let to = (from + BLOCK).min(high);
            block.resize(usize::try_from((to - from) * ENTRY_BYTES).unwrap_or_default(), 0);
            self.file.read_exact_at(&mut block, HEADER_BYTES as u64 + from * ENTRY_BYTES)?;
            let (entries, _) = block.as_chunks();
            let at = |slot: usize| Seen(u128::from_le_bytes(entries[slot]));
            let (first, last) = (at(0), at(entries.len() - 1));
            if id < first.id() {
                (high, greatest) = (from, first.id());
            } else if id > last.id() {
                (low, least) = (to, last.id());
            } else {
                let found = entries.binary_search_by_key(&id, |entry| Seen(u128::from_le_bytes(*entry)).id());
                return Ok(found.ok().map(at));
            }
        }
        Ok(None)
    }

    /// Returns its events in order.
    pub(super) fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Seen>>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
        let mut reader = io::BufReader::with_capacity(256 * 1024, file);
        Ok((0..self.count).map(move |_| {
            let mut entry = [0; size_of::<Seen>()];
            reader.read_exact(&mut entry)?;
            Ok(Seen(u128::from_le_bytes(entry)))
        }))
    }

    /// Returns the memory that its filter takes, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.filter.num_blocks() * 32
    }
}

fn write_half(
    half: &Path,
    covers: Covers,
    most: u64,
    sorted: impl Iterator<Item = io::Result<Seen>>,
) -> io::Result<()> {
    let mut filter = Sbbf::new_with_ndv_fpp(most.max(1), WRONG).map_err(io::Error::other)?;
    let mut writer = BufWriter::with_capacity(256 * 1024, folder::create_file(half)?);
    writer.write_all(&[0; HEADER_BYTES])?;
    let (mut count, mut newest) = (0, 0);
    for seen in sorted {
        let seen = seen?;
        filter.insert(&seen.id().bytes()[..]);
        writer.write_all(&seen.0.to_le_bytes())?;
        count += 1;
        newest = newest.max(seen.second());
    }
    let mut bytes = Vec::new();
    filter.write(&mut bytes).map_err(io::Error::other)?;
    writer.write_all(&bytes)?;
    let header = Header {
        covers,
        count,
        newest,
        filter_bytes: bytes.len() as u64,
        filter_sum: crc32fast::hash(&bytes),
    };
    writer.seek(SeekFrom::Start(0))?;
    writer.write_all(&header.encode())?;
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// The first bytes of a file.
struct Header {
    covers: Covers,
    count: u64,
    newest: u32,
    filter_bytes: u64,
    filter_sum: u32,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        for number in [self.covers.log.0, self.covers.first, self.covers.end, self.count, self.filter_bytes] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.newest.to_le_bytes());
        bytes.extend_from_slice(&self.filter_sum.to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        header[..bytes.len()].copy_from_slice(&bytes);
        let sum = crc32fast::hash(&header[..HEADER_BYTES - 4]);
        header[HEADER_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
        header
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
        let (body, mut sum) = bytes.split_at(HEADER_BYTES - 4);
        if take_u32(&mut sum)? != crc32fast::hash(body) {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let covers = Covers {
            log: LogId(take_u64(&mut rest)?),
            first: take_u64(&mut rest)?,
            end: take_u64(&mut rest)?,
        };
        let (count, filter_bytes) = (take_u64(&mut rest)?, take_u64(&mut rest)?);
        let (newest, filter_sum) = (take_u32(&mut rest)?, take_u32(&mut rest)?);
        Some(Header { covers, count, newest, filter_bytes, filter_sum })
    }
}
