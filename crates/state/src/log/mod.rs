//! The embedded event log: segment files, one folder for each stream.
//!
//! Every event is checked by a sum of its own and known by its id. Appenders
//! encode what they bring (`chunk`), one thread for each stream writes it
//! (`writer`, `frame`), any number of readers read (`cursor`, `feed`), and no
//! reader sees what a failure of power could take back. What a crash left
//! unfinished is cut off on opening (`recovery`). Closed segments are compressed
//! (`packer`) and get an index of users (`users`), by which the events of one are found without reading
//! the others (`search`). `format`, `packed`, `ids` and `users` describe the files.

mod chunk;
mod config;
pub(crate) mod copy;
mod cursor;
mod dedup;
mod disk;
mod end;
mod erase;
mod failure;
mod feed;
mod format;
mod frame;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod ids;
mod lineage;
mod packed;
mod packer;
mod position;
mod queue;
mod recovery;
mod scan;
mod search;
mod seconds;
mod segment;
mod segment_file;
mod stream;
#[cfg(test)]
mod tests;
mod users;
mod walk;
mod writer;

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tidegate_model::{
    Appended, Checkpoint, Error, ErrorKind, Event, EventLog, Exported, Feed, Lag, LoggedEvent, Reading,
    Retention, StreamId,
};
use tokio::sync::{oneshot, watch};
use tracing::warn;

use self::chunk::Chunk;
use self::config::WriterConfig;
pub use self::config::{LogAccess, LogConfig};
use self::cursor::Cursor;
use self::dedup::DedupLimits;
use self::disk::{Disk, RealDisk};
use self::erase::Named;
use self::lineage::Start;
use self::position::CheckpointOffset;
use self::queue::Queue;
use self::recovery::{About, LogEnd};
use self::stream::Stream;
use self::writer::{Bounds, Hold, Job, Progress};
use crate::blocking::blocking;
use crate::failure::of_io;
use crate::folder;

/// The most that one append may bring.
const APPEND_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of events that are encoded in less than a millisecond.
const ENCODED_INLINE_MAX: usize = 1024 * 1024;

/// Opens the embedded event log.
///
/// A stream is opened when it is first used, so a damaged one fails there and
/// holds up no other.
///
/// # Errors
/// [`Storage`](ErrorKind::Storage) if the folder cannot be used, or another
/// process appends to it already.
pub fn open_log(config: LogConfig) -> Result<Arc<dyn EventLog>, Error> {
    Ok(Arc::new(EmbeddedLog::open(config, Arc::new(RealDisk))?))
}

struct EmbeddedLog {
    config: LogConfig,
    disk: Arc<dyn Disk>,
    queue: Queue,
    streams: Mutex<HashMap<StreamId, Stream>>,
    // Held as long as threads write; the system gives it back when the process ends.
    _lock: Option<File>,
}

impl EmbeddedLog {
    fn open(config: LogConfig, disk: Arc<dyn Disk>) -> Result<EmbeddedLog, Error> {
        let lock = match config.access {
            LogAccess::Append => Some(lock(&config)?),
            LogAccess::Read => None,
        };
        let queue = Queue::new(config.queue_bytes);
        Ok(EmbeddedLog { config, disk, queue, streams: Mutex::default(), _lock: lock })
    }

    fn writes(&self) -> Result<(), Error> {
        match self.config.access {
            LogAccess::Append => Ok(()),
            LogAccess::Read => Err(Error::new(
                ErrorKind::Storage,
                format!("the event log in {} is open for reading only", self.config.folder.display()),
            )
            .hint("ask the process that serves it")),
        }
    }

    fn folder(&self, stream: &StreamId) -> PathBuf {
        self.config.folder.join(folder::file_name(stream.as_str()))
    }

    /// Uses a stream, opening it the first time.
    fn with<T>(&self, stream: &StreamId, ask: impl FnOnce(&Stream) -> T) -> Result<T, Error> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.get(stream) {
            return Ok(ask(stream));
        }
        let opened = Stream::start(WriterConfig {
            stream: stream.clone(),
            folder: self.folder(stream),
            disk: Arc::clone(&self.disk),
            clock: Arc::clone(&self.config.clock),
            segment_bytes: self.config.segment_bytes,
            compress_from: self.config.compress_from,
            dedup: DedupLimits {
                window_seconds: u32::try_from(self.config.dedup_window.as_secs()).unwrap_or(u32::MAX),
                recent_max: self.config.recent_ids_max,
                ids_max: self.config.ids_max,
            },
        })?;
        Ok(ask(streams.entry(stream.clone()).or_insert(opened)))
    }

    /// How far a stream is, and where one is told of more.
    async fn progress(&self, stream: &StreamId) -> Result<Known, Error> {
        let mut progress = match self.config.access {
            LogAccess::Append => self.with(stream, Stream::progress)?,
            LogAccess::Read => {
                let folder = self.folder(stream);
                let (log_end, about) = blocking(move || recovery::read_end(&folder)).await?;
                watch::channel(Progress::Durable(log_end, Arc::new(about))).1
            }
        };
        let known = progress
            .wait_for(|progress| !matches!(progress, Progress::Opening))
            .await
            .map_err(|_| stream::gone(stream))?
            .clone();
        match known {
            Progress::Durable(log_end, about) => Ok(Known { log_end, about, progress }),
            Progress::Unusable(failure) => Err(failure.error()),
            Progress::Opening => Err(Error::internal("an event log does not finish opening")),
        }
    }
}

#[async_trait]
impl EventLog for EmbeddedLog {
    async fn append(&self, stream: &StreamId, events: Vec<Event>) -> Result<Appended, Error> {
        self.writes()?;
        if events.is_empty() {
            return Ok(Appended::default());
        }
        let bytes = events.iter().map(Event::estimated_size).sum();
        if bytes > APPEND_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("{bytes} bytes of events at once, and the event log takes {APPEND_BYTES_MAX}"),
            )
            .hint("send fewer events at once"));
        }
        let permit = self.queue.acquire(bytes)?;
        // The events are not kept beside their records until the disk has these.
        let encode = move || Chunk::of(&events, bytes);
        let chunk = match bytes > ENCODED_INLINE_MAX {
            true => blocking(move || Ok(encode())).await?,
            false => encode(),
        };
        let (answer, answered) = oneshot::channel();
        self.with(stream, |known| known.ask(Job::Append { chunk, permit, answer }))?;
        answered.await.map_err(|_| stream::gone(stream))?
    }

    async fn read(
        &self,
        stream: &StreamId,
        after: Option<&Checkpoint>,
        reading: Reading,
    ) -> Result<Feed<LoggedEvent>, Error> {
        if reading.follow {
            self.writes()?;
        }
        let place = CheckpointOffset::of(after)?;
        let known = self.progress(stream).await?;
        let start = known.about.lineage.start(place.log, place.offset);
        if let Some(trouble) = trouble_of(stream, start) {
            warn!("{trouble}");
        }
        let offset = start.offset();
        if offset > known.log_end.next {
            return Err(Error::new(
                ErrorKind::Storage,
                format!(
                    "the event log `{stream}` ends at {}, before the checkpoint at {offset}",
                    known.log_end.next
                ),
            )
            .hint(
                "the log was replaced by an older copy: start `tidegate serve`, or restore the newer one",
            ));
        }
        Ok(feed::feed(Cursor::new(self.folder(stream), offset), known.progress, reading))
    }

    async fn lag(&self, stream: &StreamId, after: Option<&Checkpoint>) -> Result<Vec<Lag>, Error> {
        let place = CheckpointOffset::of(after)?;
        let Known { log_end, about, .. } = self.progress(stream).await?;
        let start = about.lineage.start(place.log, place.offset);
        let offset = start.offset();
        let trouble = about.damage.clone().or_else(|| trouble_of(stream, start));
        let folder = self.folder(stream);
        let looked = blocking(move || {
            let firsts = segment::list(&folder).map_err(|cause| failure::reading(cause, &folder))?;
            let Some(&first) = firsts.first() else { return Ok(None) };
            let committed = (offset > first).then(|| Cursor::new(folder, offset - 1).first(log_end));
            // A file that cannot be read is reported to those who read it.
            Ok(Some((first, committed.and_then(Result::ok).flatten())))
        });
        let (first, last) = match looked.await? {
            Some(found) => found,
            None if trouble.is_some() => (0, None),
            None => return Ok(Vec::new()),
        };
        let position = offset.max(first);
        Ok(vec![Lag {
            partition: format!("{stream}[0]"),
            position,
            end: log_end.next,
            behind: log_end.next.saturating_sub(position),
            last_seen: last.map(|logged| logged.logged_at),
            per_minute: None,
            trouble,
        }])
    }

    async fn streams(&self) -> Result<Vec<StreamId>, Error> {
        let folder = self.config.folder.clone();
        let found = blocking(move || stream::list(&folder)).await?;
        Ok(found.into_iter().filter_map(|(_, stream)| stream).collect())
    }

    async fn fence(&self, exports: &[Exported]) -> Result<(), Error> {
        self.writes()?;
        let mut failed = None;
        for export in exports {
            // A checkpoint of another log says nothing about this one.
            let Ok(given) = CheckpointOffset::of(export.checkpoint.as_ref()) else { continue };
            // One stream that cannot be asked keeps no other from it.
            failed = failed.or(self.fence_one(&export.stream, given).await.err());
        }
        failed.map_or(Ok(()), Err)
    }

    async fn events_of(
        &self,
        stream: &StreamId,
        user: &str,
        limit: usize,
    ) -> Result<Option<Vec<Event>>, Error> {
        let Known { log_end, about, .. } = self.progress(stream).await?;
        let (folder, user) = (self.folder(stream), user.to_owned());
        let found =
            blocking(move || search::newest(&folder, (log_end, &about.lineage), &user, limit)).await?;
        for first in found.damaged {
            warn!(%stream, segment = first, "an index of users is damaged: its segment was read instead");
            if self.config.access == LogAccess::Append {
                self.with(stream, |known| known.ask(Job::Index { first }))?;
            }
        }
        Ok(Some(found.events))
    }

    async fn erase(&self, user: &str) -> Result<u64, Error> {
        self.writes()?;
        let in_use = || self.streams.lock().unwrap_or_else(PoisonError::into_inner).len();
        if in_use() > 0 {
            return Err(Error::internal("events are to be erased from streams that are written"));
        }
        let folder = self.config.folder.clone();
        let (mut erased, mut failed) = (0, None);
        for (folder, stream) in blocking(move || stream::list(&folder)).await? {
            let named = Named::new(user);
            let found = blocking(move || erase::erase(&folder, &named)).await;
            // Opening it cuts off what was not finished, which may hold the user as well.
            let opened = match &stream {
                Some(stream) => {
                    let opened = self.progress(stream).await.map(drop);
                    self.close(stream).await?;
                    opened
                }
                None => Ok(()),
            };
            match found.and_then(|found| opened.map(|()| found)) {
                Ok(found) => erased += found,
                // One stream that is damaged keeps no other from it.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(erased), Err)
    }

    async fn trim(&self, retention: &Retention) -> Result<(), Error> {
        self.writes()?;
        let mut failed = None;
        for stream in self.streams().await? {
            let trimmed = self.trim_one(&stream, retention).await;
            // One stream that cannot be trimmed keeps no other from it.
            failed = trimmed.err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }
}

/// A stream that is open.
struct Known {
    log_end: LogEnd,
    about: Arc<About>,
    progress: watch::Receiver<Progress>,
}

impl EmbeddedLog {
    /// Ends the thread of a stream. Who needs the stream opens it again.
    async fn close(&self, stream: &StreamId) -> Result<(), Error> {
        let closed = self.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(stream);
        blocking(move || {
            drop(closed);
            Ok(())
        })
        .await
    }

    async fn fence_one(&self, stream: &StreamId, given: CheckpointOffset) -> Result<(), Error> {
        let folder = self.folder(stream);
        if !blocking(move || Ok(folder.is_dir())).await? {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        self.with(stream, |known| known.ask(Job::Fence { given, answer }))?;
        if let Err(error) = answered.await.map_err(|_| stream::gone(stream))? {
            let error = error.chain();
            warn!(%stream, error, "the event log takes no events of a stream: it ends before what was exported, or cannot be opened");
        }
        Ok(())
    }

    async fn trim_one(&self, stream: &StreamId, retention: &Retention) -> Result<(), Error> {
        let about = self.progress(stream).await?.about;
        let mut hold: Option<Hold> = None;
        for export in retention.exports.iter().filter(|export| export.stream == *stream) {
            // One of another log has read nothing of this one.
            let place = CheckpointOffset::of(export.checkpoint.as_ref()).unwrap_or_default();
            let offset = about.lineage.start(place.log, place.offset).offset();
            if hold.as_ref().is_none_or(|hold| offset < hold.offset) {
                hold = Some(Hold { sync: export.sync.clone(), offset });
            }
        }
        let bounds = Bounds { before: retention.before, hold, max_bytes: retention.max_bytes };
        let (answer, answered) = oneshot::channel();
        self.with(stream, |known| known.ask(Job::Trim { bounds, answer }))?;
        answered.await.map_err(|_| stream::gone(stream)).flatten()
    }
}

/// What a checkpoint says about the log that it is continued in.
fn trouble_of(stream: &StreamId, start: Start) -> Option<String> {
    match start {
        Start::At(_) => None,
        Start::Shortened { missing, .. } => Some(format!(
            "the event log `{stream}` is an older copy: {missing} events behind its end were read before and are \
             not in it any more; events that were not read before the copy was put back are lost"
        )),
        Start::Anew => Some(format!(
            "the event log `{stream}` was started over: this one is read from its beginning; events of the former \
             one that were not read are lost, and how many is not known"
        )),
    }
}

/// Makes the folder and keeps other processes from appending to it.
fn lock(config: &LogConfig) -> Result<File, Error> {
    if !config.folder.is_dir() {
        folder::create(&config.folder)
            .and_then(|()| {
                let parent = config.folder.parent().filter(|parent| !parent.as_os_str().is_empty());
                parent.map_or(Ok(()), folder::sync)
            })
            .map_err(|cause| of_io(cause, "making the folder", &config.folder))?;
    }
    folder::close(&config.folder);
    let path = config.folder.join("lock");
    let file = folder::ensure_file(&path).map_err(|cause| of_io(cause, "opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Storage,
            format!("another process appends to the event log in {}", config.folder.display()),
        )
        .hint("stop `tidegate serve` there; a second server needs a data folder of its own")),
        Err(fs::TryLockError::Error(cause)) => Err(of_io(cause, "locking", &path)),
    }
}
