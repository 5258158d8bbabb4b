//! Reads files one after the other on a thread of its own; a channel that holds
//! two batches is what it is ahead at most.

use std::fs::{File, Metadata};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tidegate_model::{Batch, Clock, Columns, Error, Feed, MalformedRecord, Reason, Row, Value};
use tokio::sync::mpsc;

use super::content::{Broken, Content};
use super::folders;
use super::listing::{Found, Odd, malformed};
use super::offsets::{FileOffset, FileOffsets, print};
use super::settings::{Files, Format};
use super::{csv, jsonl, parquet};

/// Where batches go.
type Sender = mpsc::Sender<Result<Batch<Row>, Error>>;

/// Bytes of a batch that is sent, however few rows they are.
pub const BATCH_BYTES: usize = 4 << 20;

/// A read that is about to start.
pub struct Reading {
    /// The connection's folder.
    pub folder: PathBuf,
    /// What is read.
    pub files: Files,
    /// The columns of the selection.
    pub columns: Arc<Columns>,
    /// How far it was read before.
    pub offsets: FileOffsets,
    /// Rows in a batch.
    pub batch_rows: usize,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Reading {
    /// The read as a feed.
    pub fn feed(self) -> Feed<Row> {
        on_a_thread(move |sender| {
            let mut output = Output {
                batch: Batch::of(Vec::new()),
                limit: self.batch_rows.max(1),
                bytes: 0,
                not_due: 0,
                offsets: self.offsets.clone(),
                sender: sender.clone(),
            };
            match self.read(&mut output) {
                Err(Stop::Failed(error)) => {
                    let _ = sender.blocking_send(Err(error));
                }
                // Files report what is wrong with them by themselves.
                Err(Stop::Dropped | Stop::Broken(_)) | Ok(()) => {}
            }
        })
    }

    fn read(&self, output: &mut Output) -> Result<(), Stop> {
        let listing = self.files.pattern.list(&self.folder)?;
        let fixed = output.offsets.keep(&listing, self.clock.now().as_microsecond());
        output.batch.fixed.extend(fixed);
        for odd in &listing.odd {
            output.odd(odd);
        }
        for file in &listing.files {
            if !output.offsets.is_read(file) {
                self.read_file(file, output)?;
            }
        }
        output.flush()
    }

    /// Reads one file. Whatever is wrong with it is reported as one item; the other files
    /// are read all the same.
    fn read_file(&self, found: &Found, output: &mut Output) -> Result<(), Stop> {
        let mut open = match self.open(found, output) {
            Ok(Some(open)) => open,
            Ok(None) => return Ok(()),
            Err(cause) => return output.cannot_read(found, &cause),
        };
        let read = match &open.format {
            Ok(Format::Csv) => csv::read(&mut open, &self.files, output),
            Ok(Format::Jsonl) => jsonl::read(&mut open, &self.files, output),
            Ok(Format::Parquet) => parquet::read(&mut open, output),
            Err(reason) => {
                let reason = reason.clone();
                return output.broken(&mut open, reason);
            }
        };
        match read {
            // The rest may be under way.
            Err(Stop::Broken(Broken::Content(_))) if !open.is_still() => {
                output.waiting += 1;
                Ok(())
            }
            Err(Stop::Broken(Broken::Content(reason))) => output.broken(&mut open, reason),
            Err(Stop::Broken(Broken::System(cause))) => output.cannot_read(found, &cause),
            read => read,
        }
    }

    /// Opens a file to read on; `None` if nothing is new.
    fn open<'a>(&'a self, found: &'a Found, output: &Output) -> io::Result<Option<Open<'a>>> {
        let mut file = File::open(&found.path)?;
        let Some(mark) = output.offsets.resume(found, &mut file)? else { return Ok(None) };
        Ok(Some(Open {
            found,
            file,
            format: self.files.format(&found.name),
            columns: &self.columns,
            mark,
            folders: folders::columns(&found.name),
            told: false,
            clock: &*self.clock,
            still_after: self.files.last_line_after,
        }))
    }
}

/// What `work` sends, from a thread that may block.
fn on_a_thread(work: impl FnOnce(Sender) + Send + 'static) -> Feed<Row> {
    let (sender, mut receiver) = mpsc::channel(2);
    let working = tokio::task::spawn_blocking(move || work(sender));
    // Work that broke off looks like work that came to its end, until it is asked:
    // rows that were not read must not look like rows that are gone.
    let broken = stream::once(working).filter_map(|ended| async {
        let cause = ended.err()?;
        Some(Err(Error::internal("reading the files broke off").caused_by(cause)))
    });
    stream::poll_fn(move |context| receiver.poll_recv(context)).chain(broken).boxed()
}

/// A file that is being read.
pub struct Open<'a> {
    /// What the listing says of it.
    pub found: &'a Found,
    /// A handle to know it again by, with a position of no meaning.
    pub file: File,
    /// How it is written, if anything says so.
    format: Result<Format, Reason>,
    /// The columns of the selection.
    pub columns: &'a Arc<Columns>,
    /// How far it was read.
    pub mark: FileOffset,
    /// Columns from the names of its folders.
    pub folders: Vec<(String, Value)>,
    /// Whether it was said that nothing is wrong with it, or what is.
    told: bool,
    clock: &'a dyn Clock,
    still_after: Duration,
}

impl Open<'_> {
    /// Opens its text at an offset.
    ///
    /// # Errors
    /// If it cannot be opened, or is no text file that can be read.
    pub fn content(&self, files: &Files, offset: u64) -> Result<Content, Stop> {
        let file = File::open(&self.found.path).map_err(Broken::System)?;
        Ok(Content::open(file, offset, files.encoding)?)
    }

    /// Returns the name of a line or a row.
    fn place(&self, number: u64) -> String {
        match self.format {
            Ok(Format::Parquet) => format!("{}, row {number}", self.found.name),
            _ => format!("{}:{number}", self.found.name),
        }
    }

    /// Returns whether the file has not been changed for a while. Asked after its end was
    /// read, so that what is still being written is not taken for all.
    pub fn is_still(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| is_still(&metadata, self.clock, self.still_after))
    }

    /// Returns the names of the file's columns and of those that its folders add.
    pub fn with_folders(&mut self, mut names: Vec<String>) -> Vec<String> {
        self.folders.retain(|(name, _)| !names.contains(name));
        names.extend(self.folders.iter().map(|(name, _)| name.clone()));
        names
    }

    /// Writes the values that the names of folders give.
    pub fn write_folders(&self, values: &mut [Value], indexes: &[usize]) {
        for ((_, value), place) in self.folders.iter().zip(indexes) {
            values[*target] = value.clone();
        }
    }
}

/// Returns whether a file has not been changed for `span`.
pub fn is_still(metadata: &Metadata, clock: &dyn Clock, span: Duration) -> bool {
    if span.is_zero() {
        return true;
    }
    #[cfg(unix)]
    let changed_s = Some(std::os::unix::fs::MetadataExt::ctime(metadata));
    #[cfg(not(unix))]
    let changed_s: Option<i64> = None;
    // A copy may carry any time, even a later one: the system's own note of the change bounds it.
    let modified = metadata.modified().ok().and_then(|at| jiff::Timestamp::try_from(at).ok());
    let changed = changed_s.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let Some(last) = [modified, changed].into_iter().flatten().min() else { return false };
    Duration::try_from(clock.now().duration_since(last)).is_ok_and(|age| age >= span)
}

/// Why a read ends early.
pub enum Stop {
    /// It cannot continue.
    Failed(Error),
    /// This file cannot be read on; others can.
    Broken(Broken),
    /// The rest is not wanted.
    Dropped,
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Stop {
        Stop::Broken(broken)
    }
}

impl From<io::Error> for Stop {
    fn from(cause: io::Error) -> Stop {
        Stop::Broken(Broken::from(cause))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Collects rows into batches, each with the offsets after it.
pub struct Output {
    /// Files of which something may not be finished.
    pub not_due: u64,
    batch: Batch<Row>,
    limit: usize,
    bytes: usize,
    offsets: FileOffsets,
    sender: Sender,
}

impl Output {
    /// Adds a row that was made of so many bytes.
    pub fn row(&mut self, row: Row, bytes: usize) {
        self.bytes += bytes + size_of_val(&*row.values);
        self.batch.items.push(row);
    }

    /// Reports what is no row.
    pub fn malformed(&mut self, place: String, payload: String, reason: Reason) {
        self.bytes += payload.len();
        self.batch.malformed.push(MalformedRecord { location: place, payload, reason });
    }

    /// Reports a line or a row of a file that is none.
    pub fn rejected(&mut self, open: &mut Open<'_>, number: u64, payload: String, reason: Reason) {
        open.mark.reject(number);
        self.malformed(open.place(number), payload, reason);
    }

    /// Returns whether the batch has to be sent before the next row is added.
    pub fn is_full(&self) -> bool {
        let count = self.batch.items.len() + self.batch.malformed.len();
        count >= self.limit || self.bytes >= BATCH_BYTES
    }

    /// Notes how far `open` was read; sends the batch if it is full. A file that cannot be
    /// read on when something is appended is known again as a whole.
    pub fn reached(&mut self, open: &mut Open<'_>, whole: bool) -> Result<(), Stop> {
        open.mark.covered = if whole { open.found.size } else { open.mark.offset + open.mark.torn };
        open.mark.print = print(&mut open.file, open.mark.covered).map_err(Broken::System)?;
        if open.mark.done && !open.told {
            open.told = true;
            self.batch.fixed.push(open.found.name.clone());
            let fixed = open.mark.fixed();
            self.batch.fixed.extend(fixed.into_iter().map(|number| open.place(number)));
        }
        self.offsets.files.insert(open.found.name.clone(), open.mark.clone());
        if self.is_full() { self.flush() } else { Ok(()) }
    }

    /// Reports a file that is read no further until it changes.
    fn broken(&mut self, open: &mut Open<'_>, reason: Reason) -> Result<(), Stop> {
        self.malformed(open.found.name.clone(), String::new(), reason);
        (open.mark.done, open.told) = (true, true);
        match self.reached(open, true) {
            // It changed meanwhile, and is looked at again.
            Err(Stop::Broken(_)) => Ok(()),
            reached => reached,
        }
    }

    /// Reports a file that the system does not give. It is tried again by each run.
    fn cannot_read(&mut self, found: &Found, cause: &io::Error) -> Result<(), Stop> {
        // One that is gone since the folder was listed has nothing to read.
        if cause.kind() != io::ErrorKind::NotFound {
            self.malformed(found.name.clone(), String::new(), malformed(cause));
        }
        if self.is_full() { self.flush() } else { Ok(()) }
    }

    /// Reports something that is no file to read, once until it changes.
    fn odd(&mut self, odd: &Odd) {
        let mark =
            FileOffset { modified_us: odd.modified_us, done: true, odd: true, ..FileOffset::default() };
        if self.offsets.files.get(&odd.name) != Some(&mark) {
            self.offsets.files.insert(odd.name.clone(), mark);
            self.malformed(odd.name.clone(), String::new(), odd.reason.clone());
        }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let mut batch = std::mem::replace(&mut self.batch, Batch::of(Vec::new()));
        self.bytes = 0;
        batch.waiting = std::mem::take(&mut self.waiting);
        let nothing = batch.items.is_empty() && batch.malformed.is_empty() && batch.fixed.is_empty();
        if nothing && batch.waiting == 0 {
            return Ok(());
        }
        batch.checkpoint = Some(self.offsets.checkpoint());
        self.sender.blocking_send(Ok(batch)).map_err(|_| Stop::Dropped)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn a_read_that_breaks_off_does_not_look_finished() {
        let mut feed = on_a_thread(|sender| {
            sender.blocking_send(Ok(Batch::of(Vec::new()))).expect("a receiver");
            panic!("a fault of this program");
        });

        assert!(feed.next().await.expect("a batch").is_ok());
        let error = feed.next().await.expect("an end that is told").expect_err("broken off");
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(feed.next().await.is_none());
    }
}
