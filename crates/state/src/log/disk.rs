//! What the writer asks of a disk, so that tests can have one that fails.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::folder;

/// Files that are written. Reading needs no double: damage is made in the files.
pub(super) trait Disk: Send + Sync {
    /// A new, empty file that only its owner can read.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A file that is there, to write on.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file its name, and makes the name durable.
    fn name(&self, from: &Path, to: &Path) -> io::Result<()>;
}

/// A file that is written.
pub(super) trait DiskFile: Send {
    /// Writes pieces, none of them empty, one after the other from an offset on.
    fn write_at(&mut self, pieces: &[&[u8]], at: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

/// The machine's own.
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(folder::create_file(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).open(path)?))
    }

    fn name(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        to.parent().map_or(Ok(()), folder::sync)
    }
}

impl DiskFile for File {
    fn write_at(&mut self, pieces: &[&[u8]], at: u64) -> io::Result<()> {
        self.seek(SeekFrom::Start(at))?;
        let mut pieces: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = &mut pieces[..];
        while !left.is_empty() {
            match self.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_pieces_than_the_system_takes_at_once_are_all_written() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        let numbers: Vec<String> = (0..5_000).map(|number| format!("{number} ")).collect();
        let pieces: Vec<&[u8]> = numbers.iter().map(String::as_bytes).collect();

        let mut file = RealDisk.create(&path).expect("file");
        file.write_at(&[b"before and what is written over"], 0).expect("written");
        file.write_at(&pieces, 7).expect("written");

        let written = fs::read_to_string(&path).expect("file");
        assert_eq!(written, format!("before {}", numbers.concat()));
    }
}
