//! Files on this machine, while they are written.
//!
//! Each has a name of its own, in a folder that readers skip. A delivery that was given up may still be
//! writing when the next one begins: with one name for both, the second would write into the file that the
//! first puts among those that are read. A [`FencedWriter`](super::FencedWriter) has a folder of its own there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

use uuid::Uuid;

const ENDING: &str = ".staged";
const FOLDER_ENDING: &str = ".writer";

/// Returns the name of the next file of a stage.
pub(super) fn next(stage: &str) -> String {
    format!("{stage}.{}{ENDING}", Uuid::new_v4().simple())
}

/// Writes a file and waits until the disk has it. If that fails, nothing stays.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let file = match File::create_new(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            File::create_new(path)?
        }
        created => created?,
    };
    fill(file, path, content)
}

fn fill(mut file: File, path: &Path, content: &[u8]) -> io::Result<()> {
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // Otherwise it is removed with those that were abandoned.
        let _ = fs::remove_file(path);
    }
    written
}

/// Returns the name of the folder of the next writer of a stage.
pub(super) fn own_folder(stage: &str) -> String {
    format!("{stage}.{}{FOLDER_ENDING}", Uuid::new_v4().simple())
}

/// Makes the folder of a writer and removes those of all other writers of the stage, with the files in them.
///
/// Its own comes first: of two writers that take over at the same time, at least one sees the other.
pub(super) fn take_over(stage: &Path, own: &Path) -> io::Result<()> {
    fs::create_dir_all(own)?;
    let (Some(folder), Some(name)) = (stage.parent(), stage.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(());
    };
    let beginning = format!("{name}.");
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_of = |ending: &str| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(&beginning) && name.ends_with(ending))
        };
        if is_of(FOLDER_ENDING) && path != own {
            remove_folder(&path)?;
        } else if is_of(ENDING) {
            unless_missing(fs::remove_file(&path))?;
        }
    }
    Ok(())
}

/// Removes the folder of a writer, which may be adding a file.
fn remove_folder(path: &Path) -> io::Result<()> {
    const ATTEMPTS: usize = 16;
    for _ in 1..ATTEMPTS {
        match unless_missing(fs::remove_dir_all(path)) {
            Err(cause) if cause.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => return removed,
        }
    }
    unless_missing(fs::remove_dir_all(path))
}

fn unless_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Writes a file into a folder and waits until the disk has it; `false` if the folder is gone.
pub(super) fn write_beside(path: &Path, content: &[u8]) -> io::Result<bool> {
    match File::create_new(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        created => fill(created?, path, content).map(|()| true),
    }
}

/// Removes a file by moving it to `removed` first, which fails if the folder of that is gone; whether it is.
pub(super) fn remove_through(file: &Path, removed: &Path) -> io::Result<bool> {
    match fs::rename(file, removed) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => file.try_exists(),
        Err(cause) => Err(cause),
        // One that another writer has removed meanwhile is gone as well.
        Ok(()) => unless_missing(fs::remove_file(removed)).map(|()| false),
    }
}

/// Removes the files of a stage, also those of stages whose names begin so, that were written last before
/// this time.
pub(super) fn remove_older(stage: &Path, before: SystemTime) -> io::Result<()> {
    let (Some(folder), Some(name)) = (stage.parent(), stage.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(());
    };
    let beginning = format!("{name}.");
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let is_of_stage =
            name.to_str().is_some_and(|name| name.starts_with(&beginning) && name.ends_with(ENDING));
        // One that is gone was given its name meanwhile.
        if is_of_stage && entry.metadata().and_then(|about| about.modified()).is_ok_and(|at| at < before) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn files_that_were_abandoned_are_removed_and_no_others() {
        let folder = tempfile::tempdir().expect("folder");
        let stage = folder.path().join("_s/shop.lake");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        remove_older(&stage, now).expect("there is no folder");
        let old = [
            next("shop.lake"),
            next("shop.lake.0.json"),
            "shop.lake.staged".to_owned(),
            "shop.lake.0.json".to_owned(),
            next("shop.lakes"),
        ];
        let made = |name: &str, at: SystemTime| {
            let path = folder.path().join("_s").join(name);
            write(&path, b"half").expect("written");
            File::options().write(true).open(path).and_then(|file| file.set_modified(at)).expect("a time");
        };
        old.iter().for_each(|name| made(name, now - Duration::from_secs(1)));
        let young = next("shop.lake");
        made(&young, now);

        remove_older(&stage, now).expect("removed");

        let mut left: Vec<String> = fs::read_dir(folder.path().join("_s"))
            .expect("listed")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
            .collect();
        left.sort();
        let mut expected: Vec<String> = old[3..].iter().cloned().chain([young]).collect();
        expected.sort();
        assert_eq!(left, expected);
    }
}
