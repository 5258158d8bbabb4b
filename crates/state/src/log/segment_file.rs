//! The file of a segment, as it was written or packed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::packed::{self, PackedFile};

/// A segment, read by its positions.
pub(super) enum SegmentFile {
    /// As it was written.
    Plain(File),
    /// Compressed, see [`packed`].
    Packed(Box<PackedFile>),
}

impl SegmentFile {
    /// Opens a segment.
    pub(super) fn open(path: &Path) -> io::Result<SegmentFile> {
        let mut file = File::open(path)?;
        let mut start = Vec::new();
        (&mut file).take(12).read_to_end(&mut start)?;
        if packed::is_packed(&start) {
            return Ok(SegmentFile::Packed(Box::new(PackedFile::open(file)?)));
        }
        file.seek(SeekFrom::Start(0))?;
        Ok(SegmentFile::Plain(file))
    }

    /// Whether nothing can be appended to it.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self, SegmentFile::Packed(_))
    }

    /// How long the segment is now.
    pub(super) fn length(&self) -> io::Result<u64> {
        match self {
            SegmentFile::Plain(file) => Ok(file.metadata()?.len()),
            SegmentFile::Packed(packed) => Ok(packed.length()),
        }
    }
}

impl Read for SegmentFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            SegmentFile::Plain(file) => file.read(out),
            SegmentFile::Packed(packed) => packed.read(out),
        }
    }
}

impl Seek for SegmentFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            SegmentFile::Plain(file) => file.seek(to),
            SegmentFile::Packed(packed) => packed.seek(to),
        }
    }
}
