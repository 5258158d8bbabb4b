//! Puts a backup back.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tidegate_model::Error;

use super::copies::{Copies, sum_of};
use super::manifest::{ABOUT, Backup, SUMS, Sums, damaged};
use super::{blocking, copying, erased};
use crate::failure::of_io;
use crate::folder;
use crate::log::{LogConfig, copy};
use crate::store::recency;

/// Reads what a backup is of, without looking at its files.
///
/// # Errors
/// [`Missing`](tidegate_model::ErrorKind::Missing) if the folder is not a whole backup, [`Storage`](tidegate_model::ErrorKind::Storage)
/// if it is damaged or was made by a newer version.
pub fn look(backup: &Path) -> Result<Backup, Error> {
    let sums = Sums::read(backup)?;
    let path = backup.join(ABOUT);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(backup, ABOUT, "is missing"));
        }
        Err(cause) => return Err(of_io(cause, "reading", &path)),
    };
    let sum = sum_of(&bytes[..], &mut io::sink()).map_err(|cause| copying(cause, &path))?;
    if sums.0.get(ABOUT).is_none_or(|listed| listed.hash != sum.hash) {
        return Err(damaged(backup, ABOUT, "has changed since the backup was made"));
    }
    let about = Backup::decode(&bytes, backup)?;
    // Itself is listed and does not count itself.
    if sums.0.len() as u64 != about.files + 1 {
        return Err(damaged(backup, SUMS, "does not list all files"));
    }
    Ok(about)
}

/// Copies a backup into a data folder that is empty, comparing every file with its checksum, and gives
/// its event log an id of its own, so that destinations take no new event for one that they have.
///
/// # Errors
/// [`Storage`](tidegate_model::ErrorKind::Storage) with the name of the first file that is damaged or missing, or if
/// the folder cannot be written. What is in the folder then is of no use.
pub async fn restore(backup: &Path, log: LogConfig, data: &Path) -> Result<Backup, Error> {
    let about = look(backup)?;
    let (from, to) = (backup.to_path_buf(), data.to_path_buf());
    blocking(move || {
        let sums = Sums::read(&from)?;
        folder::create(&to).map_err(|cause| of_io(cause, "making the folder", &to))?;
        let mut copies = Copies::new(&to);
        for (name, listed) in sums.0.iter().filter(|(name, _)| *name != ABOUT) {
            let path = from.join(name);
            if !copies.copy(&path, name).map_err(|cause| copying(cause, &path))? {
                return Err(damaged(&from, name, "is missing"));
            }
            if copies.sums.0.get(name).is_none_or(|sum| sum.hash != listed.hash) {
                return Err(damaged(&from, name, "has changed since the backup was made"));
            }
        }
        copies.sync().map_err(|cause| copying(cause, &to))
    })
    .await?;
    if data.join("events").is_dir() {
        copy::fork(log).await?;
    }
    // An erasure from now on is noted in it, too.
    let path = backup.canonicalize().map_err(|cause| of_io(cause, "reading", backup))?;
    erased::remember(data, &path)?;
    Ok(about)
}

/// Copies the mark of a data folder that is replaced into the one that replaces it: by it, tables on a server are
/// recognized that are older than what was sent.
///
/// # Errors
/// [`Storage`](tidegate_model::ErrorKind::Storage) if it cannot be read or written.
pub fn keep_marks(replaced: &Path, data: &Path) -> Result<(), Error> {
    let (from, to) = (replaced.join(recency::FOLDER), data.join(recency::FOLDER));
    let entries = match fs::read_dir(&from) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(of_io(cause, "listing", &from)),
    };
    folder::create(&to).map_err(|cause| of_io(cause, "making the folder", &to))?;
    for entry in entries.flatten() {
        let target = to.join(entry.file_name());
        fs::copy(entry.path(), &target).map_err(|cause| copying(cause, &target))?;
    }
    Ok(())
}

/// Whether a process works on a data folder: it appends to the event log or runs a sync.
///
/// # Errors
/// [`Storage`](tidegate_model::ErrorKind::Storage) if the folder cannot be read.
pub fn is_in_use(data: &Path) -> Result<bool, Error> {
    let mut locks = vec![data.join("events/lock")];
    match fs::read_dir(data.join("locks")) {
        Ok(entries) => locks.extend(entries.flatten().map(|entry| entry.path())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => return Err(of_io(cause, "listing", data)),
    }
    let held = |path: &std::path::PathBuf| {
        let lock = File::open(path).map(|file| file.try_lock_shared());
        matches!(lock, Ok(Err(fs::TryLockError::WouldBlock)))
    };
    Ok(locks.iter().any(held))
}

#[cfg(test)]
mod tests {
    use tidegate_model::ErrorKind;

    use super::*;

    #[test]
    fn a_folder_that_is_no_backup_is_said_to_be_none() {
        let folder = tempfile::tempdir().expect("folder");
        let error = look(folder.path()).expect_err("no backup");
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert!(error.message().contains("it has no SHA256SUMS"), "{error:?}");
    }
}
