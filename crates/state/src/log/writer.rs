//! The one thread that writes a stream.
//!
//! It takes everything that waits, writes it as one frame, waits once for the
//! disk and answers all: many appenders share one sync. Nothing is tried twice.
//! A write that found the disk full leaves nothing behind, and the next one may
//! succeed. Any other failure, and each failed sync, stops the stream until a
//! restart: after a failed sync the content of the disk is unknown.

mod trim;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tidegate_model::Error;
use tokio::sync::{oneshot, watch};
use tracing::{debug, warn};

use super::chunk::Chunk;
use super::config::WriterConfig;
use super::dedup::DedupIndex;
use super::end::{End, EndFile};
use super::failure::{self, Failure};
use super::format::SegmentHeader;
use super::frame::{Answer, Frame};
use super::ids::{self, Closed};
use super::packer::{Packed, Packer};
use super::position::CheckpointOffset;
use super::queue::MemoryPermit;
use super::recovery::{self, About, Active, LogEnd, Recovered};
use super::seconds::second;
use super::{segment, users};
use crate::folder;

pub(super) use self::trim::{Bounds, Hold};

/// How often it is looked whether a segment is compressed.
const LOOK: Duration = Duration::from_millis(200);

/// What a stream's thread is asked to do.
pub(super) enum Job {
    Append {
        chunk: Chunk,
        permit: MemoryPermit,
        answer: Answer,
    },
    Trim {
        bounds: Bounds,
        answer: oneshot::Sender<Result<(), Error>>,
    },
    /// These offsets were given out under the id of this log.
    Fence {
        given: CheckpointOffset,
        answer: oneshot::Sender<Result<(), Error>>,
    },
    /// The log that this one is a copy of may have given out its next offsets.
    Fork {
        answer: oneshot::Sender<Result<(), Error>>,
    },
    /// The index of users of a closed segment is damaged.
    Index {
        first: u64,
    },
}

/// What everybody may know of a stream.
#[derive(Clone, Debug)]
pub(super) enum Progress {
    /// Its files are being looked at.
    Opening,
    /// Everything before this is durable.
    Durable(LogEnd, Arc<About>),
    /// Its files cannot be used.
    Unusable(Failure),
}

/// Serves a stream until all senders are gone.
pub(super) fn run(config: WriterConfig, jobs: &Receiver<Job>, progress: &watch::Sender<Progress>) {
    recovery::sweep(&config.folder);
    let found = recovery::recover(&config);
    match found {
        Ok(found) => Writer::new(config, found, progress).serve(jobs),
        Err(error) => {
            let failure = Failure::opening(&error);
            warn!(stream = %config.stream, error = error.chain(), "the event log cannot be opened");
            progress.send_replace(Progress::Unusable(failure.clone()));
            for job in jobs {
                match job {
                    Job::Append { answer, .. } => drop(answer.send(Err(failure.error()))),
                    Job::Trim { answer, .. } | Job::Fence { answer, .. } | Job::Fork { answer } => {
                        drop(answer.send(Err(failure.error())));
                    }
                    Job::Index { .. } => {}
                }
            }
        }
    }
}

struct Writer<'a> {
    config: WriterConfig,
    closed: VecDeque<Closed>,
    active: Option<Active>,
    next: u64,
    dedup: DedupIndex,
    about: Arc<About>,
    /// Whether the active segment is of the log before a fork: nothing is written to it.
    is_forked: bool,
    end: EndFile,
    packer: Packer,
    progress: &'a watch::Sender<Progress>,
    stopped: Option<Failure>,
}

impl<'a> Writer<'a> {
    fn new(config: WriterConfig, found: Recovered, progress: &'a watch::Sender<Progress>) -> Writer<'a> {
        let Recovered { closed, active, next, dedup, about } = found;
        let (closed, about) = (closed.into(), Arc::new(about));
        let end = EndFile::default();
        let packer = Packer::start(&config.folder, config.compress_from);
        let mut writer = Writer {
            config,
            closed,
            active,
            next,
            dedup,
            about,
            is_forked: false,
            end,
            packer,
            progress,
            stopped: None,
        };
        // Those that a process before this one did not come to.
        writer.closed.iter().for_each(|closed| writer.packer.pack(closed.first));
        writer.publish();
        writer.end.sync();
        writer
    }

    fn serve(mut self, jobs: &Receiver<Job>) {
        while let Some(first) = self.next_job(jobs) {
            let mut next = Some(first);
            let mut frame = Frame::new(self.config.clock.now());
            while let Some(job) = next.take() {
                match job {
                    Job::Append { chunk, permit, answer } => {
                        frame.add(chunk, permit, answer, &mut self.dedup);
                    }
                    Job::Trim { bounds, answer } => drop(answer.send(self.trim(bounds))),
                    Job::Fence { given, answer } => drop(answer.send(self.fence(given))),
                    Job::Fork { answer } => drop(answer.send(self.fork())),
                    Job::Index { first } => self.index(first),
                }
                if !frame.is_full() {
                    next = jobs.try_recv().ok();
                }
            }
            self.acknowledge(frame);
        }
        self.end.sync();
    }

    /// Has the index of a closed segment made again.
    fn index(&mut self, first: u64) {
        let is_closed = self.closed.iter().any(|closed| closed.first == first);
        if is_closed && !self.packer.is_asked(first) && users::remove(&self.config.folder, first).is_ok() {
            self.packer.pack(first);
        }
    }

    /// Waits for a job, and gives the files that were prepared meanwhile their names.
    fn next_job(&mut self, jobs: &Receiver<Job>) -> Option<Job> {
        loop {
            self.name_packed();
            if !self.packer.is_busy() {
                return jobs.recv().ok();
            }
            match jobs.recv_timeout(LOOK) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Lets compressed files take the place of their segments, and puts indexes beside them, unless
    /// the segments were removed meanwhile.
    fn name_packed(&mut self) {
        for Packed { first, file, users } in self.packer.done() {
            let wanted = self.stopped.is_none() && self.closed.iter().any(|closed| closed.first == first);
            if !wanted {
                for file in [file, users].into_iter().flatten() {
                    let _ = fs::remove_file(&file);
                }
                continue;
            }
            let folder = &self.config.folder;
            if let Some(users) = users
                && let Err(cause) = fs::rename(&users, users::path(folder, first))
            {
                debug!(file = %users.display(), %cause, "a segment of the event log has no index of users");
            }
            let path = segment::path(folder, first);
            if let Some(file) = file
                && let Err(cause) = self.config.disk.name(&file, &path)
            {
                warn!(file = %path.display(), %cause, "a segment of the event log was not compressed");
            }
        }
    }

    fn acknowledge(&mut self, frame: Frame) {
        let written = match &self.stopped {
            Some(failure) => Err(failure.clone()),
            None if frame.added().is_empty() => Ok(()),
            None => self.write(&frame),
        };
        if written.is_err() {
            frame.added().iter().for_each(|&seen| self.dedup.forget(seen));
        }
        frame.answer(&written);
        let now = second(self.config.clock.now());
        self.dedup.make_room(self.about.lineage.id, self.next, now);
    }

    fn write(&mut self, frame: &Frame) -> Result<(), Failure> {
        let header = frame.header(self.next);
        let pieces = frame.pieces(&header);
        let mut active = match self.active.take() {
            Some(active) if active.end < self.config.segment_bytes && !self.is_forked => active,
            full => self.roll(full)?,
        };
        let path = segment::path(&self.config.folder, active.first);
        let result = match active.file.write_at(&pieces, active.end) {
            Err(cause) => {
                let cut = active.file.cut(active.end);
                if failure::is_full(&cause) && cut.is_ok() {
                    Err(Failure::of(&failure::writing(cause, &path)))
                } else {
                    Err(self.stop(&cause, &path))
                }
            }
            Ok(()) => active.file.sync().map_err(|cause| {
                // The system holds these bytes for written. A restart must not
                // find them in its memory and take them for durable.
                let _ = active.file.cut(active.end);
                self.stop(&cause, &path)
            }),
        };
        if result.is_ok() {
            active.end += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
            active.seen.extend_from_slice(frame.added());
            self.next += frame.added().len() as u64;
        }
        self.active = Some(active);
        self.publish();
        result
    }

    /// Begins a segment, and closes the one before it.
    fn roll(&mut self, before: Option<Active>) -> Result<Active, Failure> {
        self.active = before;
        let active = self.create()?;
        self.is_forked = false;
        // One without events has the name of the new one, which has taken its place.
        if let Some(before) = self.active.take().filter(|before| before.first < active.first) {
            let newest = newest(&before);
            let closed = Closed { first: before.first, newest };
            ids::write(&self.config.folder, closed, &before.seen);
            self.forget_users(before.first);
            self.closed.push_back(closed);
            self.packer.pack(closed.first);
        }
        if !self.about.exists {
            self.about = Arc::new(About { exists: true, ..About::clone(&self.about) });
        }
        Ok(active)
    }

    fn create(&mut self) -> Result<Active, Failure> {
        let path = segment::path(&self.config.folder, self.next);
        let half = path.with_extension("tmp");
        let filled = self.active.as_ref().map(|active| active.first).filter(|first| *first < self.next);
        let before = filled.or_else(|| self.closed.back().map(|closed| closed.first));
        let header = SegmentHeader {
            first: self.next,
            before: before.unwrap_or(self.next),
            lineage: self.about.lineage.clone(),
            stream: self.config.stream.as_str().to_owned(),
        }
        .encode();
        // Under another name until it is durable: a segment always has its header.
        let made = (|| {
            self.make_folder()?;
            ids::remove(&self.config.folder, self.next);
            users::remove(&self.config.folder, self.next)?;
            let mut file = self.config.disk.create(&half)?;
            file.write_at(&[&header], 0)?;
            file.sync()?;
            Ok(file)
        })();
        let file = made.map_err(|cause| {
            // Nothing was named yet, so nothing has changed.
            let _ = fs::remove_file(&half);
            Failure::of(&failure::writing(cause, &path))
        })?;
        self.config.disk.name(&half, &path).map_err(|cause| self.stop(&cause, &path))?;
        Ok(Active { file, first: self.next, end: header.len() as u64, seen: Vec::new() })
    }

    /// Removes an index that another segment with this name has left: the folder was replaced by an
    /// older copy.
    fn forget_users(&self, first: u64) {
        if let Err(cause) = users::remove(&self.config.folder, first) {
            warn!(folder = %self.config.folder.display(), segment = first, %cause, "an old index of users cannot be removed");
        }
    }

    fn make_folder(&self) -> io::Result<()> {
        folder::create(&self.config.folder)?;
        folder::close(&self.config.folder);
        // Also if it exists: a process that died may not have come so far.
        self.config.folder.parent().map_or(Ok(()), folder::sync)
    }

    /// Gives a new id to what is written from now on, if the log ends before an offset
    /// that was given out under its id: it was restored from an older copy.
    fn fence(&mut self, given: CheckpointOffset) -> Result<(), Error> {
        if given.log != self.about.lineage.id || given.offset <= self.next {
            return Ok(());
        }
        warn!(
            stream = %self.config.stream, end = self.next, exported = given.offset,
            "the event log ends before what was exported: it is an older copy; new events are told apart from those that it has lost"
        );
        self.fork()
    }

    /// Gives a new id to what is written from now on. If that fails, nothing is written until it works:
    /// each append tries it.
    fn fork(&mut self) -> Result<(), Error> {
        let lineage = self.about.lineage.fork(self.next);
        self.about = Arc::new(About { lineage, ..About::clone(&self.about) });
        self.is_forked = true;
        let active = self.active.take();
        let fresh = self.roll(active).map_err(|failure| failure.error())?;
        self.active = Some(fresh);
        self.publish();
        Ok(())
    }

    fn stop(&mut self, cause: &io::Error, path: &Path) -> Failure {
        let failure = Failure::stopped(cause, path);
        warn!(stream = %self.config.stream, file = %path.display(), %cause, "the event log has stopped");
        self.stopped = Some(failure.clone());
        failure
    }

    /// Tells how far the stream is durable, here and in the file of its end.
    fn publish(&mut self) {
        let log_end = match &self.active {
            Some(active) => {
                let (segment, bytes, next) = (active.first, active.end, self.next);
                let log = self.about.lineage.id;
                self.end.write(&self.config.folder, End { log, segment, bytes, next });
                LogEnd { segment, bytes, next }
            }
            // Only closed segments: they are read to their ends.
            None => LogEnd { segment: self.next, bytes: 0, next: self.next },
        };
        self.progress.send_replace(Progress::Durable(log_end, Arc::clone(&self.about)));
    }
}

fn newest(active: &Active) -> u32 {
    active.seen.iter().map(|seen| seen.second()).max().unwrap_or_default()
}
