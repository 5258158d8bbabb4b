//! Rows that were read, sorted by their keys on disk: memory does not follow their number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_model::Error;
use tidegate_model::store::RowVersion;

use super::file::read_at;
use super::{RECORD_BYTES, decode, encode};
use crate::failure;
use crate::folder;

/// Rows that are sorted in memory: 8 MiB.
const SORTED_ROWS: usize = 256 * 1024;
/// Bytes that are held in memory while sorted runs are merged: of all of them, and of one at least and at most.
const READ_AHEAD: usize = 4 << 20;
const READ_AHEAD_MIN: usize = 4 << 10;
const READ_AHEAD_MAX: usize = 64 << 10;

/// Collects rows in any order. They are sorted piece by piece, and the pieces are in one file without a name, so a
/// crash leaves nothing behind.
pub(super) struct Spool {
    folder: PathBuf,
    rows: Vec<RowVersion>,
    file: Option<File>,
    /// How many rows each piece of the file has.
    pieces: Vec<usize>,
    sorted_rows: usize,
}

impl Spool {
    /// Creates an empty spool whose file is written into this folder.
    pub(super) fn new(folder: &Path) -> Spool {
        Spool {
            folder: folder.to_path_buf(),
            rows: Vec::new(),
            file: None,
            pieces: Vec::new(),
            sorted_rows: SORTED_ROWS,
        }
    }

    /// Returns the folder of its file.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds rows.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn add(&mut self, mut rows: &[RowVersion]) -> Result<(), Error> {
        while self.rows.len() + rows.len() >= self.sorted_rows {
            let (fitting, rest) = rows.split_at(self.sorted_rows - self.rows.len());
            self.rows.extend_from_slice(fitting);
            self.spill()?;
            rows = rest;
        }
        self.rows.extend_from_slice(rows);
        Ok(())
    }

    fn spill(&mut self) -> Result<(), Error> {
        self.rows.sort_unstable();
        self.append().map_err(|cause| sorting_failed(cause, &self.folder))?;
        self.pieces.push(self.rows.len());
        self.rows.clear();
        Ok(())
    }

    /// Writes the rows behind those that are in the file.
    fn append(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                folder::create(&self.folder)?;
                tempfile::tempfile_in(&self.folder)?
            }
        };
        let mut out = BufWriter::with_capacity(1 << 17, &file);
        self.rows.iter().try_for_each(|row| out.write_all(&encode(*row)))?;
        out.flush()?;
        drop(out);
        self.file = Some(file);
        Ok(())
    }

    /// Returns all rows in the order of their keys, equal ones too.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn sorted(mut self) -> Result<SortedRows, Error> {
        self.rows.sort_unstable();
        let mut inputs = vec![Input::Memory(self.rows.into_iter())];
        if let Some(file) = self.file.map(Arc::new) {
            let each = (READ_AHEAD / self.pieces.len().max(1)).clamp(READ_AHEAD_MIN, READ_AHEAD_MAX);
            let mut offset = 0;
            for rows in self.pieces {
                let end = offset + (rows * RECORD_BYTES) as u64;
                let piece = Piece { file: Arc::clone(&file), offset, end, read: Vec::new(), at: 0, each };
                inputs.push(Input::File(piece));
                offset = end;
            }
        }
        let mut sorted = SortedRows { folder: self.folder, inputs, heap: BinaryHeap::new() };
        for at in 0..sorted.inputs.len() {
            let first = sorted.from(at)?;
            sorted.heap.extend(first.map(|row| Reverse((row, at))));
        }
        Ok(sorted)
    }
}

fn sorting_failed(cause: io::Error, folder: &Path) -> Error {
    failure::of_io(cause, "sorting the rows of the source in", folder)
}

/// A piece of a file that is read in its order.
struct Piece {
    file: Arc<File>,
    /// Where the rows that were not read begin, and where the piece ends.
    offset: u64,
    end: u64,
    read: Vec<u8>,
    at: usize,
    /// How many bytes are read at once.
    each: usize,
}

impl Piece {
    fn next(&mut self) -> io::Result<Option<RowVersion>> {
        if self.at == self.read.len() {
            let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
            self.read.resize(left.min(self.each), 0);
            read_at(&self.file, &mut self.read, self.offset)?;
            self.offset += self.read.len() as u64;
            self.at = 0;
        }
        let record = self.read[self.at..].first_chunk::<RECORD_BYTES>();
        self.at += record.map_or(0, |record| record.len());
        Ok(record.map(decode))
    }
}

enum Input {
    Memory(std::vec::IntoIter<RowVersion>),
    File(Piece),
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
    /// If the file cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<RowVersion>, Error> {
        let Some(Reverse((row, at))) = self.heap.peek().copied() else { return Ok(None) };
        let next = self.from(at)?;
        if let Some(mut first) = self.heap.peek_mut() {
            match next {
                Some(next) => *first = Reverse((next, at)),
                None => drop(PeekMut::pop(first)),
            }
        }
        Ok(Some(row))
    }

    /// Takes the next row of one input.
    fn from(&mut self, at: usize) -> Result<Option<RowVersion>, Error> {
        match &mut self.inputs[at] {
            Input::Memory(rows) => Ok(rows.next()),
            Input::File(piece) => piece.next().map_err(|cause| sorting_failed(cause, &self.folder)),
        }
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
