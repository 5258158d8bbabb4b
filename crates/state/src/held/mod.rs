//! Rows that are held ([`HeldRows`]): the first ones in memory, the others sealed in a file without a name.
//!
//! Rows are encoded one after the other into frames ([`row`]). A frame is sealed and read as a whole.

mod row;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_model::Error;
use tidegate_model::held::{HeldBatch, HeldRows};

use crate::blocking::blocking;
use crate::lookback::file::read_at;
use crate::seal::DataKey;
use crate::{failure, folder};
use row::Rows;

/// Bytes of rows in a frame, about.
const FRAME_BYTES: usize = 256 << 10;
/// Bytes of rows that stay in memory.
const MEMORY_BYTES: usize = 4 << 20;
/// Bytes of rows that are held on disk: beyond this, reading the source again costs less disk.
const DISK_BYTES: u64 = 1 << 30;

/// A frame of rows.
enum Frame {
    Memory(Vec<u8>),
    /// Sealed, in the file.
    Disk {
        offset: u64,
        bytes: usize,
    },
}

/// Rows that a run holds.
pub(crate) struct SealedRows {
    folder: PathBuf,
    /// `None` if they did not fit.
    held: Option<Held>,
    memory_bytes: usize,
    disk_bytes: u64,
}

struct Held {
    rows: Rows,
    /// The frame that is filled.
    open: Vec<u8>,
    frames: VecDeque<Frame>,
    in_memory: usize,
    disk: Option<Disk>,
    /// The frame that is read.
    reading: Bytes,
}

/// The frames that are not in memory.
struct Disk {
    file: File,
    end: u64,
    key: DataKey,
}

impl SealedRows {
    /// Holds no row yet; files are written below a data folder.
    pub(crate) fn new(data: &Path) -> SealedRows {
        let held = Held {
            rows: Rows::default(),
            open: Vec::new(),
            frames: VecDeque::new(),
            in_memory: 0,
            disk: None,
            reading: Bytes::new(),
        };
        let folder = data.join("compared");
        SealedRows { folder, held: Some(held), memory_bytes: MEMORY_BYTES, disk_bytes: DISK_BYTES }
    }
}

#[async_trait]
impl HeldRows for SealedRows {
    async fn add(&mut self, batch: HeldBatch) -> Result<bool, Error> {
        let Some(mut held) = self.held.take() else { return Ok(false) };
        let (folder, memory, disk) = (self.folder.clone(), self.memory_bytes, self.disk_bytes);
        let added = blocking(move || {
            held.rows.encode(&batch, &mut held.open);
            if held.open.len() >= FRAME_BYTES.min(memory) {
                held.close(&folder, memory).map_err(|cause| failed(cause, &folder))?;
            }
            let fits = held.disk.as_ref().is_none_or(|on_disk| on_disk.end <= disk);
            Ok(fits.then_some(held))
        });
        self.held = added.await?;
        Ok(self.held.is_some())
    }

    async fn next(&mut self, limit: usize) -> Result<HeldBatch, Error> {
        let Some(mut held) = self.held.take() else { return Ok(HeldBatch::default()) };
        let folder = self.folder.clone();
        let taken = blocking(move || {
            let mut batch = HeldBatch::default();
            while batch.rows.len() < limit && held.read_on(&folder)? {
                held.rows.decode(&mut held.reading, &mut batch).ok_or_else(damaged)?;
            }
            Ok((batch, held))
        });
        let (batch, held) = taken.await?;
        self.held = Some(held);
        Ok(batch)
    }
}

impl Held {
    /// Closes the frame that is filled.
    fn close(&mut self, folder: &Path, memory_bytes: usize) -> io::Result<()> {
        let frame = std::mem::take(&mut self.open);
        if self.disk.is_none() && self.in_memory + frame.len() <= memory_bytes {
            self.in_memory += frame.len();
            self.frames.push_back(Frame::Memory(frame));
            return Ok(());
        }
        let disk = match &mut self.disk {
            Some(disk) => disk,
            None => {
                folder::create(folder)?;
                let file = tempfile::tempfile_in(folder)?;
                self.disk.insert(Disk { file, end: 0, key: DataKey::generate() })
            }
        };
        let (offset, mut sealed) = (disk.end, Vec::with_capacity(frame.len() + 64));
        disk.key.seal(&offset.to_le_bytes(), &frame, &mut sealed).map_err(io::Error::other)?;
        disk.file.write_all(&sealed)?;
        disk.end += sealed.len() as u64;
        self.frames.push_back(Frame::Disk { offset, bytes: sealed.len() });
        Ok(())
    }

    /// Goes to the next frame at the end of one. Returns whether there is a row.
    fn read_on(&mut self, folder: &Path) -> Result<bool, Error> {
        if !self.reading.is_empty() {
            return Ok(true);
        }
        self.reading = match (self.frames.pop_front(), &self.disk) {
            (Some(Frame::Memory(frame)), _) => frame.into(),
            (Some(Frame::Disk { offset, bytes }), Some(disk)) => {
                let mut sealed = vec![0; bytes];
                read_at(&disk.file, &mut sealed, offset).map_err(|cause| failed(cause, folder))?;
                disk.key.open(&offset.to_le_bytes(), &sealed).ok_or_else(damaged)?.into()
            }
            _ => std::mem::take(&mut self.open).into(),
        };
        Ok(!self.reading.is_empty())
    }
}

fn failed(cause: io::Error, folder: &Path) -> Error {
    failure::of_io(cause, "holding rows that differ in", folder)
}

fn damaged() -> Error {
    Error::internal("rows that were held cannot be read")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidegate_model::bookkeeping::SourceHashes;
    use tidegate_model::{Columns, Origin, Row, RowHash, Text, Value};

    use super::*;

    fn batch(columns: &Arc<Columns>, from: i64, rows: i64) -> HeldBatch {
        let row = |id: i64| Row {
            columns: Arc::clone(columns),
            values: vec![Value::Int(id), Value::Text(format!("secret {id}").into())],
        };
        HeldBatch { rows: (from..from + rows).map(row).collect(), ..HeldBatch::default() }
    }

    async fn all(held: &mut SealedRows, limit: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        loop {
            let batch = held.next(limit).await.expect("read");
            if batch.rows.is_empty() {
                return rows;
            }
            assert!(batch.rows.len() <= limit);
            rows.extend(batch.rows);
        }
    }

    #[tokio::test]
    async fn rows_come_back_in_their_order_whatever_of_them_fits_into_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let columns = Columns::new(["id", "name"]);
        for memory_bytes in [0, 500, 1 << 20] {
            let mut held = SealedRows { memory_bytes, ..SealedRows::new(folder.path()) };
            let mut expected = Vec::new();
            for from in (0..1_000).step_by(10) {
                let batch = batch(&columns, from, 10);
                expected.extend(batch.rows.clone());
                assert!(held.add(batch).await.expect("added"));
            }
            assert_eq!(all(&mut held, 17).await, expected, "{memory_bytes}");
            let files = std::fs::read_dir(folder.path().join("compared")).map_or(0, Iterator::count);
            assert_eq!(files, 0, "no file has a name");
        }
    }

    #[tokio::test]
    async fn what_is_on_disk_cannot_be_read_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut held = SealedRows { memory_bytes: 0, ..SealedRows::new(folder.path()) };
        held.add(batch(&Columns::new(["id", "name"]), 0, 100)).await.expect("added");
        let disk = held.held.as_ref().and_then(|held| held.disk.as_ref()).expect("a file");
        let mut bytes = vec![0; usize::try_from(disk.end).expect("small")];
        read_at(&disk.file, &mut bytes, 0).expect("read");
        assert!(bytes.len() > 1_000 && !bytes.windows(6).any(|window| window == b"secret"));
    }

    #[tokio::test]
    async fn rows_that_do_not_fit_are_held_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let columns = Columns::new(["id", "name"]);
        let mut held = SealedRows { memory_bytes: 0, disk_bytes: 4_000, ..SealedRows::new(folder.path()) };
        assert!(held.add(batch(&columns, 0, 100)).await.expect("added"));
        assert!(!held.add(batch(&columns, 100, 300)).await.expect("asked"));
        assert!(!held.add(batch(&columns, 400, 1)).await.expect("asked"));
        assert!(all(&mut held, 10).await.is_empty());
    }

    #[tokio::test]
    async fn origins_and_hashes_stay_with_their_rows() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut held = SealedRows { memory_bytes: 0, ..SealedRows::new(folder.path()) };
        let columns = Columns::new(["id", "name"]);
        let location = |number| Origin::Location { name: Text::from_static("customers.csv:"), number };
        let origins = vec![location(7), Origin::Known(RowHash(u128::MAX - 1)), Origin::Removed(RowHash(3))];
        let hashes = (0..3).map(|at| SourceHashes { key: at, row: u128::MAX - at, several: at == 1 });
        let whole = HeldBatch { origins, hashes: hashes.collect(), ..batch(&columns, 0, 3) };
        assert!(held.add(whole.clone()).await.expect("added"));
        assert_eq!(held.next(10).await.expect("read"), whole);
    }
}
