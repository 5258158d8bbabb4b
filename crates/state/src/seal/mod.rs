//! Secrets at rest: XChaCha20-Poly1305 under one master key.
//!
//! The key comes from the environment or from a file in the data folder. A
//! rotation writes its new key beside the old one, seals everything again in one
//! transaction, and puts the new key in the place of the old one. Both are read
//! in between, so a crash at any moment leaves every secret readable.

mod data_key;
mod key;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tidegate_model::{Error, ErrorKind, Secret};
use uuid::Uuid;

use crate::failure;
use crate::folder;
pub(crate) use data_key::DataKey;
pub(crate) use key::{MasterKey, Sealed};

/// The keys that the environment gives.
#[derive(Clone, Default)]
pub struct MasterKeys {
    /// The key that seals: 32 bytes in base64. `None` uses `<data>/master.key`,
    /// which is made when the first secret is stored.
    pub current: Option<Secret>,
    /// The key before it, which opens what a rotation has not sealed again yet.
    pub former: Option<Secret>,
}

/// Knows the master keys. They are looked for whenever one is needed, so that a
/// process that runs for weeks follows a rotation.
pub(crate) struct Seal {
    given: MasterKeys,
    file: PathBuf,
    /// The key of a rotation under way, or of one that was interrupted.
    next: PathBuf,
}

impl Seal {
    /// With the keys that were `given`, else with the one in `<data>/master.key`.
    pub(crate) fn new(given: MasterKeys, data: &Path) -> Seal {
        Seal { given, file: data.join("master.key"), next: data.join("master.key.next") }
    }

    /// Returns the key to seal with, given the names of the keys that sealed what is
    /// stored. Makes one if there is none yet.
    pub(crate) fn to_seal(&self, in_use: &[String]) -> Result<MasterKey, Error> {
        if self.given.current.is_none() {
            for id in in_use {
                if let Some(key) = self.with_id(id)? {
                    return Ok(key);
                }
            }
        }
        match self.current()? {
            Some(key) => Ok(key),
            None => {
                self.make(&self.file)?;
                self.current()?.ok_or_else(|| self.missing())
            }
        }
    }

    /// Returns the key to open `what` with.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] with the name of the key that is needed and where it belongs.
    pub(crate) fn to_open(&self, what: &str, key_id: &str) -> Result<MasterKey, Error> {
        if let Some(key) = self.with_id(key_id)? {
            return Ok(key);
        }
        let Some(current) = self.current()? else { return Err(self.missing()) };
        let place = self.place();
        Err(Error::new(
            ErrorKind::Denied,
            format!(
                "{what} was sealed with the master key {key_id}, but {place} holds the key {}",
                current.id()
            ),
        )
        .hint(format!(
            "put the right key into {place}, or, if it is lost, run `tidegate secret rotate --discard-unreadable`"
        )))
    }

    /// Returns the key with this name, if it is known.
    pub(crate) fn with_id(&self, id: &str) -> Result<Option<MasterKey>, Error> {
        if let Some(key) = self.current()?.filter(|key| key.id() == id) {
            return Ok(Some(key));
        }
        if self.given.current.is_some() {
            let former = self.given.former.as_ref();
            let former = former.map(|text| MasterKey::read(text.expose(), "TIDEGATE_FORMER_MASTER_KEY"));
            return Ok(former.transpose()?.filter(|key| key.id() == id));
        }
        let next = read(&self.next)?.filter(|key| key.id() == id);
        if next.is_some() {
            // A rotation sealed everything with it and ended before it was in its place.
            self.promote()?;
        }
        Ok(next)
    }

    /// Returns the key that a rotation seals with: the given one, or a new one beside the old.
    ///
    /// The caller holds the only writing transaction, and nothing in the store needs an
    /// earlier `master.key.next`.
    pub(crate) fn to_rotate(&self) -> Result<MasterKey, Error> {
        if self.given.current.is_some() {
            return self.current()?.ok_or_else(|| self.missing());
        }
        match fs::remove_file(&self.next) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(failure::of_io(cause, "making a new master key", &self.next));
            }
            _ => self.make(&self.next)?,
        }
        read(&self.next)?.ok_or_else(|| self.missing())
    }

    /// Ends a rotation after its commit: its key takes the place of the old one.
    pub(crate) fn promote(&self) -> Result<(), Error> {
        if self.given.current.is_some() {
            return Ok(());
        }
        match fs::rename(&self.next, &self.file) {
            // Another process was faster.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(cause) => Err(failure::of_io(cause, "replacing the master key", &self.file)),
            Ok(()) => self
                .file
                .parent()
                .map_or(Ok(()), folder::sync)
                .map_err(|cause| failure::of_io(cause, "replacing the master key", &self.file)),
        }
    }

    fn current(&self) -> Result<Option<MasterKey>, Error> {
        match &self.given.current {
            Some(given) => MasterKey::read(given.expose(), "TIDEGATE_MASTER_KEY").map(Some),
            None => read(&self.file),
        }
    }

    fn place(&self) -> String {
        match self.given.current {
            Some(_) => "TIDEGATE_MASTER_KEY".to_owned(),
            None => self.file.display().to_string(),
        }
    }

    fn missing(&self) -> Error {
        Error::new(ErrorKind::Denied, format!("the master key {} is missing", self.file.display()))
            .hint("restore that file, or set TIDEGATE_MASTER_KEY; if it is lost, run `tidegate secret rotate --discard-unreadable`")
    }

    /// Writes a new key under a name of its own and links it into place, so that of two
    /// processes that start together one wins and neither reads half a key.
    fn make(&self, file: &Path) -> Result<(), Error> {
        let fresh = file.with_extension(format!("{}.tmp", Uuid::new_v4().simple()));
        let linked = write(&fresh).and_then(|()| {
            let linked = fs::hard_link(&fresh, file);
            fs::remove_file(&fresh)?;
            match linked {
                Ok(()) => {
                    file.parent().map_or(Ok(()), folder::sync)?;
                    tracing::info!(file = %self.file.display(), "made a new master key; keep a copy of it apart");
                    Ok(())
                }
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(cause) => Err(cause),
            }
        });
        linked.map_err(|cause| failure::of_io(cause, "making the master key", file))
    }
}

fn write(fresh: &Path) -> io::Result<()> {
    let mut file = folder::create_file(fresh)?;
    writeln!(file, "{}", MasterKey::generate())?;
    file.sync_all()
}

/// Reads a key file; `None` if there is none.
fn read(file: &Path) -> Result<Option<MasterKey>, Error> {
    folder::close(file);
    match fs::read_to_string(file) {
        Ok(text) => MasterKey::read(&text, &file.display().to_string()).map(Some),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failure::of_io(cause, "reading the master key", file)),
    }
}
