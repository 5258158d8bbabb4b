//! Reads files one after the other on a thread of its own; a channel that holds
//! two batches is what it is ahead at most.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tidegate_model::{Clock, Columns, Error, Feed, Row};
use tokio::sync::mpsc;

use super::content::Broken;
use super::listing::Found;
use super::offsets::FileOffsets;
use super::open::{Open, Stop, prefix};
use super::output::{Output, Sender};
use super::settings::{Files, Format};
use super::{csv, folders, jsonl, parquet};

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
    /// Returns the read as a feed.
    pub fn feed(self) -> Feed<Row> {
        on_a_thread(move |sender| {
            let mut output = Output::new(self.offsets.clone(), self.batch_rows, sender.clone());
            match self.read(&mut output) {
                Err(Stop::Failed(error)) => {
                    let _ = sender.blocking_send(Err(error));
                }
                // Files report their own errors.
                Err(Stop::Dropped | Stop::Broken(_)) | Ok(()) => {}
            }
        })
    }

    fn read(&self, output: &mut Output) -> Result<(), Stop> {
        let listing = self.files.pattern.list(&self.folder)?;
        let fixed = output.offsets.keep(&listing, self.clock.now().as_microsecond());
        output.fixed(fixed);
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
                output.not_due += 1;
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
        let format = self.files.format(&found.name);
        Ok(Some(Open {
            found,
            file,
            prefix: prefix(&found.name, format.as_ref().ok()),
            format,
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

#[cfg(test)]
mod tests {
    use tidegate_model::{Batch, ErrorKind};

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
