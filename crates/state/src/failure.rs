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
            let owner = owner(path).map(|owner| {
                format!(
                    "; it belongs to `{owner}`: `sudo -u {owner} tidegate …` runs the command as that user"
                )
            });
            let owner = owner.unwrap_or_default();
            error.hint(format!("let the user that runs tidegate read and write {shown}{owner}"))
        }
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            error.hint("name a folder: there is a file of that name, or above it")
        }
        _ => error,
    }
    .caused_by(cause)
}

/// Returns the user that the file, or the nearest folder above it that is there, belongs to.
#[cfg(unix)]
fn owner(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;

    let uid = path.ancestors().find_map(|path| path.metadata().ok())?.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    Some(name.unwrap_or_else(|| format!("#{uid}")))
}

/// Returns the user that a file belongs to: not known on this system.
#[cfg(not(unix))]
fn owner(_: &Path) -> Option<String> {
    None
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

    #[cfg(unix)]
    #[test]
    fn a_folder_of_another_user_is_told_with_its_owner_and_a_file_with_the_advice_to_name_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, b"x").expect("a file");
        let owner = owner(&file).expect("an owner");
        let denied = of_io(io::ErrorKind::PermissionDenied.into(), "making the folder", &file.join("locks"));
        assert!(denied.next_step().contains(&format!("it belongs to `{owner}`")), "{denied:?}");
        let cause = std::fs::create_dir(file.join("locks")).expect_err("a file");
        let error = of_io(cause, "making the folder", &file);
        assert!(error.next_step().starts_with("name a folder"), "{error:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_cannot_grow_says_the_same() {
        let cause = std::fs::write("/dev/full", b"row").expect_err("full");

        let error = of_io(cause, "writing", Path::new("/srv/tidegate/history"));

        assert_eq!(error.message(), "the disk is full: nothing more fits into /srv/tidegate/history");
    }
}
