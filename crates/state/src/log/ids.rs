//! What a closed segment leaves beside it, so that opening needs not read it.
//!
//! `<first offset>.ids`: magic 8 | newest second u32 | entries u32 | checksum u32
//! of the entries | checksum u32 of all this, then 16 bytes for each event. It can be rebuilt from its segment, so it is
//! written without waiting for the disk.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::dedup::Seen;
use super::format::take_u32;
use crate::folder;

const MAGIC: &[u8; 8] = b"TIDEIDS1";
const HEADER_BYTES: usize = 24;

/// What is known of a closed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    /// The offset of its first event.
    pub(super) first: u64,
    /// The second its newest event was logged in; the greatest if it is not known.
    pub(super) newest: u32,
}

fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.ids"))
}

/// Writes down what a segment has.
pub(super) fn write(folder: &Path, closed: Closed, seen: &[Seen]) {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + size_of_val(seen));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&closed.newest.to_le_bytes());
    bytes.extend_from_slice(&(seen.len() as u32).to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    for seen in seen {
        bytes.extend_from_slice(&seen.0.to_le_bytes());
    }
    let entries = crc32fast::hash(&bytes[HEADER_BYTES..]);
    bytes[16..20].copy_from_slice(&entries.to_le_bytes());
    let header = crc32fast::hash(&bytes[..20]);
    bytes[20..24].copy_from_slice(&header.to_le_bytes());
    // If it fails the segment is read instead, and a part of it does not match its checksum.
    let _ = folder::create_file(&path(folder, closed.first)).and_then(|mut file| file.write_all(&bytes));
}

/// Reads what was written down, the entries only if an event is as new as
/// `since`. `None` if there is nothing to rely on.
pub(super) fn read(folder: &Path, first: u64, since: u32) -> Option<(Closed, Vec<Seen>)> {
    let mut file = File::open(path(folder, first)).ok()?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).ok()?;
    let mut rest = header.strip_prefix(MAGIC)?;
    let newest = take_u32(&mut rest)?;
    let count = take_u32(&mut rest)?;
    let entries = take_u32(&mut rest)?;
    if crc32fast::hash(&header[..20]) != take_u32(&mut rest)? {
        return None;
    }
    let closed = Closed { first, newest };
    if newest < since {
        return Some((closed, Vec::new()));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    if bytes.len() != usize::try_from(count).ok()? * size_of::<Seen>() || crc32fast::hash(&bytes) != entries {
        return None;
    }
    let (entries, _) = bytes.as_chunks();
    Some((closed, entries.iter().map(|entry| Seen(u128::from_le_bytes(*entry))).collect()))
}

/// Removes it, with its segment being next.
pub(super) fn remove(folder: &Path, first: u64) {
    // What stays is not found without its segment.
    let _ = fs::remove_file(path(folder, first));
}
