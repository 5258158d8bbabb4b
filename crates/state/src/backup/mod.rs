//! Copies of all state, made while other processes work on it, and putting one back.
//!
//! A backup is a folder like the data folder: the state database as one transaction saw it, the
//! files that this database names, then the event log, which so reaches at least as far as the
//! checkpoints of the exports, and the databases of connectors. Whoever has it can read what is in
//! it, as with the data folder itself.

mod copies;
mod erased;
mod list;
mod manifest;
mod restore;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_model::{Error, ErrorKind};

use self::copies::Copies;
pub use self::erased::{NotedErasure, erase_and_note, erased_since, lacks_key};
use self::manifest::ABOUT;
pub use self::manifest::Backup;
pub use self::restore::{is_in_use, keep_marks, look, restore};
use crate::failure::of_io;
use crate::log::copy::CopyTarget as _;
use crate::seal::Seal;
use crate::store::contents::Contents;
use crate::store::dialect::{Database, FORMER_VERSION};
use crate::store::{migrations, recency, sqlite_copy};
use crate::{StateConfig, StoreLocation, folder};

/// The state database.
const DATABASE: &str = "tidegate.db";
/// The master key, and the one of a rotation under way.
const KEYS: [&str; 2] = ["master.key", "master.key.next"];
/// How often the database is copied again because a file that it names was replaced meanwhile.
const ATTEMPTS: u32 = 20;
/// What is in no backup: locks, work in progress, what is copied in its own way, and the mark by which an older state
/// is recognized.
const LEFT_OUT: &[&str] = &[
    "locks",
    "compared",
    "events",
    "history",
    "lookback",
    "project",
    DATABASE,
    KEYS[0],
    KEYS[1],
    recency::FOLDER,
];

/// How a backup is made.
#[derive(Clone, Copy, Debug)]
pub struct BackupOptions<'a> {
    /// The version of the program that makes it.
    pub version: &'a str,
    /// Whether the master key is copied, if it is in the data folder.
    pub master_key: bool,
}

/// Copies all state into a folder that is empty or new, while other processes may work on it.
///
/// Of a PostgreSQL store it copies what is in the data folder; its tables are left to `pg_dump`, and files in
/// a bucket to the tools of that.
///
/// # Errors
/// [`Settings`](ErrorKind::Settings) if the folder cannot take a backup,
/// [`Storage`](ErrorKind::Storage) if something cannot be read or written; then the folder is left
/// empty.
pub async fn back_up(config: StateConfig, to: &Path, options: BackupOptions<'_>) -> Result<Backup, Error> {
    let data = config.data.clone();
    if !data.is_dir() {
        return Err(Error::new(ErrorKind::Missing, format!("there is no state in {}", data.display()))
            .hint("name the project with --project, or its data folder with --data"));
    }
    let to = prepare(&data, to)?;
    // Erasures are noted in it from now on: one that happens while it is made is in no copy that was made before.
    erased::remember(&data, &to)?;
    let made = write(config, &to, options).await;
    if made.is_err() {
        empty(&to);
        erased::forget(&data, &to)?;
    }
    made
}

async fn write(config: StateConfig, to: &Path, options: BackupOptions<'_>) -> Result<Backup, Error> {
    let data = config.data.clone();
    folder::prepare(&data)?;
    let database = match &config.store {
        StoreLocation::Embedded => Database::embedded(&data).await?,
        StoreLocation::Postgres { url } => Database::server(&data, url, config.lease).await?,
    };
    migrations::migrate(&database, &*config.clock).await?;
    let database = Arc::new(database);
    let seal = Arc::new(Seal::new(config.master_keys, &data));
    // A user that is erased later is noted in the backup, sealed with a key that it has to know.
    Contents::new(Arc::clone(&database), seal).sealing().await?;
    let mut copies = Copies::new(to);
    let made_at = config.clock.now();
    let tables = !database.is_server();
    match tables {
        true => copies = copy_tables(&database, &data, copies).await?,
        false => {
            // Files in a bucket are copied there; those of this machine are copies of them.
            for name in ["history", "lookback"].iter().filter(|_| config.bucket.is_none()) {
                copies = walk(&data, (*name).to_owned(), copies).await?;
            }
            for name in KEYS {
                copies = copied(copies, data.join(name), name.to_owned()).await?.0;
            }
        }
    }
    if !options.master_key {
        for name in KEYS {
            if copies.sums.0.remove(name).is_some() {
                let _ = fs::remove_file(copies.path_of(name));
            }
        }
    }
    let events = data.join("events");
    copies = blocking(move || {
        crate::log::copy::copy(&events, copies.below("events/")).map_err(|cause| copying(cause, &events))?;
        copies.below("");
        Ok(copies)
    })
    .await?;
    copies = walk(&data, String::new(), copies).await?;
    let backup = Backup::new(options.version, made_at, tables, &copies.sums);
    let about = backup.encode()?;
    blocking(move || {
        copies
            .bytes(ABOUT, &about)
            .and_then(|()| copies.sync())
            .and_then(|()| copies.sums.write(&copies.path_of("")))
            .map_err(|cause| copying(cause, &copies.path_of("")))?;
        Ok(backup)
    })
    .await
}

/// Copies the state database with the keys that open it and the files that it names.
async fn copy_tables(database: &Database, data: &Path, mut copies: Copies) -> Result<Copies, Error> {
    let mut lost = None;
    for _ in 0..ATTEMPTS {
        let keys = KEYS.map(|name| fs::read(data.join(name)).ok());
        let target = copies.make(DATABASE).map_err(|cause| copying(cause, data))?;
        database.copy_to(&target).await?;
        let names = list::named_by(&target).await?;
        for (name, key) in KEYS.iter().zip(&keys) {
            if let Some(key) = key {
                copies.bytes(name, key).map_err(|cause| copying(cause, data))?;
            }
        }
        // A rotation that ended in between would leave a key that opens nothing.
        let same = keys == KEYS.map(|name| fs::read(data.join(name)).ok());
        lost = None;
        for name in names {
            if copies.has(&name) {
                continue;
            }
            let (back, found) = copied(copies, data.join(&name), name.clone()).await?;
            copies = back;
            if !found {
                lost = Some(name);
                break;
            }
        }
        if same && lost.is_none() {
            return blocking(move || {
                copies.add(DATABASE).map_err(|cause| copying(cause, &copies.path_of(DATABASE)))?;
                Ok(copies)
            })
            .await;
        }
    }
    let name = lost.unwrap_or_else(|| KEYS[0].to_owned());
    Err(Error::new(
        ErrorKind::Storage,
        format!("{} is missing, which the state database names", data.join(name).display()),
    )
    .hint("put the file back from a copy; without it no backup is whole"))
}

/// Copies what is in a folder of the data folder, and in the folders below it. Databases are copied as
/// one transaction sees them.
async fn walk(data: &Path, below: String, copies: Copies) -> Result<Copies, Error> {
    let (mut copies, mut folders) = (copies, vec![below]);
    while let Some(below) = folders.pop() {
        let folder = data.join(&below);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(of_io(cause, "listing", &folder)),
        };
        for entry in entries.flatten() {
            let Ok(file) = entry.file_name().into_string() else { continue };
            let name = if below.is_empty() { file.clone() } else { format!("{below}/{file}") };
            let path = entry.path();
            if LEFT_OUT.contains(&name.as_str()) || is_passing(&file) {
                continue;
            }
            if path.is_dir() {
                folders.push(name);
            } else if is_database(&path) {
                let target = copies.make(&name).map_err(|cause| copying(cause, &path))?;
                sqlite_copy::copy(&path, &target).await?;
                copies.add(&name).map_err(|cause| copying(cause, &path))?;
            } else {
                copies = copied(copies, path, name).await?.0;
            }
        }
    }
    Ok(copies)
}

/// Whether a file is there for a moment only, belongs to an open database, or is of a former version.
fn is_passing(name: &str) -> bool {
    [".tmp", "-wal", "-shm", "-journal"].iter().any(|end| name.ends_with(end))
        || name.starts_with('.')
        || name.starts_with(FORMER_VERSION)
}

/// Whether a file is a database of SQLite. Source: <https://www.sqlite.org/fileformat.html>, 1.3.
fn is_database(path: &Path) -> bool {
    let mut start = [0; 16];
    let read = fs::File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut start));
    read.is_ok() && start == *b"SQLite format 3\0"
}

/// Copies one file; false if it is not there.
async fn copied(mut copies: Copies, from: PathBuf, name: String) -> Result<(Copies, bool), Error> {
    blocking(move || {
        let found = copies.copy(&from, &name).map_err(|cause| copying(cause, &from))?;
        Ok((copies, found))
    })
    .await
}

/// Makes the folder of a backup, and returns its full path.
fn prepare(data: &Path, to: &Path) -> Result<PathBuf, Error> {
    let failed = |cause| of_io(cause, "making the folder", to);
    folder::create(to).map_err(failed)?;
    let (data, path) = (data.canonicalize().map_err(failed)?, to.canonicalize().map_err(failed)?);
    if path.starts_with(&data) {
        return Err(Error::settings(format!("{} lies in the folder that is backed up", to.display()))
            .hint("name a folder on another disk, or copy the backup there"));
    }
    if fs::read_dir(&path).map_err(failed)?.next().is_some() {
        return Err(Error::settings(format!("{} is not empty", to.display()))
            .hint("name a folder that is new or empty: each backup has its own"));
    }
    folder::close(&path);
    Ok(path)
}

/// Removes what an unfinished backup has written. What stays has no list, and is not restored.
fn empty(to: &Path) {
    for entry in fs::read_dir(to).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

fn copying(cause: io::Error, path: &Path) -> Error {
    of_io(cause, "copying", path)
}

/// Work on files, on a thread that may wait for them.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|cause| Error::internal("copying files ended early").caused_by(cause))?
}
