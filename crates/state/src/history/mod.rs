//! The status of every row, in files that other programs can read:
//! `history/<sync>/<day>/<first block>..<last block>.parquet`, a block being `<run>-<number>`.
//!
//! The store lists the files (`store/history_files.rs`). A file is written under
//! another name, synced and renamed, so whatever ends in `.parquet` is whole. Its name says which
//! blocks it holds, so that one that was written right before a crash is found again.
//!
//! With a bucket the files are there, and those of this machine are copies
//! (`store/shared_history.rs`).

pub(crate) mod block;
mod dictionary;
pub(crate) mod erase;
mod group;
pub(crate) mod outcomes;
mod pages;
pub(crate) mod parquet;
pub(crate) mod read;
pub(crate) mod status_runs;
pub(crate) mod user_marks;

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tidegate_model::store::{RowEntry, StatusKind};
use tidegate_model::{Error, RowHash, RunId, SyncId};

use crate::failure;
use crate::folder;

/// The folder of history files.
#[derive(Clone)]
pub(crate) struct History {
    root: PathBuf,
}

/// A block of rows: the run that committed it, and its number in that run. The blocks of a sync
/// are in the order of their time.
pub(crate) type BlockId = (RunId, u64);

/// One file, as described by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistoryFile {
    /// Below the history folder.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// Whether it is in the bucket.
    pub(crate) is_shared: bool,
    /// The sync's folder; the sync's exact name is in the file.
    pub(crate) folder: String,
    pub(crate) day: Date,
    pub(crate) first: BlockId,
    pub(crate) last: BlockId,
}

/// Which rows of a file or block are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) run: Option<RunId>,
    pub(crate) user: Option<String>,
    pub(crate) status: Option<StatusKind>,
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
}

/// One line of the ledger, with the hash of its row.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) entry: RowEntry,
    pub(crate) row: RowHash,
}

impl Filter {
    /// Whether every row is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        self.run.is_none()
            && self.user.is_none()
            && self.status.is_none()
            && self.from.is_none()
            && self.to.is_none()
    }

    /// Whether a row is wanted, if its block is.
    pub(crate) fn wants(&self, row: &block::BlockRow<'_>) -> bool {
        self.status.is_none_or(|status| status == row.status.kind())
            && self.user.as_ref().is_none_or(|user| *user == row.user)
    }
}

impl HistoryFile {
    /// Returns the file of a name below the history folder; `None` if it is not one of ours.
    pub(crate) fn parse(root: &History, name: &str) -> Option<HistoryFile> {
        let mut pieces = name.split('/');
        let (folder, day, file) = (pieces.next()?, pieces.next()?, pieces.next()?);
        let (first, last) = file.strip_suffix(".parquet")?.split_once("..")?;
        let last = last.split_once('.').map_or(last, |(last, _)| last);
        let block = |text: &str| {
            let (run, number) = text.rsplit_once('-')?;
            Some((RunId::new(run), number.parse().ok()?))
        };
        Some(HistoryFile {
            name: name.to_owned(),
            path: root.root.join(name),
            is_shared: false,
            folder: folder.to_owned(),
            day: day.parse().ok()?,
            first: block(first)?,
            last: block(last)?,
        })
    }
}

/// Returns the name of a file without its version: the same rows, but for those that were erased.
pub(crate) fn stem_of(name: &str) -> &str {
    let at = name.rfind("..").map_or(0, |at| at + 2);
    name[at..].find('.').map_or(name, |end| &name[..at + end])
}

/// Returns another name for a file of the same blocks, which is not used again: some of its rows were erased, or
/// another machine may write one, too.
pub(crate) fn new_version_of(name: &str) -> String {
    format!("{}.{}.parquet", stem_of(name), uuid::Uuid::new_v4().simple())
}

impl History {
    /// The history in a data folder.
    pub(crate) fn new(data: &Path) -> History {
        History { root: data.join("history") }
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the name of the file of these blocks, below the folder.
    pub(crate) fn name_of(&self, sync: &SyncId, day: Date, first: &BlockId, last: &BlockId) -> String {
        let block = |(run, number): &BlockId| format!("{}-{number:06}", folder::file_name(run.as_str()));
        format!("{}/{day}/{}..{}.parquet", self.folder_of(sync), block(first), block(last))
    }

    /// Returns the name of the folder of a sync.
    pub(crate) fn folder_of(&self, sync: &SyncId) -> String {
        folder::file_name(sync.as_str())
    }

    /// Returns the path of a name.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Returns the names of all files that are there, without asking the store.
    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for (folder, day, _) in self.days()? {
            names.extend(self.names_of_day(&folder, day)?);
        }
        Ok(names)
    }

    /// Returns the names of the files of one day of a sync that are there.
    pub(crate) fn names_of_day(&self, folder: &str, day: Date) -> Result<Vec<String>, Error> {
        let entries = list(&self.root.join(folder).join(day.to_string()))?;
        let names = entries.iter().filter_map(name_of).filter(|name| name.ends_with(".parquet"));
        Ok(names.map(|name| format!("{folder}/{day}/{name}")).collect())
    }

    /// Removes the days before `day`.
    pub(crate) fn trim(&self, day: Date) -> Result<(), Error> {
        for (_, _, path) in self.days()?.into_iter().filter(|(_, at, _)| *at < day) {
            match fs::remove_dir_all(&path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    return Err(failure::of_io(cause, "removing old history from", &path));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes files of a day that a process that died had begun to write. Only for the
    /// one who may write.
    pub(crate) fn tidy(&self, folder: &str, day: Date) -> Result<(), Error> {
        for entry in list(&self.root.join(folder).join(day.to_string()))? {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == parquet::UNFINISHED) {
                fs::remove_file(&path).map_err(|cause| failure::of_io(cause, "removing", &path))?;
            }
        }
        Ok(())
    }

    /// Removes all files that a process that died had begun to write. Only for the one who may write.
    pub(crate) fn tidy_all(&self) -> Result<(), Error> {
        self.days()?.into_iter().try_for_each(|(folder, day, _)| self.tidy(&folder, day))
    }

    /// Returns the folders of syncs, and the days in them, that are there.
    pub(crate) fn days(&self) -> Result<Vec<(String, Date, PathBuf)>, Error> {
        let mut days = Vec::new();
        for folder in list(&self.root)?.iter().filter_map(name_of) {
            for entry in list(&self.root.join(&folder))? {
                // Whatever is no day is not ours.
                if let Some(day) = name_of(&entry).and_then(|name| name.parse().ok()) {
                    days.push((folder.clone(), day, entry.path()));
                }
            }
        }
        Ok(days)
    }
}

/// Returns the day in whose folder a block belongs.
pub(crate) fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn name_of(entry: &DirEntry) -> Option<String> {
    entry.file_name().into_string().ok()
}

/// What is in a folder; nothing if there is none.
pub(crate) fn list(folder: &Path) -> Result<Vec<DirEntry>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries.collect::<Result<Vec<DirEntry>, io::Error>>(),
        Err(cause) => Err(cause),
    };
    match entries {
        Ok(entries) => Ok(entries),
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(cause) => Err(failure::of_io(cause, "listing", folder)),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_file_name_tells_what_the_file_holds() {
        let data = tempfile::tempdir().expect("folder");
        let history = History::new(data.path());
        let (first, last) =
            ((RunId::new("20261122T034501-f7a0b1"), 1), (RunId::new("20261122T044501-f7a0b1"), 1_234_567));
        let name = history.name_of(&SyncId::new("orders"), date(2026, 11, 22), &first, &last);
        let path = history.path_of(&name);
        fs::create_dir_all(path.parent().expect("folder")).expect("made");
        fs::write(&path, b"").expect("written");
        fs::write(path.with_extension("tmp"), b"").expect("written");

        let names = history.names().expect("listed");

        assert_eq!(names, [name.as_str()]);
        let file = HistoryFile::parse(&history, &name).expect("a file of ours");
        let blocks = (date(2026, 11, 22), first, last);
        assert_eq!((file.day, file.first, file.last), blocks);
        let version = new_version_of(&new_version_of(&name));
        let file = HistoryFile::parse(&history, &version).expect("a file of ours");
        assert_eq!((file.day, file.first, file.last), blocks);
        assert_eq!((stem_of(&version), stem_of(&name)), (stem_of(&name), name.trim_end_matches(".parquet")));
        assert_eq!(HistoryFile::parse(&history, "orders/2026-11-22/notes.parquet"), None);
    }
}
