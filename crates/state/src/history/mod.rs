//! The status of every row, in files that other programs can read:
//! `history/<sync>/<day>/<run>-<first block>-<last block>.parquet`.
//!
//! A file is written under another name, synced and renamed, so whatever ends in
//! `.parquet` is whole; and its name says which blocks of its run it holds, so a
//! block that is also still in the store is never counted twice.

pub(crate) mod block;
mod dictionary;
pub(crate) mod erase;
mod group;
pub(crate) mod outcomes;
mod pages;
pub(crate) mod parquet;
pub(crate) mod read;
mod status_runs;

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tidegate_model::store::{RowEntry, StatusKind};
use tidegate_model::{Error, RowHash, RunId, SyncId};

use crate::folder;
use crate::store::failure;

/// The folder of history files.
#[derive(Clone)]
pub(crate) struct History {
    root: PathBuf,
}

/// One file, as described by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistoryFile {
    pub(crate) path: PathBuf,
    /// The sync's folder; the sync's exact name is in the file.
    pub(crate) folder: String,
    pub(crate) day: Date,
    pub(crate) run: RunId,
    /// The first and the last block of the run that it holds.
    pub(crate) blocks: (u64, u64),
}

/// Which rows of a file or block are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
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
        self.user.is_none() && self.status.is_none() && self.from.is_none() && self.to.is_none()
    }

    /// Whether rows committed at this time are wanted.
    pub(crate) fn wants_time(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }

    /// Whether rows committed on this day (UTC) can be wanted.
    pub(crate) fn wants_day(&self, day: Date) -> bool {
        let day_of = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        self.from.is_none_or(|from| day >= day_of(from)) && self.to.is_none_or(|to| day <= day_of(to))
    }

    pub(crate) fn wants(&self, row: &block::BlockRow<'_>) -> bool {
        self.status.is_none_or(|status| status == row.status.kind())
            && self.user.as_ref().is_none_or(|user| *user == row.user)
    }
}

impl HistoryFile {
    /// Whether it holds a block of a run.
    pub(crate) fn holds(&self, run: &RunId, block: u64) -> bool {
        self.run == *run && (self.blocks.0..=self.blocks.1).contains(&block)
    }

    fn parse(folder: &str, day: Date, path: PathBuf) -> Option<HistoryFile> {
        let name = path.file_name()?.to_str()?.strip_suffix(".parquet")?;
        let (rest, last) = name.rsplit_once('-')?;
        let (run, first) = rest.rsplit_once('-')?;
        let blocks = (first.parse().ok()?, last.parse().ok()?);
        Some(HistoryFile { folder: folder.to_owned(), day, run: RunId::new(run), blocks, path })
    }
}

impl History {
    /// The history in a data folder.
    pub(crate) fn new(data: &Path) -> History {
        History { root: data.join("history") }
    }

    /// Where the file of these blocks belongs.
    pub(crate) fn path_of(&self, sync: &SyncId, day: Date, run: &RunId, blocks: (u64, u64)) -> PathBuf {
        let (first, last) = blocks;
        let folder = self.root.join(folder::file_name(sync.as_str())).join(day.to_string());
        folder.join(format!("{}-{first:06}-{last:06}.parquet", folder::file_name(run.as_str())))
    }

    /// The files of one sync or of all; those of the newest day and run first.
    pub(crate) fn files(&self, sync: Option<&SyncId>) -> Result<Vec<HistoryFile>, Error> {
        let mut files = Vec::new();
        for (folder, day, path) in self.days(sync)? {
            for entry in list(&path)? {
                files.extend(HistoryFile::parse(&folder, day, entry.path()));
            }
        }
        files.sort_by(|a, b| (b.day, &b.run, b.blocks).cmp(&(a.day, &a.run, a.blocks)));
        Ok(files)
    }

    /// Removes the days before `day`.
    pub(crate) fn trim(&self, day: Date) -> Result<(), Error> {
        for (_, _, path) in self.days(None)?.into_iter().filter(|(_, at, _)| *at < day) {
            match fs::remove_dir_all(&path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    return Err(failure::of_io(cause, "removing old history from", &path));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes files that a process that died had begun to write. Only for the
    /// one who may write.
    pub(crate) fn tidy(&self, sync: &SyncId) -> Result<(), Error> {
        for (_, _, path) in self.days(Some(sync))? {
            for entry in list(&path)? {
                let path = entry.path();
                if path.extension().is_some_and(|extension| extension == parquet::UNFINISHED) {
                    fs::remove_file(&path).map_err(|cause| failure::of_io(cause, "removing", &path))?;
                }
            }
        }
        Ok(())
    }

    fn days(&self, sync: Option<&SyncId>) -> Result<Vec<(String, Date, PathBuf)>, Error> {
        let folders = match sync {
            Some(sync) => vec![folder::file_name(sync.as_str())],
            None => list(&self.root)?.iter().filter_map(name_of).collect(),
        };
        let mut days = Vec::new();
        for folder in folders {
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

fn name_of(entry: &DirEntry) -> Option<String> {
    entry.file_name().into_string().ok()
}

/// What is in a folder; nothing if there is none.
fn list(folder: &Path) -> Result<Vec<DirEntry>, Error> {
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
        let run = RunId::new("20261122T034501-f7a0b1");
        let path = history.path_of(&SyncId::new("orders"), date(2026, 11, 22), &run, (1, 1_234_567));
        fs::create_dir_all(path.parent().expect("folder")).expect("made");
        fs::write(&path, b"").expect("written");
        fs::write(path.with_extension("tmp"), b"").expect("written");

        let files = history.files(None).expect("listed");

        assert_eq!(files.len(), 1);
        assert_eq!((files[0].day, &files[0].run), (date(2026, 11, 22), &run));
        assert!(files[0].holds(&run, 1) && files[0].holds(&run, 1_234_567));
        assert!(!files[0].holds(&run, 1_234_568) && !files[0].holds(&RunId::new("other"), 1));
    }
}
