//! How far a stream is durable, written down.
//!
//! `end`: magic 8 | log u64 | first offset of the segment u64 | its durable bytes u64
//! | the next offset u64 | checksum u32 of all this.
//!
//! The file is written over after each sync and before the answers. It is not synced
//! itself, so after a loss of power it may say less than is true, and never more: what
//! lies before the end that it states was acknowledged. There a file that cannot be
//! read is damaged. After it, it may be a write that was not finished.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use tidegate_model::LogId;

use super::format::{take_u32, take_u64};
use crate::folder;

const MAGIC: &[u8; 8] = b"TIDEEND1";
const BYTES: usize = 44;

/// How far a stream is durable at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The id that its next event gets.
    pub(super) log: LogId,
    /// The first offset of the segment that is written.
    pub(super) segment: u64,
    /// Its durable bytes.
    pub(super) bytes: u64,
    /// The offset of the next event.
    pub(super) next: u64,
}

impl End {
    /// Returns the content of the file.
    pub(super) fn encode(self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        out[..8].copy_from_slice(MAGIC);
        for (at, number) in [self.log.0, self.segment, self.bytes, self.next].into_iter().enumerate() {
            out[8 + at * 8..16 + at * 8].copy_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32fast::hash(&out[..BYTES - 4]);
        out[BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<End> {
        if bytes.len() != BYTES {
            return None;
        }
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let (log, segment) = (take_u64(&mut rest)?, take_u64(&mut rest)?);
        let (bytes_, next) = (take_u64(&mut rest)?, take_u64(&mut rest)?);
        let whole = crc32fast::hash(&bytes[..BYTES - 4]) == take_u32(&mut rest)?;
        whole.then_some(End { log: LogId(log), segment, bytes: bytes_, next })
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("end")
}

/// Returns the end that was written down last; `None` if there is none to rely on.
pub(super) fn read(folder: &Path) -> Option<End> {
    End::decode(&fs::read(path(folder)).ok()?)
}

/// The file of one stream, open to be written over.
#[derive(Default)]
pub(super) struct EndFile {
    file: Option<File>,
}

impl EndFile {
    /// Writes down an end. If that fails, the file says less than the truth: damage may
    /// then be mistaken for a write that was not finished.
    pub(super) fn write(&mut self, folder: &Path, end: End) {
        if let Err(cause) = self.try_write(folder, end) {
            self.file = None;
            tracing::debug!(folder = %folder.display(), %cause, "the end of the event log was not written down");
        }
    }

    fn try_write(&mut self, folder: &Path, end: End) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(folder::ensure_file(&path(folder))?),
        };
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&end.encode())
    }

    /// Makes it durable. Not needed for what it is relied on; it makes it true after a
    /// loss of power as well.
    pub(super) fn sync(&self) {
        if let Some(file) = &self.file {
            let _ = file.sync_data();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_it_was_written_and_not_if_it_is_damaged() {
        let folder = tempfile::tempdir().expect("folder");
        let end = End { log: LogId(7), segment: 1, bytes: 2, next: 3 };
        assert_eq!(read(folder.path()), None);

        let mut file = EndFile::default();
        file.write(folder.path(), End { next: 9, ..end });
        file.write(folder.path(), end);
        assert_eq!(read(folder.path()), Some(end));

        let whole = fs::read(path(folder.path())).expect("read");
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert_eq!(End::decode(&flipped), None, "byte {at}");
            assert_eq!(End::decode(&whole[..at]), None, "cut at {at}");
        }
    }
}
