//! Files of the state in a bucket, which machines with one state database share.
//!
//! The database names them, and a name has one content for good: a copy on a disk is never out of date. A file is
//! durable in the bucket before the transaction that names it, and is removed after the one that no longer
//! does. So a process that dies at any moment leaves at most a file that nothing names.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use tidegate_model::bucket::Content;
use tidegate_model::{Bucket, BucketFile, Clock, Error};
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

use crate::blocking::blocking;
use crate::failure::{of_io, storage};
use crate::folder;

/// How long a file that nothing names stays in the bucket: another machine may be about to name it.
pub(crate) const UNNAMED_KEPT: SignedDuration = SignedDuration::from_hours(1);
/// How long after its upload a file may be named. A process that was halted for longer uploads it again.
const NAMED_WITHIN: SignedDuration = SignedDuration::from_mins(20);
/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 256 << 10;
/// How often a copy is made that is removed before it is complete.
const ATTEMPTS: usize = 3;
/// How the name of a file ends that is not complete.
const UNFINISHED: &str = "tmp";

/// The files of a state in its bucket.
#[derive(Clone)]
pub(crate) struct SharedFiles {
    bucket: Arc<dyn Bucket>,
    clock: Arc<dyn Clock>,
}

/// A file that was uploaded, and is not named yet.
pub(crate) struct Uploaded {
    clock: Arc<dyn Clock>,
    begun: Timestamp,
}

impl Uploaded {
    /// Returns an error if so much time has passed that the file may have been removed again.
    ///
    /// # Errors
    /// [`Storage`](tidegate_model::ErrorKind::Storage); the transaction that names the file must not be committed.
    pub(crate) fn still_there(&self) -> Result<(), Error> {
        if self.clock.now().duration_since(self.begun).abs() < NAMED_WITHIN {
            return Ok(());
        }
        Err(storage("this process was halted between the upload of a file and its commit".to_owned())
            .hint("nothing was lost: the file is uploaded again"))
    }
}

impl SharedFiles {
    /// Creates the files of a bucket.
    pub(crate) fn new(bucket: Arc<dyn Bucket>, clock: Arc<dyn Clock>) -> SharedFiles {
        SharedFiles { bucket, clock }
    }

    /// Returns the address of the bucket.
    pub(crate) fn address(&self) -> String {
        self.bucket.address()
    }

    /// Uploads a file of this machine. It is durable when this returns.
    ///
    /// # Errors
    /// If it cannot be read, and those of the bucket.
    pub(crate) async fn upload(&self, name: &str, path: &Path) -> Result<Uploaded, Error> {
        let uploaded = Uploaded { clock: Arc::clone(&self.clock), begun: self.clock.now() };
        self.bucket.put(name, content_of(path.to_path_buf()).await?).await?;
        Ok(uploaded)
    }

    /// Copies a file to this machine, where it appears as a whole. Returns false if it is not in the bucket. A copy
    /// that is removed before it is complete, since a user was erased, is made again.
    ///
    /// # Errors
    /// If it cannot be written, and those of the bucket.
    pub(crate) async fn download(&self, name: &str, path: &Path) -> Result<bool, Error> {
        for _ in 0..ATTEMPTS {
            let Some(mut content) = self.bucket.get(name).await? else { return Ok(false) };
            let target = path.to_path_buf();
            let mut copy = blocking(move || Copy::create(target)).await?;
            while let Some(piece) = content.try_next().await? {
                copy = blocking(move || copy.write(&piece)).await?;
            }
            if blocking(move || copy.finish()).await? {
                return Ok(true);
            }
        }
        Err(storage(format!("{} is removed each time before it is complete", path.display()))
            .hint("users are being erased: try again when that has ended"))
    }

    /// Returns a small file.
    ///
    /// # Errors
    /// Those of the bucket.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(content) = self.bucket.get(name).await? else { return Ok(None) };
        let pieces: Vec<Bytes> = content.try_collect().await?;
        Ok(Some(pieces.concat()))
    }

    /// Writes a small file.
    ///
    /// # Errors
    /// Those of the bucket.
    pub(crate) async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let content = futures_util::stream::once(async move { Ok(Bytes::from(bytes)) });
        self.bucket.put(name, content.boxed()).await
    }

    /// Removes a file that nothing names.
    ///
    /// # Errors
    /// Those of the bucket.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Error> {
        self.bucket.remove(name).await
    }

    /// Returns the files in a folder of the bucket.
    pub(crate) fn list(&self, folder: &str) -> BoxStream<'static, Result<BucketFile, Error>> {
        self.bucket.list(folder)
    }

    /// Returns the time of this machine.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Returns whether a file has been there for so long that its writer no longer names it.
pub(crate) fn is_left_behind(file: &BucketFile, now: Timestamp) -> bool {
    now.duration_since(file.written_at) > UNNAMED_KEPT
}

/// The content of a file of this machine.
async fn content_of(path: PathBuf) -> Result<Content, Error> {
    let file = tokio::fs::File::open(&path).await.map_err(|cause| of_io(cause, "reading", &path))?;
    let pieces = try_unfold((file, path), async |(mut file, path)| {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let read = file.read_buf(&mut piece).await.map_err(|cause| of_io(cause, "reading", &path))?;
        Ok((read > 0).then(|| (piece.freeze(), (file, path))))
    });
    Ok(pieces.boxed())
}

/// A copy that is being written. Several processes may write the same at the same time.
struct Copy {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
}

impl Copy {
    fn create(path: PathBuf) -> Result<Copy, Error> {
        let unfinished = path.with_extension(format!("{}.{UNFINISHED}", Uuid::new_v4().simple()));
        let created = path.parent().map_or(Ok(()), folder::create);
        let file = created.and_then(|()| folder::create_file(&unfinished));
        let file = file.map_err(|cause| of_io(cause, "writing", &unfinished))?;
        Ok(Copy { path, unfinished, file })
    }

    fn write(mut self, piece: &[u8]) -> Result<Copy, Error> {
        self.file.write_all(piece).map_err(|cause| of_io(cause, "writing", &self.unfinished))?;
        Ok(self)
    }

    /// Makes it appear. A loss of power leaves all of it or nothing. Returns false if it was removed.
    fn finish(self) -> Result<bool, Error> {
        let appear = || {
            self.file.sync_all()?;
            std::fs::rename(&self.unfinished, &self.path)
        };
        match appear() {
            Ok(()) => Ok(true),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(of_io(cause, "writing", &self.path)),
        }
    }
}

impl Drop for Copy {
    /// Removes what was not finished.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.unfinished);
    }
}
