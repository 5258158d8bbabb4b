//! History files in the bucket, and the copies of them on this machine.
//!
//! A file whose rows were erased in part gets another name, so a copy is never out of date. Copies that
//! nothing lists are removed, and the oldest ones if all of them take too much space.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt as _;
use jiff::civil::Date;
use tidegate_model::{Error, ErrorKind};

use super::dialect::Database;
use super::statement::sql;
use super::{bucket, history_files};
use crate::blocking::blocking;
use crate::failure::of_io;
use crate::folder;
use crate::history::{self, History, HistoryFile, erase, parquet};
use crate::shared_files::{SharedFiles, Uploaded, is_left_behind};

/// The name of the bucket in the list of files, where others have that of a data folder.
pub(super) const IN_BUCKET: &str = "bucket";
/// The folder in the bucket.
const FOLDER: &str = "history";
/// How long a file that is not complete may be written to.
const UNFINISHED_FOR: Duration = Duration::from_secs(3_600);
/// The file beside the copies that says how many users had been erased when they were tidied last.
const TIDIED_AFTER: &str = "erasures";

/// History files in the bucket.
pub(super) struct SharedHistory {
    database: Arc<Database>,
    files: SharedFiles,
    history: History,
    /// How many bytes of copies may stay on this machine.
    cache_bytes: u64,
    /// Bytes that were copied since they were counted.
    copied: AtomicU64,
}

impl SharedHistory {
    pub(super) fn new(
        database: Arc<Database>,
        files: SharedFiles,
        history: History,
        cache_bytes: u64,
    ) -> SharedHistory {
        SharedHistory { database, files, history, cache_bytes, copied: AtomicU64::new(0) }
    }

    /// Uploads a file of this machine.
    ///
    /// # Errors
    /// If it cannot be read, and those of the bucket.
    pub(super) async fn publish(&self, name: &str) -> Result<Uploaded, Error> {
        self.files.upload(&key(name), &self.history.path_of(name)).await
    }

    /// Removes a file that could not be listed, unless another machine has listed one of its name.
    ///
    /// # Errors
    /// Those of the database and the bucket.
    pub(super) async fn withdraw(&self, name: &str) -> Result<(), Error> {
        if history_files::any(&self.database, IN_BUCKET, Some(name)).await? {
            return Ok(());
        }
        self.files.remove(&key(name)).await?;
        self.remove_copy(name.to_owned()).await
    }

    /// Copies a file to this machine. Returns false if it is not in the bucket.
    ///
    /// # Errors
    /// If it cannot be written, and those of the bucket.
    pub(super) async fn fetch(&self, name: &str) -> Result<bool, Error> {
        if self.copied.load(Ordering::Relaxed) > self.cache_bytes / 4 {
            self.bound().await?;
        }
        let path = self.history.path_of(name);
        let found = self.files.download(&key(name), &path).await?;
        let bytes = path.metadata().map_or(0, |about| about.len());
        self.copied.fetch_add(bytes, Ordering::Relaxed);
        if found && !self.is_listed(name).await? {
            // A user was erased from it meanwhile: the copy has the rows.
            self.remove_copy(name.to_owned()).await?;
            return Ok(false);
        }
        Ok(found)
    }

    /// Returns whether a file is still listed.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) async fn is_listed(&self, name: &str) -> Result<bool, Error> {
        history_files::any(&self.database, IN_BUCKET, Some(name)).await
    }

    /// Moves the files that were listed in a data folder into the bucket.
    ///
    /// # Errors
    /// Those of the database and the bucket; the rest is moved by a later call.
    pub(super) async fn take_over(&self, folder: &str) -> Result<(), Error> {
        for name in history_files::names(&self.database, folder).await? {
            let path = self.history.path_of(&name);
            if path.exists() {
                let uploaded = self.publish(&name).await?;
                uploaded.still_there()?;
                history_files::relist(&self.database, (folder, &name), (IN_BUCKET, &name)).await?;
            } else {
                history_files::remove(&self.database, folder, &name).await?;
            }
        }
        Ok(())
    }

    /// Returns whether a user was erased since the files of this machine were tidied.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) async fn are_erasures_new(&self) -> Result<bool, Error> {
        Ok(self.tidied_after().await? != Some(self.erasures().await?))
    }

    /// Removes files of this machine that nothing lists: their rows are in tables, or in other files. Files that are
    /// not complete go after an hour, and at once if a user was erased. Only for the one who may write.
    ///
    /// # Errors
    /// Those of the database and the disk.
    pub(super) async fn tidy(&self) -> Result<(), Error> {
        let erasures = self.erasures().await?;
        let kept_for =
            if self.tidied_after().await? == Some(erasures) { UNFINISHED_FOR } else { Duration::ZERO };
        self.remove_unlisted(kept_for).await?;
        if kept_for.is_zero() {
            let path = self.history.path_of(TIDIED_AFTER);
            let text = erasures.to_string();
            blocking(move || {
                let written = folder::create_file(&path).and_then(|mut file| file.write_all(text.as_bytes()));
                written.map_err(|cause| of_io(cause, "writing", &path))
            })
            .await?;
        }
        Ok(())
    }

    /// Returns how many users were erased so far.
    async fn erasures(&self) -> Result<u64, Error> {
        let record = self.database.first(sql("SELECT COUNT(*) AS noted FROM erasures")).await?;
        record.map_or(Ok(0), |record| record.count("noted"))
    }

    /// Returns after how many erasures the files of this machine were tidied, if that is known.
    async fn tidied_after(&self) -> Result<Option<u64>, Error> {
        let path = self.history.path_of(TIDIED_AFTER);
        // One that was written in part is written again.
        blocking(move || Ok(fs::read_to_string(path).ok().and_then(|text| text.parse().ok()))).await
    }

    async fn remove_unlisted(&self, kept_for: Duration) -> Result<(), Error> {
        let history = self.history.clone();
        for (folder, day, path) in blocking(move || history.days()).await? {
            let listed = history_files::names_of_day(&self.database, day).await?;
            let named = move |file: &str| listed.contains(&format!("{folder}/{day}/{file}"));
            blocking(move || remove_unlisted(&path, kept_for, named)).await?;
        }
        Ok(())
    }

    /// Removes the oldest copies of this machine, if all of them take too much space.
    ///
    /// # Errors
    /// Those of the database and the disk.
    pub(super) async fn bound(&self) -> Result<(), Error> {
        self.copied.store(0, Ordering::Relaxed);
        let history = self.history.clone();
        let mut copies = blocking(move || copies(&history)).await?;
        let mut bytes: u64 = copies.iter().map(|copy| copy.bytes).sum();
        if bytes <= self.cache_bytes {
            return Ok(());
        }
        let listed = self.listed().await?;
        copies.sort_unstable_by_key(|copy| copy.written);
        for copy in copies.into_iter().filter(|copy| listed.contains(&copy.name)) {
            if bytes <= self.cache_bytes {
                break;
            }
            bytes -= copy.bytes;
            self.remove_copy(copy.name).await?;
        }
        Ok(())
    }

    /// Removes files of the bucket that nothing lists: of days before `before`, those that a machine left
    /// behind when it died, and in an erasure those whose rows are listed in another version.
    ///
    /// # Errors
    /// Those of the database and the bucket.
    pub(super) async fn sweep(&self, before: Option<Date>, is_erasure: bool) -> Result<(), Error> {
        if !bucket::is_ours(&self.database, &self.files).await? {
            let address = self.files.address();
            tracing::warn!("{address} does not hold the id of this state: no old history is removed from it");
            return Ok(());
        }
        let now = bucket::now(&self.database, &self.files).await?;
        let listed = self.listed().await?;
        let stems: HashSet<&str> = listed.iter().map(|name| history::stem_of(name)).collect();
        let mut files = self.files.list(FOLDER);
        while let Some(file) = files.try_next().await? {
            let Some(name) = file.name.strip_prefix(FOLDER).and_then(|name| name.strip_prefix('/')) else {
                continue;
            };
            let Some(about) = HistoryFile::parse(&self.history, name) else { continue };
            let is_old = before.is_some_and(|day| about.day < day);
            // An erasure that was cut off had listed the version without the user, and not removed this one.
            let is_replaced = is_erasure && stems.contains(history::stem_of(name));
            let is_due = is_old || is_replaced || is_left_behind(&file, now);
            if is_due && !listed.contains(name) && !self.is_listed(name).await? {
                self.files.remove(&file.name).await?;
            }
        }
        Ok(())
    }

    /// Erases a user from all files. Returns how many rows these were.
    ///
    /// # Errors
    /// Those of the database, the disk and the bucket; if a file is damaged, after all others were erased from.
    /// What was not erased is by the next call.
    pub(super) async fn erase(&self, user: &str) -> Result<u64, Error> {
        self.remove_unlisted(Duration::ZERO).await?;
        let (mut rows, mut failed) = (0, None);
        let mut names = history_files::names(&self.database, IN_BUCKET).await?;
        while !names.is_empty() {
            let mut replaced = HashSet::new();
            for name in names {
                match self.erase_in(&name, user).await {
                    Ok(Some(of_file)) => rows += of_file,
                    Ok(None) => _ = replaced.insert(history::stem_of(&name).to_owned()),
                    Err(error) if error.kind() == ErrorKind::Storage => failed = failed.or(Some(error)),
                    // Of the bucket or the database: the other files would not be reached either.
                    Err(error) => return Err(error),
                }
            }
            names = history_files::names(&self.database, IN_BUCKET).await?;
            names.retain(|name| replaced.contains(history::stem_of(name)));
        }
        self.sweep(None, true).await?;
        failed.map_or(Ok(rows), Err)
    }

    /// Erases a user from one file. Returns how many rows these were; `None` if another machine has listed another
    /// version meanwhile, which lacks the rows of another user.
    async fn erase_in(&self, name: &str, user: &str) -> Result<Option<u64>, Error> {
        let path = self.history.path_of(name);
        let is_here = path.exists();
        if !is_here && !self.files.download(&key(name), &path).await? {
            return Ok(self.is_listed(name).await?.then_some(0));
        }
        let version = history::new_version_of(name);
        let (target, id) = (self.history.path_of(&version), user.to_owned());
        let rows = blocking(move || erase::erase_into(&path, &target, &id)).await?;
        if rows > 0 {
            let uploaded = self.publish(&version).await?;
            uploaded.still_there()?;
            if !history_files::relist(&self.database, (IN_BUCKET, name), (IN_BUCKET, &version)).await? {
                self.withdraw(&version).await?;
                self.remove_copy(name.to_owned()).await?;
                return Ok(None);
            }
            self.files.remove(&key(name)).await?;
        }
        if rows > 0 || !is_here {
            self.remove_copy(name.to_owned()).await?;
        }
        Ok(Some(rows))
    }

    async fn listed(&self) -> Result<HashSet<String>, Error> {
        Ok(history_files::names(&self.database, IN_BUCKET).await?.into_iter().collect())
    }

    async fn remove_copy(&self, name: String) -> Result<(), Error> {
        let path = self.history.path_of(&name);
        blocking(move || remove(&path)).await
    }
}

/// The name of a history file in the bucket.
fn key(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// A file of this machine.
struct LocalCopy {
    name: String,
    bytes: u64,
    written: SystemTime,
}

fn copies(history: &History) -> Result<Vec<LocalCopy>, Error> {
    let copy = |name: String| {
        // One that is gone takes no space.
        let about = history.path_of(&name).metadata().ok()?;
        Some(LocalCopy { name, bytes: about.len(), written: about.modified().ok()? })
    };
    Ok(history.names()?.into_iter().filter_map(copy).collect())
}

/// Removes files of a folder that are not named, and those that were begun so long ago.
fn remove_unlisted(folder: &Path, kept_for: Duration, named: impl Fn(&str) -> bool) -> Result<(), Error> {
    for entry in history::list(folder)? {
        let path = entry.path();
        let is_unfinished = path.extension().is_some_and(|extension| extension == parquet::UNFINISHED);
        let modified = || entry.metadata().and_then(|about| about.modified()).ok()?.elapsed().ok();
        let stays = match is_unfinished {
            true => !kept_for.is_zero() && modified().is_none_or(|age| age < kept_for),
            false => named(&entry.file_name().to_string_lossy()),
        };
        if !stays {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(of_io(cause, "removing", path)),
        _ => Ok(()),
    }
}
