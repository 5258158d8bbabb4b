//! A program of another project. `README.md` says what each is handed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::memory;
use crate::topic::Topic;

/// A program that was found.
#[derive(Clone)]
pub(crate) struct Peer {
    /// Where it is, whatever folder it runs in.
    pub(crate) program: PathBuf,
    /// Its name, for people.
    pub(crate) name: String,
}

impl Peer {
    /// The program at `path`.
    pub(crate) fn find(path: &Path) -> Result<Peer> {
        let program = path.canonicalize().with_context(|| format!("no program at {}", path.display()))?;
        let name = program.file_stem().unwrap_or(OsStr::new("a peer")).to_string_lossy().into_owned();
        Ok(Peer { program, name })
    }

    /// Runs it until it has read `messages` of a topic and ended. Returns how long
    /// that took, its start and end included, and its peak memory.
    pub(crate) async fn read(
        &self,
        topic: &Topic,
        messages: u64,
        more: &[(&str, String)],
    ) -> Result<(Duration, u64)> {
        let folder = tempfile::Builder::new().prefix("tidegate-bench-peer-").tempdir()?;
        let started = Instant::now();
        let mut child = Command::new(&self.program)
            .current_dir(folder.path())
            .env("BENCH_BROKERS", &topic.brokers)
            .env("BENCH_TOPIC", &topic.name)
            .env("BENCH_EVENTS", messages.to_string())
            .envs(more.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (status, memory) = memory::wait(&mut child).await?;
        ensure!(status.success(), "{} ended with {status}: its reason stands above", self.name);
        Ok((started.elapsed(), memory))
    }
}
