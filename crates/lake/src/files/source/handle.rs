//! An open file, on this machine or in an object store.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};
use tidegate_model::{Clock, Error, ErrorKind, RowHash, Value};

use super::object::ObjectFile;
use super::open::is_still;

/// Bytes at each end of the part that was read, which identify it.
const PRINT_BYTES: u64 = 16 * 1024;

/// What a file is read through.
pub enum Handle {
    /// A file on this machine.
    Disk(File),
    /// An object, and what identifies its content.
    Object(ObjectFile, String),
}

impl Handle {
    /// Returns another handle to the same file. On this machine both have one position.
    ///
    /// # Errors
    /// The system has no handle left.
    pub fn again(&self) -> io::Result<Handle> {
        Ok(match self {
            Handle::Disk(file) => Handle::Disk(file.try_clone()?),
            Handle::Object(object, print) => Handle::Object(object.clone(), print.clone()),
        })
    }

    /// Returns what identifies the first `covered` bytes: a hash of both of their ends; of an object,
    /// the tag of its content, which no object has after another one was put in its place.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn print(&mut self, covered: u64) -> io::Result<String> {
        let file = match self {
            Handle::Object(_, print) => return Ok(print.clone()),
            Handle::Disk(file) => file,
        };
        let head = covered.min(PRINT_BYTES);
        let tail = (covered - head).min(PRINT_BYTES);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.by_ref().take(head).read_to_end(&mut bytes)?;
        file.seek(SeekFrom::Start(covered - tail))?;
        file.by_ref().take(tail).read_to_end(&mut bytes)?;
        let value = Value::Bytes(bytes.into());
        Ok(RowHash::of_values([&value], &mut Vec::new()).to_string())
    }

    /// Returns whether the file has not been changed for `span`. An object appears as a whole.
    pub fn is_still(&self, clock: &dyn Clock, span: Duration) -> bool {
        match self {
            Handle::Object(..) => true,
            Handle::Disk(file) => file.metadata().is_ok_and(|metadata| is_still(&metadata, clock, span)),
        }
    }

    /// Returns a file of its own on this machine: an object is copied into `folder`, or where the
    /// system keeps temporary files, under no name.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] inside of the error if there is no room for the copy.
    pub fn on_disk(&self, folder: &Path) -> io::Result<File> {
        let mut object = match self {
            Handle::Disk(file) => return file.try_clone(),
            Handle::Object(object, _) => object.clone(),
        };
        let full = |cause: io::Error| {
            let error =
                Error::new(ErrorKind::Storage, format!("a Parquet file cannot be copied here: {cause}"))
                    .hint("make room in the data folder: a file is copied there while it is read");
            io::Error::new(io::ErrorKind::ConnectionAborted, error)
        };
        let made = if folder.is_dir() { tempfile::tempfile_in(folder) } else { tempfile::tempfile() };
        let mut copy = made.map_err(full)?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let count = object.read(&mut buffer)?;
            if count == 0 {
                return Ok(copy);
            }
            io::Write::write_all(&mut copy, &buffer[..count]).map_err(full)?;
        }
    }
}

impl Read for Handle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Handle::Disk(file) => file.read(buffer),
            Handle::Object(object, _) => object.read(buffer),
        }
    }
}

impl Seek for Handle {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Handle::Disk(file) => file.seek(to),
            Handle::Object(object, _) => object.seek(to),
        }
    }
}

impl Length for Handle {
    fn len(&self) -> u64 {
        match self {
            Handle::Disk(file) => Length::len(file),
            Handle::Object(object, _) => object.size(),
        }
    }
}

impl ChunkReader for Handle {
    type T = Handle;

    fn get_read(&self, start: u64) -> ParquetResult<Handle> {
        let mut again = self.again()?;
        again.seek(SeekFrom::Start(start))?;
        Ok(again)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            Handle::Disk(file) => file.get_bytes(start, length),
            Handle::Object(object, _) => {
                let bytes = object.piece(start, length as u64)?;
                match bytes.len() == length {
                    true => Ok(bytes),
                    false => Err(ParquetError::EOF(format!("expected {length} bytes"))),
                }
            }
        }
    }
}
