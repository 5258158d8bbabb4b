//! Reads files one after the other on a thread of its own; a channel that holds
//! two batches is what it is ahead at most.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tidegate_model::{Batch, Columns, Error, Feed, MalformedRecord, Reason, Row};
use tokio::sync::mpsc;

use super::listing::{Found, explain};
use super::offsets::{FileOffset, FileOffsets, print};
use super::settings::{Files, Format};
use super::{csv, jsonl, parquet};

/// Where batches go.
type Sender = mpsc::Sender<Result<Batch<Row>, Error>>;

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
}

impl Reading {
    /// The read as a feed.
    pub fn feed(self) -> Feed<Row> {
        on_a_thread(move |sender| {
            let mut output = Output {
                batch: Batch::of(Vec::new()),
                limit: self.batch_rows.max(1),
                offsets: self.offsets.clone(),
                sender: sender.clone(),
            };
            match self.read(&mut output) {
                Err(Stop::Failed(error)) => {
                    let _ = sender.blocking_send(Err(error));
                }
                // Nobody listens any more: the read was dropped.
                Err(Stop::Dropped) | Ok(()) => {}
            }
        })
    }

    fn read(&self, output: &mut Output) -> Result<(), Stop> {
        let found = self.files.pattern.list(&self.folder)?;
        output.offsets.keep_only(&found);
        for file in &found {
            self.read_file(file, output)?;
        }
        output.flush()
    }

    fn read_file(&self, found: &Found, output: &mut Output) -> Result<(), Stop> {
        let mut file = match File::open(&found.path) {
            // Gone since the folder was listed: there is nothing to read.
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(|cause| explain(&found.path, &cause))?,
        };
        let resumed =
            output.offsets.resume(found, &mut file).map_err(|cause| explain(&found.path, &cause))?;
        let Some(mark) = resumed else { return Ok(()) };
        let open = Open { found, file, columns: &self.columns, mark };
        match self.files.format(&found.name)? {
            Format::Csv => csv::read(open, &self.files.csv, output),
            Format::Jsonl => jsonl::read(open, output),
            Format::Parquet => parquet::read(open, output),
        }
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
    /// A handle that identifies it; its position is unused.
    pub file: File,
    /// The columns of the selection.
    pub columns: &'a Arc<Columns>,
    /// Where to begin.
    pub mark: FileOffset,
}

impl Open<'_> {
    /// A handle to read its content with, at its beginning.
    ///
    /// # Errors
    /// What keeps it from being opened.
    pub fn content(&self) -> Result<File, Stop> {
        File::open(&self.found.path).map_err(|cause| self.failed(&cause))
    }

    /// What to say when it cannot be read.
    pub fn failed(&self, cause: &std::io::Error) -> Stop {
        Stop::Failed(explain(&self.found.path, cause))
    }
}

/// Why a read ends early.
pub enum Stop {
    /// It cannot continue.
    Failed(Error),
    /// Nobody wants the rest.
    Dropped,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Collects rows into batches, each with the offsets after it.
pub struct Output {
    batch: Batch<Row>,
    limit: usize,
    offsets: FileOffsets,
    sender: Sender,
}

impl Output {
    /// Adds a row.
    pub fn row(&mut self, row: Row) {
        self.batch.items.push(row);
    }

    /// Reports what is no row.
    pub fn malformed(&mut self, place: String, payload: String, reason: Reason) {
        self.batch.malformed.push(MalformedRecord { location: place, payload, reason });
    }

    /// Whether the batch has to be sent before the next row is added.
    pub fn is_full(&self) -> bool {
        self.batch.items.len() + self.batch.malformed.len() >= self.limit
    }

    /// Notes how far `open` was read; sends the batch if it is full.
    pub fn reached(&mut self, open: &mut Open<'_>, mut mark: FileOffset) -> Result<(), Stop> {
        let printed = print(&mut open.file, mark.covered);
        mark.print = printed.map_err(|cause| open.failed(&cause))?;
        self.offsets.files.insert(open.found.name.clone(), mark);
        if self.is_full() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let mut batch = std::mem::replace(&mut self.batch, Batch::of(Vec::new()));
        if batch.items.is_empty() && batch.malformed.is_empty() {
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
