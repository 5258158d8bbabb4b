//! The files that describe a backup: `backup.json` names its origin, `SHA256SUMS` lists its files.
//!
//! `SHA256SUMS` is written last, so a folder without it is not a whole backup, and
//! `sha256sum --check SHA256SUMS` reads it as well.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_model::{Error, ErrorKind};

use crate::failure::of_io;
use crate::folder;

/// What the backup is of.
pub(super) const ABOUT: &str = "backup.json";
/// The checksums of its files.
pub(super) const SUMS: &str = "SHA256SUMS";
/// The users that were erased after it was made; not one of its files.
pub(super) const ERASED: &str = "erased";
/// The form of a backup; one of a later form is not restored.
const FORMAT: u32 = 1;

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    format: u32,
    /// The version of Tidegate that made it.
    pub version: String,
    /// When the state database was read.
    pub made_at: Timestamp,
    /// Whether it has the tables of the state. If not, they are on a PostgreSQL server.
    pub tables: bool,
    /// Whether it has the master key that opens what is sealed.
    pub master_key: bool,
    /// How many files it has.
    pub files: u64,
    /// How many bytes these have.
    pub bytes: u64,
}

impl Backup {
    pub(super) fn new(version: &str, made_at: Timestamp, tables: bool, sums: &Sums) -> Backup {
        Backup {
            format: FORMAT,
            version: version.to_owned(),
            made_at,
            tables,
            master_key: sums.0.contains_key("master.key"),
            files: sums.0.len() as u64,
            bytes: sums.0.values().map(|sum| sum.bytes).sum(),
        }
    }

    /// Returns what is in its file.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let text = serde_json::to_vec_pretty(self);
        text.map_err(|cause| Error::internal("describing a backup").caused_by(cause))
    }

    /// Reads what a backup is of, once its checksum is known to be right.
    pub(super) fn decode(bytes: &[u8], folder: &Path) -> Result<Backup, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let shown = folder.display();
        match serde_json::from_slice(bytes) {
            Ok(Format { format }) if format > FORMAT => Err(Error::new(
                ErrorKind::Storage,
                format!("the backup in {shown} was made by a newer tidegate"),
            )
            .hint("restore it with that version")),
            _ => serde_json::from_slice(bytes).map_err(|_| damaged(folder, ABOUT, "cannot be read")),
        }
    }
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    /// SHA-256, in hexadecimal.
    pub(super) hash: String,
    /// Its length; 0 if only the checksum was read.
    pub(super) bytes: u64,
}

/// The checksums of files, by their names below the backup.
#[derive(Debug, Default)]
pub(super) struct Sums(pub(super) BTreeMap<String, Sum>);

impl Sums {
    /// Writes the list under another name first, and makes it durable.
    pub(super) fn write(&self, backup: &Path) -> io::Result<()> {
        let (path, unfinished) = (backup.join(SUMS), backup.join(format!("{SUMS}.tmp")));
        let mut file = folder::create_file(&unfinished)?;
        for (name, sum) in &self.0 {
            writeln!(file, "{}  {name}", sum.hash)?;
        }
        file.sync_all()?;
        fs::rename(unfinished, path)?;
        folder::sync(backup)
    }

    /// Reads the list of a backup.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] if the folder is not a whole backup, [`ErrorKind::Storage`] if the list
    /// is damaged.
    pub(super) fn read(backup: &Path) -> Result<Sums, Error> {
        let (path, shown) = (backup.join(SUMS), backup.display());
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(Error::new(
                    ErrorKind::Missing,
                    format!("{shown} is not a backup, or it was not finished: it has no {SUMS}"),
                )
                .hint("name a folder that `tidegate backup` has finished"));
            }
            Err(cause) if cause.kind() == io::ErrorKind::InvalidData => {
                return Err(damaged(backup, SUMS, "is not text"));
            }
            Err(cause) => return Err(of_io(cause, "reading", &path)),
        };
        let mut sums = Sums::default();
        for line in text.lines() {
            let read = line.split_once("  ").filter(|(hash, name)| {
                hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) && is_inside(name)
            });
            let (hash, name) = read.ok_or_else(|| damaged(backup, SUMS, "has a line that is no checksum"))?;
            sums.0.insert(name.to_owned(), Sum { hash: hash.to_owned(), bytes: 0 });
        }
        match sums.0.contains_key(ABOUT) {
            true => Ok(sums),
            false => Err(damaged(backup, SUMS, "does not list all files")),
        }
    }
}

/// Whether a name stays in its folder.
fn is_inside(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// The error for a file of a backup that has changed.
pub(super) fn damaged(backup: &Path, name: &str, how: &str) -> Error {
    Error::new(ErrorKind::Storage, format!("the backup in {} is damaged: {name} {how}", backup.display()))
        .hint("restore another backup: nothing was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_names_a_file_elsewhere_or_lost_lines_is_damaged() {
        let backup = tempfile::tempdir().expect("folder");
        let hash = "0".repeat(64);
        for text in [
            format!("{hash}  ../../etc/passwd\n{hash}  backup.json\n"),
            format!("{hash}  /etc/passwd\n{hash}  backup.json\n"),
            format!("{hash} backup.json\n"),
            format!("{hash}  tidegate.db\n"),
            String::new(),
        ] {
            fs::write(backup.path().join(SUMS), &text).expect("written");
            let error = Sums::read(backup.path()).expect_err(&text);
            assert!(error.message().contains("is damaged: SHA256SUMS"), "{error:?}");
        }
    }
}
