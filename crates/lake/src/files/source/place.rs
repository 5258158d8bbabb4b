//! How far each file was read: what a checkpoint holds.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};
use tidegate_model::{Checkpoint, Error, Fingerprint, Value};

use super::listing::Found;

/// Bytes at each end of the part that was read, by which it is known again.
const PRINT_BYTES: u64 = 16 * 1024;

/// How far every file of a selection was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// By name.
    pub files: BTreeMap<String, Mark>,
}

/// How far one file was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Its length when it was read.
    pub size: u64,
    /// When it had been changed then, in microseconds.
    pub modified_us: i64,
    /// Where to read on: a byte of a text file, a row of a Parquet file.
    pub offset: u64,
    /// Bytes behind `offset` that were read as a last line without a line break.
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
}

impl Mark {
    /// Whether a file can have been read as far: no file has more bytes, rows or lines.
    fn is_possible(&self) -> bool {
        const MOST: u64 = i64::MAX as u64;
        [self.size, self.offset, self.torn, self.line, self.covered].iter().all(|count| *count <= MOST)
    }
}

impl Place {
    /// The place in a checkpoint.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a checkpoint of another maker.
    pub fn of(checkpoint: Option<&Checkpoint>) -> Result<Place, Error> {
        let Some(checkpoint) = checkpoint else { return Ok(Place::default()) };
        let foreign = || {
            Error::settings("the stored place of this sync is not one in files")
                .hint("the sync had another source before: reset it, and it reads every file again")
        };
        let place = Place::deserialize(&checkpoint.0).map_err(|cause| foreign().caused_by(cause))?;
        if place.files.values().all(Mark::is_possible) { Ok(place) } else { Err(foreign()) }
    }

    /// The place as a checkpoint.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(serde_json::to_value(self).unwrap_or_default())
    }

    /// Forgets the files that are gone.
    pub fn keep_only(&mut self, found: &[Found]) {
        let names: HashSet<&str> = found.iter().map(|file| file.name.as_str()).collect();
        self.files.retain(|name, _| names.contains(name.as_str()));
    }

    /// Where to read a file on: `None` where nothing is new, a fresh mark for
    /// one that is new or was replaced.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub fn resume(&self, found: &Found, file: &mut File) -> io::Result<Option<Mark>> {
        let fresh = Mark { size: found.size, modified_us: found.modified_us, ..Mark::default() };
        let Some(mark) = self.files.get(&found.name) else { return Ok(Some(fresh)) };
        if mark.done && (mark.size, mark.modified_us) == (found.size, found.modified_us) {
            return Ok(None);
        }
        if found.size < mark.covered || print(file, mark.covered)? != mark.print {
            return Ok(Some(fresh));
        }
        if mark.done && mark.covered == found.size {
            return Ok(None);
        }
        let known = Mark { size: found.size, modified_us: found.modified_us, done: false, ..mark.clone() };
        Ok(Some(known))
    }
}

/// Hash of both ends of the first `covered` bytes of a file.
///
/// # Errors
/// What keeps the file from being read.
pub fn print(file: &mut File, covered: u64) -> io::Result<String> {
    let head = covered.min(PRINT_BYTES);
    let tail = (covered - head).min(PRINT_BYTES);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.by_ref().take(head).read_to_end(&mut bytes)?;
    file.seek(SeekFrom::Start(covered - tail))?;
    file.by_ref().take(tail).read_to_end(&mut bytes)?;
    let value = Value::Bytes(bytes.into());
    Ok(Fingerprint::of_values([&value], &mut Vec::new()).to_string())
}
