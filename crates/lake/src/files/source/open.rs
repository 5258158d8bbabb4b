//! One file that is being read.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::{Clock, Columns, Error, Reason, Text, Value};

use super::content::{Broken, Content};
use super::handle::Handle;
use super::listing::Found;
use super::offsets::FileOffset;
use super::settings::{Files, Format};

/// A file that is being read.
pub struct Open<'a> {
    /// What the listing says of it.
    pub found: &'a Found,
    /// A handle to know it again by, with a position of no meaning.
    pub file: Handle,
    /// The text before the number in the location of a line or a row.
    pub prefix: Text,
    /// How it is written, if anything says so.
    pub format: Result<Format, Reason>,
    /// The columns of the selection.
    pub columns: &'a Arc<Columns>,
    /// How far it was read.
    pub mark: FileOffset,
    /// Columns from the names of its folders.
    pub folders: Vec<(String, Value)>,
    /// Whether it was said that nothing is wrong with it, or what is.
    pub told: bool,
    /// The time.
    pub clock: &'a dyn Clock,
    /// How long it must be unchanged to be finished.
    pub still_after: Duration,
    /// Where a copy of an object may be kept while it is read.
    pub copies: &'a Path,
}

impl Open<'_> {
    /// Opens its text at an offset.
    ///
    /// # Errors
    /// If it cannot be opened, or is no text file that can be read.
    pub fn content(&self, files: &Files, offset: u64) -> Result<Content, Stop> {
        let file = match &self.file {
            // Its pieces are shared: the header of a small object is not asked for twice.
            object @ Handle::Object(..) => object.again(),
            Handle::Disk(_) => self.found.open(),
        };
        Ok(Content::open(file.map_err(Broken::System)?, offset, files.encoding)?)
    }

    /// Opens it as a file on this machine, with a position of its own: a copy, if it is an object.
    ///
    /// # Errors
    /// If it cannot be opened or copied.
    pub fn on_disk(&self) -> Result<File, Stop> {
        let file = self.found.open().and_then(|file| file.on_disk(self.copies));
        Ok(file.map_err(Broken::System)?)
    }

    /// Returns the name of a line or a row.
    pub fn place(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    /// Returns whether the file has not been changed for a while. Asked after its end was
    /// read, so that what is still being written is not taken for all.
    pub fn is_still(&self) -> bool {
        self.file.is_still(self.clock, self.still_after)
    }

    /// Returns the names of the file's columns and of those that its folders add.
    pub fn with_folders(&mut self, mut names: Vec<String>) -> Vec<String> {
        self.folders.retain(|(name, _)| !names.contains(name));
        names.extend(self.folders.iter().map(|(name, _)| name.clone()));
        names
    }

    /// Writes the values that the names of folders give.
    pub fn write_folders(&self, values: &mut [Value], indexes: &[usize]) {
        for ((_, value), target) in self.folders.iter().zip(indexes) {
            values[*target] = value.clone();
        }
    }
}

/// Returns the text before the number in the location of a line or a row of a file.
pub fn prefix(name: &str, format: Option<&Format>) -> Text {
    match format {
        Some(Format::Parquet) => format!("{name}, row ").into(),
        _ => format!("{name}:").into(),
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
