//! One object of a store, read in pieces.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{DynObjectStore, GetOptions, GetRange};
use tidegate_model::{Error, ErrorKind};
use tidegate_transport::storage::explain;
use tokio::runtime::Handle;

/// Bytes of one request. A request is short, so that a slow platform keeps no answer waiting.
const PIECE_BYTES: u64 = 4 << 20;

/// An object as a file. Every method blocks.
///
/// Clones share the piece that was read last, and have positions of their own.
#[derive(Clone)]
pub struct ObjectFile {
    store: Arc<DynObjectStore>,
    runtime: Handle,
    path: Path,
    /// What the object is called in messages.
    name: Arc<str>,
    /// What identifies its content: one that was replaced since is not read on.
    tag: Option<String>,
    size: u64,
    position: u64,
    piece: Arc<Mutex<(u64, Bytes)>>,
}

impl ObjectFile {
    /// Creates a file of this many bytes. Nothing is read yet.
    pub fn new(
        store: Arc<DynObjectStore>,
        runtime: Handle,
        path: Path,
        name: Arc<str>,
        tag: Option<String>,
        size: u64,
    ) -> ObjectFile {
        ObjectFile { store, runtime, path, name, tag, size, position: 0, piece: Arc::default() }
    }

    /// Returns how many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads these bytes in one request.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if it is gone since it was listed; otherwise an error that [`failure`] takes
    /// apart, [`Unavailable`](ErrorKind::Unavailable) if it was replaced.
    pub fn piece(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let end = start.saturating_add(length).min(self.size);
        if start >= end {
            return Ok(Bytes::new());
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(start..end)),
            if_match: self.tag.clone(),
            ..GetOptions::default()
        };
        let read = async { self.store.get_opts(&self.path, options).await?.bytes().await };
        self.runtime.block_on(read).map_err(|cause| match cause {
            object_store::Error::NotFound { .. } => io::Error::from(io::ErrorKind::NotFound),
            // Without its rows a mirror would take them for removed ones.
            object_store::Error::Precondition { .. } => {
                let error = Error::new(
                    ErrorKind::Unavailable,
                    format!("{} was replaced while it was read", self.name),
                )
                .hint("the read begins again; write new objects under new names if it happens often");
                io::Error::new(io::ErrorKind::ConnectionAborted, error)
            }
            cause => {
                let error = explain(&format!("reading {}", self.name), &cause);
                io::Error::new(io::ErrorKind::ConnectionAborted, error)
            }
        })
    }
}

/// Returns the error of a store that did not give an object.
///
/// # Errors
/// Returns `cause` again if it is something else.
pub fn failure(cause: io::Error) -> Result<Error, io::Error> {
    if !cause.get_ref().is_some_and(|inner| inner.is::<Error>()) {
        return Err(cause);
    }
    let kind = cause.kind();
    match cause.into_inner().map(|inner| inner.downcast::<Error>()) {
        Some(Ok(error)) => Ok(*error),
        _ => Err(io::Error::from(kind)),
    }
}

impl Read for ObjectFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let mut piece = self.piece.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |piece: &(u64, Bytes)| {
            let at = usize::try_from(self.position.checked_sub(piece.0)?).ok()?;
            piece.1.get(at..).filter(|rest| !rest.is_empty()).map(|rest| piece.1.slice_ref(rest))
        };
        let rest = match held(&piece) {
            Some(rest) => rest,
            None => {
                *piece = (self.position, self.piece(self.position, PIECE_BYTES)?);
                piece.1.clone()
            }
        };
        if rest.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for ObjectFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.size.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;

    use super::*;

    /// Without its rows a mirror would take them for removed ones.
    #[tokio::test]
    async fn an_object_that_is_replaced_while_it_is_read_ends_the_read_and_is_not_taken_for_gone() {
        let store: Arc<DynObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("a.csv");
        store.put(&path, "id\n1\n".into()).await.unwrap();
        let found = store.head(&path).await.unwrap();
        let runtime = Handle::current();
        let file =
            ObjectFile::new(store.clone(), runtime, path.clone(), "a.csv".into(), found.e_tag, found.size);
        let read = |file: ObjectFile| tokio::task::spawn_blocking(move || file.piece(0, 100));
        assert_eq!(read(file.clone()).await.unwrap().unwrap(), "id\n1\n");
        store.put(&path, "id\n2\n".into()).await.unwrap();
        let error = failure(read(file.clone()).await.unwrap().unwrap_err()).unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.message(), "a.csv was replaced while it was read");
        store.delete(&path).await.unwrap();
        assert_eq!(read(file).await.unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
