//! Rows that were read, sorted by their keys on disk: memory does not follow their number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use tidegate_model::Error;
use tidegate_model::store::RowVersion;

use super::{RECORD_BYTES, decode, encode};
use crate::failure;
use crate::folder;

/// Rows that are sorted in memory: 16 MiB.
const SORTED_ROWS: usize = 512 * 1024;
/// Bytes of one sorted file that are held in memory while all of them are merged.
const READ_AHEAD: usize = 64 << 10;

/// Collects rows in any order. Its files have no name: a crash leaves nothing behind.
pub(super) struct Spool {
    folder: PathBuf,
    rows: Vec<RowVersion>,
    files: Vec<File>,
    sorted_rows: usize,
}

impl Spool {
    /// Creates an empty spool whose files are written into this folder.
    pub(super) fn new(folder: &Path) -> Spool {
        Spool { folder: folder.to_path_buf(), rows: Vec::new(), files: Vec::new(), sorted_rows: SORTED_ROWS }
    }

    /// Returns the folder of its files.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds rows.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(super) fn add(&mut self, rows: &[RowVersion]) -> Result<(), Error> {
        self.rows.extend_from_slice(rows);
        if self.rows.len() < self.sorted_rows { Ok(()) } else { self.spill() }
    }

    fn spill(&mut self) -> Result<(), Error> {
        self.rows.sort_unstable();
        let file = write(&self.folder, self.rows.iter().copied())
            .map_err(|cause| failure::of_io(cause, "sorting the rows of the source in", &self.folder))?;
        self.files.push(file);
        self.rows.clear();
        Ok(())
    }

    /// Returns all rows in the order of their keys, equal ones too.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn sorted(mut self) -> Result<SortedRows, Error> {
        self.rows.sort_unstable();
        let files =
            self.files.into_iter().map(|file| Input::File(BufReader::with_capacity(READ_AHEAD, file)));
        let inputs = files.chain([Input::Memory(self.rows.into_iter())]);
        let mut sorted =
            SortedRows { folder: self.folder, inputs: inputs.collect(), heap: BinaryHeap::new() };
        (0..sorted.inputs.len()).try_for_each(|at| sorted.refill(at))?;
        Ok(sorted)
    }
}

/// Writes rows into a file without a name, and returns it at its beginning.
fn write(folder: &Path, rows: impl Iterator<Item = RowVersion>) -> io::Result<File> {
    folder::create(folder)?;
    let mut out = BufWriter::with_capacity(1 << 18, tempfile::tempfile_in(folder)?);
    for row in rows {
        out.write_all(&encode(row))?;
    }
    let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

enum Input {
    Memory(std::vec::IntoIter<RowVersion>),
    File(BufReader<File>),
}

impl Input {
    fn next(&mut self) -> io::Result<Option<RowVersion>> {
        match self {
            Input::Memory(rows) => Ok(rows.next()),
            Input::File(file) => {
                let mut record = [0; RECORD_BYTES];
                match file.read_exact(&mut record) {
                    Ok(()) => Ok(Some(decode(&record))),
                    Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                    Err(cause) => Err(cause),
                }
            }
        }
    }
}

/// The rows of a spool in the order of their keys.
pub(super) struct SortedRows {
    folder: PathBuf,
    inputs: Vec<Input>,
    heap: BinaryHeap<Reverse<(RowVersion, usize)>>,
}

impl SortedRows {
    /// Returns the next row without taking it.
    pub(super) fn peek(&self) -> Option<RowVersion> {
        self.heap.peek().map(|Reverse((row, _))| *row)
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<RowVersion>, Error> {
        let Some(Reverse((row, at))) = self.heap.pop() else { return Ok(None) };
        self.refill(at)?;
        Ok(Some(row))
    }

    fn refill(&mut self, at: usize) -> Result<(), Error> {
        let next = self.inputs[at].next();
        let next =
            next.map_err(|cause| failure::of_io(cause, "sorting the rows of the source in", &self.folder))?;
        self.heap.extend(next.map(|row| Reverse((row, at))));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::RowHash;

    use super::*;

    #[test]
    fn rows_come_out_sorted_whatever_fits_into_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        for sorted_rows in [1, 7, 10_000] {
            let mut spool = Spool { sorted_rows, ..Spool::new(folder.path()) };
            let mut rows: Vec<RowVersion> = (0..100_u128)
                .map(|at| RowVersion { key: RowHash(at * 7_919 % 90), row: RowHash(at % 3) })
                .collect();
            rows.chunks(9).for_each(|rows| spool.add(rows).expect("added"));
            let mut sorted = spool.sorted().expect("sorted");
            let mut found = Vec::new();
            while let Some(next) = sorted.peek() {
                assert_eq!(sorted.next().expect("read"), Some(next));
                found.push(next);
            }
            rows.sort_unstable();
            assert_eq!(found, rows);
            assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0, "no file has a name");
        }
    }
}
