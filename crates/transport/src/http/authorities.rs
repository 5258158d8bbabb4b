//! A file of certificates, as it is now.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tidegate_model::{Error, ErrorKind, Result};

/// A `ca_file` and the state it was read in: a file that is renewed is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AuthorityFile {
    pub(super) path: PathBuf,
    len: u64,
    modified: Option<SystemTime>,
}

impl AuthorityFile {
    /// Looks at the file.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] if there is none.
    pub(super) fn at(path: &Path) -> Result<AuthorityFile> {
        let found = std::fs::metadata(path).map_err(|cause| {
            Error::new(ErrorKind::Missing, format!("`ca_file`: {} cannot be read", path.display()))
                .caused_by(cause)
        })?;
        Ok(AuthorityFile { path: path.to_owned(), len: found.len(), modified: found.modified().ok() })
    }
}
