//! What a folder holds on disk, files without a name included.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a folder is looked at.
const EVERY: Duration = Duration::from_millis(50);

/// Bytes of blocks that files of a data folder have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    /// Sorted hashes of keys and rows.
    pub(crate) hashes: u64,
    /// The order in which rows were met.
    pub(crate) order: u64,
    /// Files that have no name, since nothing needs them when the process has ended.
    pub(crate) unnamed: u64,
    /// All other files.
    pub(crate) rest: u64,
}

impl Held {
    /// Looks at a folder, and at the files without a name of a process.
    pub(crate) fn of(folder: &Path, process: Option<u32>) -> Held {
        let mut held = Held::default();
        add(folder, folder, &mut held);
        let open = process.map(|id| fs::read_dir(format!("/proc/{id}/fd")));
        for entry in open.into_iter().flatten().flatten().flatten() {
            let is_unnamed = fs::read_link(entry.path()).is_ok_and(|target| {
                target.starts_with(folder) && target.to_string_lossy().ends_with(" (deleted)")
            });
            if is_unnamed && let Ok(about) = fs::metadata(entry.path()) {
                held.unnamed += about.blocks() * 512;
            }
        }
        held
    }

    fn all(&self) -> u64 {
        self.hashes + self.order + self.unnamed + self.rest
    }
}

/// Adds the files of a folder. What is removed meanwhile is not there.
fn add(folder: &Path, root: &Path, held: &mut Held) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() {
            add(&entry.path(), root, held);
            continue;
        }
        let path = entry.path();
        let below = path.strip_prefix(root).unwrap_or(&path);
        let bytes = about.blocks() * 512;
        match below.components().next().and_then(|first| first.as_os_str().to_str()) {
            Some("lookback") => held.hashes += bytes,
            Some("compared") => held.order += bytes,
            _ => held.rest += bytes,
        }
    }
}

/// Looks at a folder again and again, on a thread of its own.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Watch {
    /// Begins to look at the folder that a process writes.
    pub(crate) fn begin(folder: &Path, process: u32) -> Watch {
        let (over, folder) = (Arc::new(AtomicBool::new(false)), PathBuf::from(folder));
        let is_over = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut peak = 0;
            while !is_over.load(Ordering::Relaxed) {
                peak = peak.max(Held::of(&folder, Some(process)).all());
                #[expect(clippy::disallowed_methods, reason = "a thread of its own, which only looks")]
                std::thread::sleep(EVERY);
            }
            peak
        });
        Watch { over, thread }
    }

    /// Returns the most bytes that were there at once.
    pub(crate) fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_without_a_name_counts_as_long_as_it_is_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("its path");
        fs::create_dir(folder.join("lookback")).expect("made");
        fs::write(folder.join("lookback").join("1.rows"), [1; 8_192]).expect("written");
        let mut file = tempfile::tempfile_in(&folder).expect("a file");
        file.write_all(&[1; 65_536]).expect("written");
        file.sync_all().expect("on disk");
        let held = Held::of(&folder, Some(std::process::id()));
        assert!(held.hashes >= 8_192 && held.unnamed >= 65_536 && held.rest == 0, "{held:?}");
        drop(file);
        assert_eq!(Held::of(&folder, Some(std::process::id())).unnamed, 0);
    }
}
