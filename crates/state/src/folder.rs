//! The data folder: made on first use, closed to other users.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::path::Path;

use tidegate_model::Error;
use xxhash_rust::xxh3::xxh3_128;

use crate::failure;

/// File systems take names of up to 255 bytes; suffixes need some of them.
const NAME_BYTES_MAX: usize = 160;

/// Makes the data folder and the folders in it. Those that are there already are closed
/// to other users, except for the data folder itself: it may be one that holds other
/// things as well.
pub(crate) fn prepare(data: &Path) -> Result<(), Error> {
    for folder in [data.to_path_buf(), data.join("locks"), data.join("history")] {
        create(&folder).map_err(|cause| failure::of_io(cause, "making the folder", &folder))?;
    }
    close(&data.join("locks"));
    close(&data.join("history"));
    Ok(())
}

/// Closes a file or folder to other users, if it is ours and open to them.
#[cfg(unix)]
pub(crate) fn close(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    let Ok(metadata) = path.metadata() else { return };
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        // Of another owner it stays as that one wants it.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700));
    }
}

/// Closes a file or folder to other users, if it is ours and open to them.
#[cfg(not(unix))]
pub(crate) fn close(_: &Path) {}

/// Makes a folder that only its owner can look into; one that is there stays as it is.
pub(crate) fn create(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Creates an empty file that only its owner can read.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    let file = private().truncate(true).open(path)?;
    close(path);
    Ok(file)
}

/// Makes sure that there is a file that only its owner can read.
pub(crate) fn ensure_file(path: &Path) -> io::Result<File> {
    let file = private().truncate(false).open(path)?;
    close(path);
    Ok(file)
}

/// Returns the name of a folder that no other folder has: random, made when it is asked for first.
pub(crate) fn identity(folder: &Path) -> io::Result<String> {
    let path = folder.join("folder-id");
    match fs::read_to_string(&path) {
        Ok(name) if !name.is_empty() => return Ok(name),
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let name = uuid::Uuid::new_v4().to_string();
    // A file of its own: processes that start together would write into one.
    let unfinished = folder.join(format!("folder-id.{name}"));
    let mut file = create_file(&unfinished)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    // The first process on the folder names it.
    match fs::hard_link(&unfinished, &path) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
        _ => {}
    }
    let _ = fs::remove_file(&unfinished);
    sync(folder)?;
    fs::read_to_string(&path)
}

fn private() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

/// Makes the names in a folder survive a loss of power.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A name as one file name: different names stay different.
pub(crate) fn file_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => out.push(char::from(byte)),
            // A name of dots alone would be a folder; inside a name they are harmless.
            b'.' if !out.is_empty() => out.push('.'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    if out.len() > NAME_BYTES_MAX {
        out.truncate(NAME_BYTES_MAX - 33);
        out.push_str(&format!("~{:032x}", xxh3_128(name.as_bytes())));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_leaves_its_folder_and_no_two_share_a_file() {
        let long = "é".repeat(300);
        let longer = "é".repeat(301);
        let names = ["orders", "..", ".", "../orders", "a/b", "a%2Fb", "a b", "é", "", &long, &longer];
        let files: HashSet<String> = names.iter().map(|name| file_name(name)).collect();
        assert_eq!(files.len(), names.len());
        for file in files {
            assert!(!file.contains('/') && !file.starts_with('.') && file.len() <= NAME_BYTES_MAX, "{file}");
        }
    }
}
