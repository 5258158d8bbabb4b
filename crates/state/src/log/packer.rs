//! Compresses closed segments beside the thread that writes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use tracing::{debug, warn};

use super::packed::{self, PackedFile};
use super::segment;
use crate::folder;

/// As little of the machine as there is: what is written and read comes first.
const NICE: i32 = 19;

/// A thread that compresses segments of one stream, one after the other.
///
/// It only prepares files; the thread that writes the stream gives them their names, so that a
/// segment that retention has removed does not come back. Dropping it ends it within one block.
pub(super) struct Packer {
    jobs: Option<Sender<u64>>,
    done: Receiver<Packed>,
    waiting: usize,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The result of packing a segment.
pub(super) struct Packed {
    /// Its first offset.
    pub(super) first: u64,
    /// The file that can take its place; `None` if it stays as it is.
    pub(super) file: Option<PathBuf>,
}

impl Packer {
    /// Starts the thread. Segments below `smallest` bytes stay as they are.
    pub(super) fn start(folder: &Path, smallest: u64) -> Packer {
        // Both hold numbers: one for each file that is full.
        let (jobs, asked) = mpsc::channel();
        let (tell, done) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (folder, stopped) = (folder.to_owned(), Arc::clone(&stop));
        let thread = thread::Builder::new().name("log packer".to_owned()).spawn(move || {
            // Of this thread alone, as Linux has it. Where that is not so, it is only less polite.
            if cfg!(target_os = "linux")
                && let Err(cause) = rustix::process::setpriority_process(None, NICE)
            {
                debug!(%cause, "segments are compressed at the usual priority");
            }
            for first in asked {
                let file = packed(&folder, first, smallest, &stopped);
                if tell.send(Packed { first, file }).is_err() {
                    return;
                }
            }
        });
        // Without a thread nothing is compressed, and nothing else is lost.
        let thread = thread.inspect_err(|cause| warn!(%cause, "segments are not compressed")).ok();
        Packer { jobs: thread.is_some().then_some(jobs), done, waiting: 0, stop, thread }
    }

    /// Asks for a closed segment to be compressed.
    pub(super) fn pack(&mut self, first: u64) {
        if self.jobs.as_ref().is_some_and(|jobs| jobs.send(first).is_ok()) {
            self.waiting += 1;
        }
    }

    /// Whether anything is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.waiting > 0
    }

    /// Returns what is done.
    pub(super) fn done(&mut self) -> Vec<Packed> {
        let done: Vec<Packed> = self.done.try_iter().collect();
        self.waiting -= done.len().min(self.waiting);
        done
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been told where it happened.
            let _ = thread.join();
        }
    }
}

fn packed(folder: &Path, first: u64, smallest: u64, stop: &AtomicBool) -> Option<PathBuf> {
    if stop.load(Ordering::Relaxed) {
        return None;
    }
    let from = segment::path(folder, first);
    let to = from.with_extension("packed.tmp");
    match pack(&from, &to, smallest, stop) {
        Ok(true) => Some(to),
        failed => {
            if let Err(cause) = failed {
                // Retention may have removed it meanwhile.
                debug!(file = %from.display(), %cause, "a segment of the event log was not compressed");
            }
            // It is removed on opening otherwise.
            let _ = fs::remove_file(&to);
            None
        }
    }
}

/// Compresses a file, decompresses the result, and compares it with the original.
fn pack(from: &Path, to: &Path, smallest: u64, stop: &AtomicBool) -> io::Result<bool> {
    let mut segment = File::open(from)?;
    let mut start = [0; 12];
    if segment.metadata()?.len() < smallest.max(start.len() as u64) {
        return Ok(false);
    }
    segment.read_exact(&mut start)?;
    if packed::is_packed(&start) {
        return Ok(false);
    }
    let mut whole =
        Hashed { inner: io::Cursor::new(start).chain(segment), hash: crc32fast::Hasher::new(), bytes: 0 };
    let mut file = folder::create_file(to)?;
    if !packed::pack(&mut whole, &mut file, || !stop.load(Ordering::Relaxed))? {
        return Ok(false);
    }
    file.sync_all()?;
    let mut again =
        Hashed { inner: PackedFile::open(File::open(to)?)?, hash: crc32fast::Hasher::new(), bytes: 0 };
    io::copy(&mut again, &mut io::sink())?;
    match again.bytes == whole.bytes && again.hash.finalize() == whole.hash.finalize() {
        true => Ok(true),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not read as it was")),
    }
}

/// Reads, and hashes what it reads.
struct Hashed<R> {
    inner: R,
    hash: crc32fast::Hasher,
    bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.hash.update(&out[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
