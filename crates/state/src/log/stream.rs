//! A stream that is open: its thread, and how it is asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tidegate_model::{Error, ErrorKind, StreamId};
use tokio::sync::watch;

use super::config::WriterConfig;
use super::failure;
use super::segment::{self, SegmentReader};
use super::writer::{self, Job, Progress};

/// The thread that writes a stream. Dropping this waits until all is written
/// that was asked.
pub(super) struct Stream {
    jobs: Option<mpsc::Sender<Job>>,
    progress: watch::Receiver<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    /// Starts the thread; it opens the stream first.
    pub(super) fn start(config: WriterConfig) -> Result<Stream, Error> {
        // Holds no more bytes than `Queue` admits.
        let (sender, jobs) = mpsc::channel();
        let (progress, watched) = watch::channel(Progress::Opening);
        let thread = thread::Builder::new()
            .name(format!("log {}", config.stream))
            .spawn(move || writer::run(config, &jobs, &progress))
            .map_err(|cause| {
                Error::new(ErrorKind::Storage, "no thread could be started for the event log")
                    .caused_by(cause)
            })?;
        Ok(Stream { jobs: Some(sender), progress: watched, thread: Some(thread) })
    }

    /// Asks the thread. If it is gone the job is dropped, and with it the answer.
    pub(super) fn ask(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }

    /// How far it is, now and later.
    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been told where it happened.
            let _ = thread.join();
        }
    }
}

/// Returns the folders of the streams in a log, and the streams, in their order. A folder has no name
/// if none of its segments says one: they are damaged, or there are none.
pub(super) fn list(log: &Path) -> Result<Vec<(PathBuf, Option<StreamId>)>, Error> {
    let failed = |cause| failure::reading(cause, log);
    let mut found = Vec::new();
    if !log.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(log).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !path.is_dir() {
            continue;
        }
        // Each segment tells the name; a damaged one is told by those who read it.
        let firsts = segment::list(&path).map_err(failed)?;
        let mut readers = firsts.iter().map(|&first| SegmentReader::open(&path, first));
        let named = readers.find_map(|reader| reader.ok().flatten());
        let stream = named.map(|reader| StreamId::new(reader.stream()));
        found.push((path, stream));
    }
    found.sort_by(|(_, one), (_, other)| one.cmp(other));
    Ok(found)
}

/// The error of those who asked a thread that has ended.
pub(super) fn gone(stream: &StreamId) -> Error {
    Error::internal(format!("the thread of the event log `{stream}` has ended"))
}
