//! The offsets of files: the content of a checkpoint.

use std::collections::{BTreeMap, HashSet};
use std::io;

use serde::{Deserialize, Serialize};
use tidegate_model::{Checkpoint, Error};

use super::handle::Handle;
use super::listing::{Found, Listing};
use super::read_objects::ReadObjects;

/// The offset of every file of a selection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileOffsets {
    /// By name; of objects only those that are being read, or had lines that were rejected.
    pub files: BTreeMap<String, FileOffset>,
    /// The objects that were read, if the files are objects of a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<ReadObjects>,
}

/// The offset in one file, and what identifies the part before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileOffset {
    /// Its length when it was read.
    pub size: u64,
    /// Its modification time then, in microseconds.
    pub modified_us: i64,
    /// Where to continue: a byte of a text file, a row of a Parquet file.
    pub offset: u64,
    /// Bytes after `offset` that were read as a last line without a line break.
    #[serde(default)]
    pub torn: u64,
    /// Lines before `offset`.
    #[serde(default)]
    pub line: u64,
    /// Bytes of the file that `print` is about.
    pub covered: u64,
    /// Hash of the ends of the part that was read.
    pub print: String,
    /// Whether all of it was read.
    #[serde(default)]
    pub done: bool,
    /// Lines or rows that were rejected, the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<u64>,
    /// The same of what it held before it was replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<u64>,
    /// Hash of the settings by which nothing of it could be read: others may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_by: Option<String>,
    /// Whether this is no file that can be opened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub odd: bool,
    /// Since when it is not there, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_us: Option<i64>,
}

/// How long a file that is gone is remembered: a mount that comes back brings nothing new.
const GONE_US: i64 = 7 * 24 * 3_600 * 1_000_000;
/// Files that are gone and remembered, at most.
const GONE_MAX: usize = 10_000;

/// Objects with rejected lines that are remembered.
const OBJECTS_MAX: usize = 1_000;

/// Rejected lines of a file that are remembered, so that they are closed when they are fixed.
const REJECTED_MAX: usize = 1_000;

impl FileOffset {
    /// Notes a line or a row that was rejected.
    pub fn reject(&mut self, number: u64) {
        if self.rejected.len() < REJECTED_MAX {
            self.rejected.push(number);
        }
    }

    /// Returns the lines or rows that were rejected before and are not any more.
    pub fn fixed(&mut self) -> Vec<u64> {
        let before = std::mem::take(&mut self.before);
        before.into_iter().filter(|number| !self.rejected.contains(number)).collect()
    }

    /// Returns whether nothing of it could be read by other settings than these.
    fn is_due_again(&self, settings: &str) -> bool {
        self.unread_by.as_ref().is_some_and(|before| before != settings)
    }

    /// Returns whether the offset is possible: no file has more bytes, rows or lines.
    fn is_possible(&self) -> bool {
        const MOST: u64 = i64::MAX as u64;
        [self.size, self.offset, self.torn, self.line, self.covered].iter().all(|count| *count <= MOST)
    }
}

impl FileOffsets {
    /// Reads the offsets of a checkpoint.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a checkpoint of another connector.
    pub fn of(checkpoint: Option<&Checkpoint>) -> Result<FileOffsets, Error> {
        let Some(checkpoint) = checkpoint else { return Ok(FileOffsets::default()) };
        let foreign = || {
            Error::settings("the stored checkpoint of this sync is not one of files")
                .hint("the sync had another source before: reset it, and it reads every file again")
        };
        let offsets = FileOffsets::deserialize(&checkpoint.0).map_err(|cause| foreign().caused_by(cause))?;
        if offsets.files.values().all(FileOffset::is_possible) { Ok(offsets) } else { Err(foreign()) }
    }

    /// Returns the offsets as a checkpoint.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(serde_json::to_value(self).unwrap_or_default())
    }

    /// Notes which files are gone, and forgets those that have been for long. Returns the names
    /// of what could not be opened before and is no longer in the way.
    pub fn keep(&mut self, listing: &Listing, now_us: i64) -> Vec<String> {
        let odd: HashSet<&str> = listing.odd.iter().map(|odd| odd.name.as_str()).collect();
        let fixed = self.files.extract_if(.., |name, mark| mark.odd && !odd.contains(name.as_str()));
        let fixed = fixed.map(|(name, _)| name).collect();
        let files = listing.files.iter().map(|file| file.name.as_str());
        let names: HashSet<&str> = files.chain(listing.odd.iter().map(|odd| odd.name.as_str())).collect();
        for (name, mark) in &mut self.files {
            mark.gone_us = match names.contains(name.as_str()) {
                true => None,
                false => Some(mark.gone_us.unwrap_or(now_us)),
            };
        }
        let mut gone: Vec<i64> = self.files.values().filter_map(|mark| mark.gone_us).collect();
        gone.sort_unstable_by(|a, b| b.cmp(a));
        let oldest = gone.get(GONE_MAX).copied().unwrap_or(i64::MIN).max(now_us.saturating_sub(GONE_US));
        self.files.retain(|_, mark| mark.gone_us.is_none_or(|gone| gone > oldest));
        fixed
    }

    /// Notes that an object is read: it is known among many others now, and alone only if it or lines of
    /// it were rejected.
    pub fn pass(&mut self, found: &Found) {
        if let Some(objects) = &mut self.objects {
            objects.pass(found);
        }
        let is_kept = self
            .files
            .get(&found.name)
            .is_some_and(|mark| !mark.rejected.is_empty() || mark.unread_by.is_some());
        if !is_kept || self.files.len() > OBJECTS_MAX {
            self.files.remove(&found.name);
        }
    }

    /// Returns whether nothing of a file is new by its size and time alone, read by these settings.
    pub fn is_read(&self, found: &Found, settings: &str) -> bool {
        if self.files.get(&found.name).is_some_and(|mark| mark.is_due_again(settings)) {
            return false;
        }
        let same =
            |mark: &FileOffset| mark.done && (mark.size, mark.modified_us) == (found.size, found.modified_us);
        self.objects.as_ref().is_some_and(|objects| objects.has(found))
            || self.files.get(&found.name).is_some_and(same)
    }

    /// Returns where to continue a file: `None` if nothing is new, the beginning if it is new, was
    /// replaced, or could not be read by other settings.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn resume(&self, found: &Found, file: &mut Handle, settings: &str) -> io::Result<Option<FileOffset>> {
        let fresh = FileOffset { size: found.size, modified_us: found.modified_us, ..FileOffset::default() };
        let Some(mark) = self.files.get(&found.name) else { return Ok(Some(fresh)) };
        let is_due_again = mark.is_due_again(settings);
        if !is_due_again && mark.done && (mark.size, mark.modified_us) == (found.size, found.modified_us) {
            return Ok(None);
        }
        if is_due_again || found.size < mark.covered || file.print(mark.covered)? != mark.print {
            let before = mark.before.iter().chain(&mark.rejected).copied().collect();
            return Ok(Some(FileOffset { before, ..fresh }));
        }
        if mark.done && mark.covered == found.size {
            return Ok(None);
        }
        let known =
            FileOffset { size: found.size, modified_us: found.modified_us, done: false, ..mark.clone() };
        Ok(Some(known))
    }
}
