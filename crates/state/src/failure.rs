//! Failures of disks, as people read them.

use std::io;
use std::path::Path;

use tidegate_model::{Error, ErrorKind};

/// A failure of a file or folder while `doing` something with it.
pub(crate) fn of_io(cause: io::Error, doing: &str, path: &Path) -> Error {
    if cause.kind() == io::ErrorKind::StorageFull {
        return full(path).caused_by(cause);
    }
    let shown = path.display();
    let error = storage(format!("{doing} {shown} failed"));
    match cause.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            error.hint(format!("let the user that runs tidegate read and write {shown}"))
        }
        _ => error,
    }
    .caused_by(cause)
}

/// A disk that is full.
pub(crate) fn full(path: &Path) -> Error {
    let shown = path.display();
    storage(format!("the disk is full: nothing more fits into {shown}"))
        .hint("free space on that disk, then run again: nothing was lost")
}

/// A failure of the state.
pub(crate) fn storage(message: String) -> Error {
    Error::new(ErrorKind::Storage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_cannot_grow_says_the_same() {
        let cause = std::fs::write("/dev/full", b"row").expect_err("full");

        let error = of_io(cause, "writing", Path::new("/srv/tidegate/history"));

        assert_eq!(error.message(), "the disk is full: nothing more fits into /srv/tidegate/history");
    }
}
