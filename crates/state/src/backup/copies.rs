//! Files that are copied into a folder, with their checksums.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::manifest::{Sum, Sums};
use crate::folder;
use crate::log::copy::CopyTarget;

const BLOCK_BYTES: usize = 1 << 20;

/// A folder that files are copied into.
pub(super) struct Copies {
    root: PathBuf,
    pub(super) sums: Sums,
    /// Put before the names of files.
    prefix: &'static str,
}

impl Copies {
    pub(super) fn new(root: &Path) -> Copies {
        Copies { root: root.to_path_buf(), sums: Sums::default(), prefix: "" }
    }

    /// Where a file of this name is.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Whether a file was copied.
    pub(super) fn has(&self, name: &str) -> bool {
        self.sums.0.contains_key(name)
    }

    /// Copies a file. Returns false if it is not there.
    pub(super) fn copy(&mut self, from: &Path, name: &str) -> io::Result<bool> {
        match File::open(from) {
            Ok(file) => self.file(name, file, None).map(|()| true),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    /// Makes the file that another program is to fill.
    pub(super) fn make(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path_of(name);
        path.parent().map_or(Ok(()), folder::create)?;
        folder::create_file(&path)?;
        Ok(path)
    }

    /// Counts a file that another program has filled.
    pub(super) fn add(&mut self, name: &str) -> io::Result<()> {
        let file = File::open(self.path_of(name))?;
        file.sync_all()?;
        let sum = sum_of(file, &mut io::sink())?;
        self.sums.0.insert(name.to_owned(), sum);
        Ok(())
    }

    /// Makes the names of all files durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_all(&self.root)
    }

    /// The names of what is copied from now on begin with this.
    pub(super) fn below(&mut self, prefix: &'static str) -> &mut Copies {
        self.prefix = prefix;
        self
    }
}

impl CopyTarget for Copies {
    fn file(&mut self, name: &str, file: File, limit: Option<u64>) -> io::Result<()> {
        let name = format!("{}{name}", self.prefix);
        let mut to = File::options().write(true).open(self.make(&name)?)?;
        let sum = sum_of(file.take(limit.unwrap_or(u64::MAX)), &mut to)?;
        to.sync_all()?;
        self.sums.0.insert(name, sum);
        Ok(())
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let name = format!("{}{name}", self.prefix);
        fs::write(self.make(&name)?, bytes)?;
        self.add(&name)
    }
}

/// Copies what is read, and returns its checksum.
pub(super) fn sum_of(mut from: impl Read, to: &mut impl Write) -> io::Result<Sum> {
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => return Err(cause),
        };
        hasher.update(&block[..read]);
        to.write_all(&block[..read])?;
        bytes += read as u64;
    }
    let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Sum { hash, bytes })
}

fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_all(&path)?;
        }
    }
    folder::sync(folder)
}
