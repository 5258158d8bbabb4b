//! Reads files one after the other on a thread of its own; a channel that holds
//! two batches is what it is ahead at most.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_model::{Clock, Columns, Feed, Row};

use super::bucket::Bucket;
use super::content::Broken;
use super::listing::Found;
use super::offsets::FileOffsets;
use super::open::{Open, Stop, prefix};
use super::output::Output;
use super::settings::{Files, Format};
use super::{csv, folders, jsonl, parquet};
use crate::feed::on_a_thread;

/// Where files are.
#[derive(Clone)]
pub enum Folder {
    /// On this machine.
    Disk(PathBuf),
    /// In an object store.
    Store(Bucket),
}

/// A read that is about to start.
pub struct Reading {
    /// The connection's folder.
    pub folder: Folder,
    /// Where copies of objects may be kept while they are read.
    pub copies: PathBuf,
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
        on_a_thread("reading the files", move |sender| {
            let mut output =
                Output::new(self.offsets.clone(), self.files.fingerprint(), self.batch_rows, sender.clone());
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
        match &self.folder {
            Folder::Disk(folder) => self.read_folder(folder, output),
            Folder::Store(bucket) => self.read_bucket(bucket, output),
        }
    }

    fn read_folder(&self, folder: &Path, output: &mut Output) -> Result<(), Stop> {
        output.offsets.objects = None;
        let listing = self.files.pattern.list(folder)?;
        let fixed = output.offsets.keep(&listing, self.clock.now().as_microsecond());
        output.fixed(fixed);
        for odd in &listing.odd {
            output.odd(odd);
        }
        for file in &listing.files {
            if !output.offsets.is_read(file, &output.settings) {
                self.read_file(file, output)?;
            }
        }
        output.flush()
    }

    /// Reads the objects of a store that are not known, in the order of their names. One that is
    /// continued may have passed the names of objects that came in later, so another walk follows.
    fn read_bucket(&self, bucket: &Bucket, output: &mut Output) -> Result<(), Stop> {
        let now_us = self.clock.now().as_microsecond();
        if output.offsets.objects.is_none() {
            // What is known of files on this machine says nothing about objects.
            output.offsets.files.clear();
        }
        loop {
            let before = output.offsets.objects.get_or_insert_default().clone();
            let (after, continued) = output.offsets.objects.get_or_insert_default().begin(now_us);
            let mut walk = bucket.walk(&self.files.pattern, &after)?;
            while let Some(found) = walk.next()? {
                if !output.offsets.is_read(&found, &output.settings) {
                    self.read_file(&found, output)?;
                }
                output.offsets.pass(&found);
            }
            let objects = output.offsets.objects.get_or_insert_default();
            objects.finish();
            // A walk that found nothing need not be stored.
            match continued || !objects.knows_no_more_than(&before) {
                true => output.send()?,
                false => output.flush()?,
            }
            if !continued {
                return Ok(());
            }
        }
    }

    /// Reads one file. Whatever is wrong with it is reported as one item; the other files
    /// are read all the same.
    fn read_file(&self, found: &Found, output: &mut Output) -> Result<(), Stop> {
        let mut open = match self.open(found, output) {
            Ok(Some(open)) => open,
            Ok(None) => return Ok(()),
            Err(cause) => return output.cannot_read(found, cause),
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
            Err(Stop::Broken(Broken::System(cause))) => output.cannot_read(found, cause),
            read => read,
        }
    }

    /// Opens a file to read on; `None` if nothing is new.
    fn open<'a>(&'a self, found: &'a Found, output: &Output) -> io::Result<Option<Open<'a>>> {
        let mut file = found.open()?;
        let Some(mark) = output.offsets.resume(found, &mut file, &output.settings)? else { return Ok(None) };
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
            copies: &self.copies,
        }))
    }
}
