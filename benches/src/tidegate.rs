//! The program under test, run once or kept serving.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time;

use crate::memory;

/// The program that forgets: built beside this one.
pub(crate) fn forgetful() -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("tidegate-forgetful");
    ensure!(program.exists(), "no program at {}: run cargo build --release", program.display());
    Ok(program)
}

/// A program that does not start or stop in so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, and the folder that it works in.
#[derive(Clone, Debug)]
pub(crate) struct Tidegate {
    program: PathBuf,
    folder: PathBuf,
    /// Variables of its environment, beside ours.
    variables: Vec<(String, String)>,
}

impl Tidegate {
    /// The program, working in a folder of its own.
    pub(crate) fn new(program: &Path, folder: &Path) -> Result<Tidegate> {
        let program = program
            .canonicalize()
            .with_context(|| format!("no program at {}: run cargo build --release", program.display()))?;
        fs::create_dir_all(folder)?;
        Ok(Tidegate { program, folder: folder.to_owned(), variables: Vec::new() })
    }

    /// The same program, made to forget what the variables of `src/forgetful.rs` say.
    pub(crate) fn forgetful(&self) -> Result<Tidegate> {
        let program = forgetful()?;
        Ok(Tidegate { program, ..self.clone() })
    }

    /// The same program, with a variable in its environment.
    pub(crate) fn with(&self, name: &str, value: &str) -> Tidegate {
        let mut tidegate = self.clone();
        tidegate.variables.push((name.to_owned(), value.to_owned()));
        tidegate
    }

    /// Where it works: the project file, its data and what it writes.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the project file.
    pub(crate) fn project(&self, text: &str) -> Result<()> {
        fs::write(self.folder.join("tidegate.yaml"), text)?;
        Ok(())
    }

    /// Forgets everything that it remembers.
    pub(crate) fn forget(&self) -> Result<()> {
        self.forget_all_but(&[])
    }

    /// Resets its syncs, and keeps the events.
    pub(crate) fn forget_progress(&self) -> Result<()> {
        self.forget_all_but(&["events"])
    }

    fn forget_all_but(&self, kept: &[&str]) -> Result<()> {
        let data = self.data();
        if !data.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&data)? {
            let entry = entry?;
            if kept.iter().any(|kept| entry.file_name() == *kept) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A command of the program, in its folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--project")
            .arg(&self.folder)
            .arg("--data")
            .arg(self.data())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a sync to its end; how long it took and its peak memory in bytes.
    pub(crate) async fn run(&self, sync: &str) -> Result<(Duration, u64)> {
        self.run_with(sync, &[]).await
    }

    /// The same with variables in its environment.
    pub(crate) async fn run_with(&self, sync: &str, variables: &[(&str, &str)]) -> Result<(Duration, u64)> {
        let started = Instant::now();
        let mut command = self.command(&["run", sync]);
        command.envs(variables.iter().copied());
        let mut child = command.spawn().context("tidegate does not start")?;
        let (status, memory) = memory::wait(&mut child).await?;
        let took = started.elapsed();
        ensure!(status.success(), "`tidegate run {sync}` ended with {status}: its reason stands above");
        Ok((took, memory))
    }

    /// Plans a run; how many rows were read for it, how long that took and its peak memory in bytes.
    pub(crate) async fn plan(&self, sync: &str) -> Result<(u64, Duration, u64)> {
        let started = Instant::now();
        let mut command = self.command(&["plan", sync, "--output", "json"]);
        let mut child = command.stdout(Stdio::piped()).spawn().context("tidegate does not start")?;
        let (status, memory) = memory::wait(&mut child).await?;
        let took = started.elapsed();
        ensure!(status.success(), "`tidegate plan {sync}` ended with {status}: its reason stands above");
        let said = child.wait_with_output().await?;
        let plan: serde_json::Value = serde_json::from_slice(&said.stdout)?;
        let read = plan["run"]["counts"]["read"].as_u64().context("`tidegate plan` counts what it read")?;
        Ok((read, took, memory))
    }

    /// How many events are in its log.
    pub(crate) async fn events(&self) -> Result<u64> {
        let said = self.command(&["events", "--output", "json"]).stdout(Stdio::piped()).output().await?;
        ensure!(said.status.success(), "`tidegate events` ended with {}", said.status);
        let counts: serde_json::Value = serde_json::from_slice(&said.stdout)?;
        let counts = counts["kinds"].as_array().context("`tidegate events` gives a list")?;
        Ok(counts.iter().filter_map(|count| count["events"].as_u64()).sum())
    }

    /// The rows that are in doubt: their syncs and keys.
    pub(crate) async fn in_doubt(&self) -> Result<Vec<(String, String)>> {
        let arguments = ["rows", "--in-doubt", "--limit", "1000000", "--output", "json"];
        let said = self.command(&arguments).stdout(Stdio::piped()).output().await?;
        ensure!(said.status.success(), "`tidegate rows` ended with {}", said.status);
        let rows: serde_json::Value = serde_json::from_slice(&said.stdout)?;
        let rows = rows["rows"].as_array().context("`tidegate rows` gives a list")?;
        let text = |row: &serde_json::Value, name: &str| {
            row[name].as_str().map(str::to_owned).with_context(|| format!("a row without `{name}`: {row}"))
        };
        rows.iter().map(|row| Ok((text(row, "sync")?, text(row, "key")?))).collect()
    }

    /// Starts serving on a free port.
    pub(crate) async fn serve(&self, variables: &[(&str, &str)]) -> Result<Serving> {
        let mut child = self
            .command(&["serve", "--listen", "127.0.0.1:0"])
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .context("tidegate does not start")?;
        let said = child.stderr.take().context("the program's stderr is piped")?;
        let mut lines = BufReader::new(said).lines();
        let address = time::timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    return address.trim().parse().context("`tidegate serve` says where it listens");
                }
                eprintln!("tidegate: {line}");
            }
            bail!("`tidegate serve` ended before it listened: its reason stands above")
        })
        .await
        .context("`tidegate serve` does not listen")??;
        // What it says later is passed on, so that it never waits for a reader.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("tidegate: {line}");
            }
        });
        Ok(Serving { child, address })
    }
}

/// The program while it serves. It is killed where it is dropped.
pub(crate) struct Serving {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Serving {
    /// Resident memory now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.child.id().and_then(memory::resident).unwrap_or_default()
    }

    /// The time that it has spent on processors.
    pub(crate) fn processor_time(&self) -> Duration {
        self.child.id().and_then(memory::processor_time).unwrap_or_default()
    }

    /// Kills it: it does nothing more.
    pub(crate) async fn kill(mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "`tidegate serve` ended before it was killed");
        self.child.kill().await.context("`tidegate serve` cannot be killed")
    }

    /// Asks it to stop and waits until it has; its peak memory in bytes.
    pub(crate) async fn stop(mut self) -> Result<u64> {
        let id = self.child.id().context("`tidegate serve` ended by itself")?;
        // It ends sooner than anybody could look.
        let before = memory::peak_resident(id).unwrap_or_default();
        let asked = Command::new("kill").arg(id.to_string()).status().await?;
        ensure!(asked.success(), "`tidegate serve` ended by itself");
        let (status, memory) = time::timeout(PATIENCE, memory::wait(&mut self.child))
            .await
            .context("`tidegate serve` does not stop")??;
        ensure!(status.success(), "`tidegate serve` ended with {status}");
        Ok(memory.max(before))
    }
}
