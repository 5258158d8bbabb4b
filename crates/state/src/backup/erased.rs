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
    let known = known(data)?;
    if known.iter().any(|known| known == backup) {
        return Ok(());
    }
    append(&path, &format!("{}\n", backup.display())).map_err(|cause| of_io(cause, "writing", &path))
}

/// Forgets a backup that could not be made.
pub(super) fn forget(data: &Path, backup: &Path) -> Result<(), Error> {
    let path = data.join(BACKUPS);
    let left = known(data)?.into_iter().filter(|known| known != backup);
    let text: String = left.map(|known| format!("{}\n", known.display())).collect();
    fs::write(&path, text).map_err(|cause| of_io(cause, "writing", &path))
}

fn known(data: &Path) -> Result<Vec<PathBuf>, Error> {
    let path = data.join(BACKUPS);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter(|line| !line.is_empty()).map(PathBuf::from).collect()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(of_io(cause, "reading", &path)),
    }
}

/// Adds a user who is about to be erased to every backup of this data folder.
///
/// # Errors
/// If a backup is at its place and cannot be written, or the key is missing.
pub async fn note_erasure_in_backups(config: StateConfig, user: &str) -> Result<Vec<NotedErasure>, Error> {
    let backups = known(&config.data)?;
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
    let opening = open(restored).await?.opening().await?;
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
    open(restored).await?.lacks_key().await
}

/// Opens the keys of a store, and nothing else of it.
async fn open(config: StateConfig) -> Result<Contents, Error> {
    let database = match &config.store {
        StoreLocation::Embedded => Database::embedded(&config.data).await?,
        StoreLocation::Postgres { url } => Database::server(&config.data, url, config.lease).await?,
    };
    let seal = Seal::new(config.master_keys, &config.data);
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
