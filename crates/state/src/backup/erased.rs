//! Users who were erased after a backup was made.
//!
//! A backup holds a user until it is removed itself, and restoring it would bring the user back. So
//! an erasure adds the identifier to each backup that this data folder knows, sealed with a key that
//! the backup has, and whoever restores it repeats the erasure.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tidegate_model::{Error, ErrorKind};

use super::manifest::ERASED;
use crate::failure::of_io;
use crate::folder;
use crate::seal::Seal;
use crate::store::contents::Contents;
use crate::store::dialect::Database;
use crate::{StateConfig, StoreLocation};

/// The file in the data folder that lists the backups, one path a line.
const BACKUPS: &str = "backups";
/// What an identifier is sealed under.
const ABOUT: &str = "an erased user";

/// A backup that an erasure was noted in, or could not be noted in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedErasure {
    /// The folder of the backup.
    pub backup: PathBuf,
    /// Whether it was noted. If not, the backup is not at its place any more.
    pub noted: bool,
}

/// Notes where a backup is.
pub(super) fn remember(data: &Path, backup: &Path) -> Result<(), Error> {
    let path = data.join(BACKUPS);
    let _lock = lock(data)?;
    let known = known(data)?;
    if known.iter().any(|known| known == backup) {
        return Ok(());
    }
    append(&path, &format!("{}\n", backup.display())).map_err(|cause| of_io(cause, "writing", &path))
}

/// Forgets a backup that could not be made.
pub(super) fn forget(data: &Path, backup: &Path) -> Result<(), Error> {
    let (path, unfinished) = (data.join(BACKUPS), data.join(format!("{BACKUPS}.tmp")));
    let _lock = lock(data)?;
    let left = known(data)?.into_iter().filter(|known| known != backup);
    let text: String = left.map(|known| format!("{}\n", known.display())).collect();
    let replace = || {
        let mut file = folder::create_file(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        folder::sync(data)
    };
    replace().map_err(|cause| of_io(cause, "writing", &path))
}

/// Keeps other processes from the list of backups while it is changed.
fn lock(data: &Path) -> Result<File, Error> {
    let path = data.join("locks").join(format!("{BACKUPS}.lock"));
    let locked = path.parent().map_or(Ok(()), folder::create).and_then(|()| {
        let file = folder::ensure_file(&path)?;
        file.lock().map(|()| file)
    });
    locked.map_err(|cause| of_io(cause, "locking", &path))
}

fn known(data: &Path) -> Result<Vec<PathBuf>, Error> {
    let path = data.join(BACKUPS);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter(|line| !line.is_empty()).map(PathBuf::from).collect()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(of_io(cause, "reading", &path)),
    }
}

/// Erases a user by `erasure`, and adds the user to every backup of this data folder: before, so that a backup that
/// is restored after a crash erases the user, too, and afterwards to those that were begun meanwhile. Returns what
/// `erasure` returned, and the backups.
///
/// # Errors
/// Those of `erasure`; or if a backup is at its place and cannot be written, or the key is missing. Erase again then:
/// the user is noted in each backup.
pub async fn erase_and_note<T>(
    config: StateConfig,
    user: &str,
    erasure: impl Future<Output = Result<T, Error>>,
) -> Result<(T, Vec<NotedErasure>), Error> {
    let mut noted = note_in_others(&config, user, &[]).await?;
    let erased = erasure.await?;
    let since = note_in_others(&config, user, &noted).await?;
    noted.extend(since);
    Ok((erased, noted))
}

/// Adds a user to every backup of this data folder, except for those in which this was tried.
async fn note_in_others(
    config: &StateConfig,
    user: &str,
    tried: &[NotedErasure],
) -> Result<Vec<NotedErasure>, Error> {
    let mut backups = known(&config.data)?;
    backups.retain(|backup| tried.iter().all(|tried| tried.backup != *backup));
    if backups.is_empty() {
        return Ok(Vec::new());
    }
    let at = config.clock.now();
    let contents = open(config).await?;
    let sealing = contents.sealing().await?;
    let mut noted = Vec::new();
    for backup in backups {
        let there = backup.is_dir();
        if there {
            let sealed = STANDARD.encode(sealing.seal(user.as_bytes(), ABOUT)?);
            let path = backup.join(ERASED);
            append(&path, &format!("{at} {sealed}\n")).map_err(|cause| of_io(cause, "writing", &path))?;
        }
        noted.push(NotedErasure { backup, noted: there });
    }
    Ok(noted)
}

/// Returns the users who were erased since a backup was made, as it lists them; `restored` is the
/// configuration of the data folder that it was put back into.
///
/// # Errors
/// [`Denied`](ErrorKind::Denied) if the master key is missing, [`Storage`](ErrorKind::Storage) if an
/// entry cannot be read.
pub async fn erased_since(backup: &Path, restored: StateConfig) -> Result<Vec<String>, Error> {
    let path = backup.join(ERASED);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(of_io(cause, "reading", &path)),
    };
    let contents = open(&restored).await?;
    let opening = contents.opening().await?;
    let mut users: Vec<String> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let unreadable = || {
            let shown = path.display();
            Error::new(ErrorKind::Storage, format!("line {} of {shown} cannot be read", at + 1)).hint(
                "it names a user who was erased: remove the line, and give the identifier with --erased FILE",
            )
        };
        let sealed = line.split_once(' ').filter(|(at, _)| at.parse::<Timestamp>().is_ok());
        let sealed = sealed.and_then(|(_, sealed)| STANDARD.decode(sealed).ok()).ok_or_else(unreadable)?;
        let plain = opening.open(&sealed, ABOUT).ok().flatten().ok_or_else(unreadable)?;
        let user = String::from_utf8(plain).map_err(|_| unreadable())?;
        if !users.contains(&user) {
            users.push(user);
        }
    }
    Ok(users)
}

/// Returns whether a data folder that was restored holds something that only a missing master key opens.
///
/// # Errors
/// If its state cannot be read.
pub async fn lacks_key(restored: StateConfig) -> Result<bool, Error> {
    open(&restored).await?.lacks_key().await
}

/// Opens the keys of a store, and nothing else of it.
async fn open(config: &StateConfig) -> Result<Contents, Error> {
    let database = match &config.store {
        StoreLocation::Embedded => Database::embedded(&config.data).await?,
        StoreLocation::Postgres { url } => Database::server(&config.data, url, config.lease).await?,
    };
    let seal = Seal::new(config.master_keys.clone(), &config.data);
    Ok(Contents::new(Arc::new(database), Arc::new(seal)))
}

/// Adds a line to a file, for good.
fn append(path: &Path, line: &str) -> io::Result<()> {
    folder::ensure_file(path)?;
    let mut file = File::options().append(true).open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), folder::sync)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_that_fails_makes_no_other_one_unknown() {
        let data = tempfile::tempdir().expect("folder");
        let backup = |at: usize| PathBuf::from(format!("/backups/{at}"));
        std::thread::scope(|threads| {
            for at in 0..8 {
                let data = data.path();
                threads.spawn(move || {
                    for number in (0..20).map(|round| 8 * round + at) {
                        remember(data, &backup(number)).expect("noted");
                        if at % 2 == 0 {
                            forget(data, &backup(number)).expect("forgotten");
                        }
                    }
                });
            }
        });
        let mut left = known(data.path()).expect("read");
        left.sort();
        let mut expected: Vec<PathBuf> = (0..160).filter(|at| at % 2 == 1).map(backup).collect();
        expected.sort();
        assert_eq!(left, expected);
    }
}
