//! Compresses closed segments, and makes their indexes of users, beside the thread that writes.

use std::collections::HashSet;
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
use super::segment_file::SegmentFile;
use super::users::{self, Users};
use crate::folder;

/// As little of the machine as there is: what is written and read comes first.
const NICE: i32 = 19;
/// How much is read at once.
const PIECE: usize = 256 * 1024;

/// A thread that compresses segments of one stream, one after the other, and makes their indexes.
///
/// It only prepares files; the thread that writes the stream gives them their names, so that a
/// segment that retention has removed does not come back. Dropping it ends it within one block.
pub(super) struct Packer {
    jobs: Option<Sender<u64>>,
    done: Receiver<Packed>,
    asked: HashSet<u64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The result of packing a segment.
pub(super) struct Packed {
    /// Its first offset.
    pub(super) first: u64,
    /// The file that can take its place; `None` if it stays as it is.
    pub(super) file: Option<PathBuf>,
    /// Its index of users; `None` if it has one, or cannot have one.
    pub(super) users: Option<PathBuf>,
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
                if tell.send(prepared(&folder, first, smallest, &stopped)).is_err() {
                    return;
                }
            }
        });
        // Without a thread nothing is compressed, and nothing else is lost.
        let thread = thread.inspect_err(|cause| warn!(%cause, "segments are not compressed")).ok();
        Packer { jobs: thread.is_some().then_some(jobs), done, asked: HashSet::new(), stop, thread }
    }

    /// Asks for a closed segment to be compressed, and for its index.
    pub(super) fn pack(&mut self, first: u64) {
        if self.jobs.as_ref().is_some_and(|jobs| jobs.send(first).is_ok()) {
            self.asked.insert(first);
        }
    }

    /// Whether anything is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether a segment waits for it.
    pub(super) fn is_asked(&self, first: u64) -> bool {
        self.asked.contains(&first)
    }

    /// Returns what is done.
    pub(super) fn done(&mut self) -> Vec<Packed> {
        let done: Vec<Packed> = self.done.try_iter().collect();
        for packed in &done {
            self.asked.remove(&packed.first);
        }
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

fn prepared(folder: &Path, first: u64, smallest: u64, stop: &AtomicBool) -> Packed {
    let nothing = Packed { first, file: None, users: None };
    if stop.load(Ordering::Relaxed) {
        return nothing;
    }
    let from = segment::path(folder, first);
    let mut users = (!users::is_there(folder, first)).then(|| Users::new(first));
    let to = from.with_extension("packed.tmp");
    let file = match pack(&from, &to, smallest, stop, users.as_mut()) {
        Ok(true) => Some(to),
        failed => {
            if let Err(cause) = failed {
                // Retention may have removed it meanwhile.
                debug!(file = %from.display(), %cause, "a segment of the event log was not compressed");
            }
            // It is removed on opening otherwise.
            let _ = fs::remove_file(&to);
            // It may have been read in part.
            users = users.map(|_| Users::new(first)).filter(|_| !stop.load(Ordering::Relaxed));
            None
        }
    };
    let Some(users) = users else { return Packed { file, ..nothing } };
    let to = from.with_extension("users.tmp");
    let written = match &file {
        Some(_) => users.write(&to),
        None => index(&from, users, &to, stop),
    };
    let written = written.unwrap_or_else(|cause| {
        debug!(file = %from.display(), %cause, "a segment of the event log has no index of users");
        false
    });
    if !written {
        let _ = fs::remove_file(&to);
    }
    Packed { first, file, users: written.then_some(to) }
}

/// Reads a segment that is not compressed now, and writes its index.
fn index(from: &Path, mut users: Users, to: &Path, stop: &AtomicBool) -> io::Result<bool> {
    let whole = pieces(&mut SegmentFile::open(from)?, stop, |piece| users.take(piece))?;
    if whole { users.write(to) } else { Ok(false) }
}

/// Compresses a file, decompresses the result, and compares it with the original. What was decompressed
/// is shown to `users`.
fn pack(
    from: &Path,
    to: &Path,
    smallest: u64,
    stop: &AtomicBool,
    mut users: Option<&mut Users>,
) -> io::Result<bool> {
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
    let read = pieces(&mut again, stop, |piece| {
        if let Some(users) = &mut users {
            users.take(piece);
        }
    })?;
    match read && again.bytes == whole.bytes && again.hash.finalize() == whole.hash.finalize() {
        true => Ok(true),
        false if !read => Ok(false),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not read as it was")),
    }
}

/// Reads a file in pieces. Returns `false` if it was stopped.
fn pieces(file: &mut impl Read, stop: &AtomicBool, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
    let mut piece = vec![0; PIECE];
    while !stop.load(Ordering::Relaxed) {
        match file.read(&mut piece) {
            Ok(0) => return Ok(true),
            Ok(read) => take(&piece[..read]),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(false)
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tidegate_model::Event;
    use tidegate_testkit::event_log::event;

    use super::*;
    use crate::log::format::{self, FrameHeader, SegmentHeader};
    use crate::log::lineage::Lineage;

    /// A closed segment with this number of events; returns its bytes.
    fn segment(folder: &Path, events: u32) -> u64 {
        let mut records = Vec::new();
        for number in 0..events {
            let user = format!("user-{}", u64::from(number) * 2_654_435_761 % 400_000);
            let payload = format!(r#"{{"id":"{number}","text":"{}"}}"#, "spring, push or email ".repeat(11));
            let event = Event {
                user: user.into(),
                payload: tidegate_model::Json::trusted(payload),
                ..event(&number.to_string())
            };
            format::write_record(&event, &mut records);
        }
        let header =
            SegmentHeader { first: 0, before: 0, lineage: Lineage::begin(), stream: "shop".to_owned() };
        let (logged_at, bytes) = (jiff::Timestamp::UNIX_EPOCH, records.len() as u32);
        let frame = FrameHeader { first: 0, logged_at, records: events, bytes }.encode();
        let whole = [&header.encode()[..], &frame, &records].concat();
        fs::write(segment::path(folder, 0), &whole).expect("written");
        whole.len() as u64
    }

    /// `cargo test -p tidegate-state --release --lib -- --ignored --nocapture what_an_index`
    #[test]
    #[ignore = "a measurement"]
    fn what_an_index_of_users_adds_to_compressing_a_segment() {
        const EVENTS: u32 = 180_000;
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = segment(folder.path(), EVENTS);
        let (from, to) = (segment::path(folder.path(), 0), folder.path().join("packed.tmp"));
        let running = AtomicBool::new(false);
        let (mut alone, mut both) = (Vec::new(), Vec::new());
        for _ in 0..9 {
            let began = Instant::now();
            assert!(pack(&from, &to, 0, &running, None).expect("packed"));
            alone.push(began.elapsed().as_secs_f64());
            let (began, mut users) = (Instant::now(), Users::new(0));
            assert!(pack(&from, &to, 0, &running, Some(&mut users)).expect("packed"));
            assert!(users.write(&folder.path().join("users.tmp")).expect("written"));
            both.push(began.elapsed().as_secs_f64());
        }
        for (what, times) in [("compressed", &mut alone), ("compressed, with its index", &mut both)] {
            times.sort_by(f64::total_cmp);
            println!(
                "{what}: {:.0} events/s ({bytes} bytes in {:.3} s)",
                f64::from(EVENTS) / times[4],
                times[4]
            );
        }
        let index = folder.path().join("users.tmp").metadata().expect("there").len();
        println!("index: {:.2} bytes an event", index as f64 / f64::from(EVENTS));
    }
}
