//! Copies a log while another process may append to it, and makes a copy a log of its own.
//!
//! A copy of a stream ends where the stream was durable when its copying began, so it holds every
//! event that was acknowledged before that and no half of a write. Files of ids are left behind if
//! they can be made from the segments quickly.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use tidegate_model::Error;
use tokio::sync::oneshot;

use super::config::{LogAccess, LogConfig};
use super::disk::RealDisk;
use super::writer::Job;
use super::{EmbeddedLog, end, packed, segment, stream};

/// Where a copy goes.
pub(crate) trait CopyTarget {
    /// Copies the file that is open, at most `limit` bytes of it, to a name below the log.
    ///
    /// # Errors
    /// If it cannot be read or written.
    fn file(&mut self, name: &str, file: File, limit: Option<u64>) -> io::Result<()>;

    /// Writes these bytes to a name below the log.
    ///
    /// # Errors
    /// If they cannot be written.
    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
}

/// Copies all streams of the log in a folder.
///
/// # Errors
/// If something cannot be read or written. What retention removes meanwhile is left out.
pub(crate) fn copy(log: &Path, target: &mut dyn CopyTarget) -> io::Result<()> {
    let Some(entries) = there(fs::read_dir(log))? else { return Ok(()) };
    let appends = is_appended_to(log)?;
    for entry in entries {
        let entry = entry?;
        if entry.path().is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            copy_stream(&entry.path(), &name, appends, target)?;
        }
    }
    Ok(())
}

/// Whether a process has the log open to append to it.
fn is_appended_to(log: &Path) -> io::Result<bool> {
    let Some(lock) = there(File::open(log.join("lock")))? else { return Ok(false) };
    Ok(matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

fn copy_stream(folder: &Path, name: &str, appends: bool, target: &mut dyn CopyTarget) -> io::Result<()> {
    // First: a segment grows after it, and what it states is durable already.
    let end = end::read(folder);
    for first in segment::list(folder)? {
        // Nothing is under way if no process appends, and the file of the end may say less than is true.
        let last = end.filter(|_| appends);
        if last.is_some_and(|end| first > end.segment) {
            continue;
        }
        let path = segment::path(folder, first);
        let Some(mut file) = there(File::open(&path))? else { continue };
        let limit = last.filter(|end| end.segment == first).map(|end| end.bytes);
        let limit = if is_packed(&mut file)? { None } else { limit };
        target.file(&format!("{name}/{}", file_name(&path)), file, limit)?;
        let ids = path.with_extension("ids");
        if let Some(file) = there(File::open(&ids))? {
            target.file(&format!("{name}/{}", file_name(&ids)), file, None)?;
        }
    }
    match end {
        Some(end) => target.bytes(&format!("{name}/end"), &end.encode()),
        None => Ok(()),
    }
}

fn is_packed(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    (&mut *file).take(12).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(packed::is_packed(&start))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// `None` if there is no such file or folder.
fn there<T>(asked: io::Result<T>) -> io::Result<Option<T>> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Gives every stream of a log that was put back from a copy a new id. The log that it was copied
/// from has given out the next offsets already, and destinations may have noted them as written.
///
/// # Errors
/// [`Storage`](tidegate_model::ErrorKind::Storage) if the log cannot be opened to append, or is
/// damaged.
pub(crate) async fn fork(mut config: LogConfig) -> Result<(), Error> {
    use tidegate_model::EventLog as _;

    config.access = LogAccess::Append;
    let log = EmbeddedLog::open(config, Arc::new(RealDisk))?;
    for stream in log.streams().await? {
        log.progress(&stream).await?;
        let (answer, answered) = oneshot::channel();
        log.with(&stream, |known| known.ask(Job::Fork { answer }))?;
        answered.await.map_err(|_| stream::gone(&stream))??;
    }
    // Waits for its threads.
    tokio::task::spawn_blocking(move || drop(log))
        .await
        .map_err(|cause| Error::internal("closing the event log").caused_by(cause))
}
