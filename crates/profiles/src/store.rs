//! The file, and one transaction at a time in it.

use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tidegate_model::{Error, ErrorKind, Result};

/// What survives what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// What was committed survives a power cut: for a platform.
    PowerCut,
    /// What was committed survives the end of the process: for a sandbox.
    Process,
}

/// The built-in platform's state.
///
/// Everything happens in [`Profiles::transact`]. The calls block for as long as
/// SQLite works, so asynchronous callers use `spawn_blocking`.
pub struct Profiles {
    db: Mutex<Connection>,
}

/// The inside of one transaction. Users, events, purchases and catalogs have
/// their methods in files of their own.
pub struct Session<'a> {
    pub(crate) db: &'a Connection,
    /// The time at which everything in this transaction happens.
    pub now: Timestamp,
}

impl Profiles {
    /// Opens the file, creating it and its folder if they are missing; in
    /// memory without a path.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] when the file cannot be opened or is not ours.
    pub fn open(path: Option<&Path>, durability: Durability) -> Result<Profiles> {
        let db = match path {
            None => Connection::open_in_memory().map_err(storage("opening profiles in memory"))?,
            Some(path) => open_file(path)?,
        };
        let synchronous = match durability {
            Durability::PowerCut => "FULL",
            Durability::Process => "NORMAL",
        };
        db.set_prepared_statement_cache_capacity(64);
        db.busy_timeout(Duration::from_secs(10)).map_err(storage("opening profiles"))?;
        db.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
             PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;"
        ))
        .and_then(|()| db.execute_batch(include_str!("schema.sql")))
        .map_err(storage("preparing profiles"))?;
        Ok(Profiles { db: Mutex::new(db) })
    }

    /// Runs `work` in one transaction: all of it holds, or after an error none.
    ///
    /// # Errors
    /// Those of `work`, and [`ErrorKind::Storage`] when it cannot be committed.
    pub fn transact<T>(&self, now: Timestamp, work: impl FnOnce(&Session<'_>) -> Result<T>) -> Result<T> {
        // A panic elsewhere rolled its transaction back, so the lock's content is sound.
        let mut db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(storage("beginning a transaction in profiles"))?;
        let result = work(&Session { db: &transaction, now })?;
        transaction.commit().map_err(storage("committing to profiles"))?;
        Ok(result)
    }

    /// Overwrites what removed rows left behind: free pages, and the log of SQLite.
    pub(crate) fn scrub(&self) -> Result<()> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        db.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
            .map_err(storage("overwriting what was erased from profiles"))
    }
}

fn open_file(path: &Path) -> Result<Connection> {
    let doing = format!("opening {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|cause| Error::new(ErrorKind::Storage, doing.clone()).caused_by(cause))?;
    }
    private(path).map_err(|cause| Error::new(ErrorKind::Storage, doing.clone()).caused_by(cause))?;
    Connection::open(path).map_err(|cause| Error::new(ErrorKind::Storage, doing).caused_by(cause))
}

/// Creates the file if it is missing, so that only its owner can read it. SQLite gives
/// its other files the mode of this one.
fn private(file: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file).map(drop)
}

/// SQLite's failures as ours.
pub(crate) fn storage(doing: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |cause| Error::new(ErrorKind::Storage, doing).caused_by(cause)
}

/// A time as it is stored.
pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// A stored time; the epoch if it is out of range.
pub(crate) fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_owner_can_read_profiles() {
        let folder = tempfile::tempdir().expect("a folder");
        let profiles = Profiles::open(Some(&folder.path().join("profiles.db")), Durability::PowerCut);

        let files =
            std::fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("entry").path());
        let modes: Vec<_> =
            files.map(|file| file.metadata().expect("there").permissions().mode() & 0o777).collect();

        assert!(profiles.is_ok());
        assert!(modes.len() > 1, "the log of SQLite lies beside it");
        assert!(modes.iter().all(|mode| *mode == 0o600), "{modes:?}");
    }
}
