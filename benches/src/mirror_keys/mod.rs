//! A mirror of very many keys: time, memory and disk of each run. The source makes its rows, see `src/keys.rs`.

mod disk;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::memory;
use crate::mirror_keys::disk::Held;
use crate::report::{self, grouped, mebibytes};

/// One of this many rows is changed.
const ONE_OF: u64 = 100;

/// What is measured.
pub(crate) struct Plan {
    /// How many rows the source has.
    pub(crate) keys: Vec<u64>,
    /// Where the state is made; a temporary folder if it is not said.
    pub(crate) folder: Option<PathBuf>,
}

/// A run of the mirror.
#[derive(Clone, Copy)]
enum Run {
    /// Nothing was sent before.
    First,
    /// Nothing has changed.
    Unchanged,
    /// Nothing has changed, and the source has its rows in another order.
    Reordered,
    /// One of a hundred rows has changed.
    Changed,
    /// These are as they were before.
    ChangedBack,
}

impl Run {
    const ALL: [Run; 5] = [Run::First, Run::Unchanged, Run::Reordered, Run::Changed, Run::ChangedBack];

    fn name(self) -> &'static str {
        match self {
            Run::First => "first",
            Run::Unchanged => "unchanged",
            Run::Reordered => "unchanged, in another order",
            Run::Changed => "1 % changed",
            Run::ChangedBack => "1 % changed back",
        }
    }

    fn arguments(self) -> Vec<String> {
        match self {
            Run::First | Run::Unchanged | Run::ChangedBack => Vec::new(),
            Run::Reordered => vec!["--shuffled".to_owned()],
            Run::Changed => vec!["--changed".to_owned(), ONE_OF.to_string()],
        }
    }

    /// How many rows it must send.
    fn sends(self, keys: u64) -> u64 {
        match self {
            Run::First => keys,
            Run::Unchanged | Run::Reordered => 0,
            Run::Changed | Run::ChangedBack => keys.div_ceil(ONE_OF),
        }
    }
}

/// What a run took.
struct Taken {
    took: Duration,
    memory: u64,
    /// What was on disk in its last moment, and at most.
    end: Held,
    peak: u64,
}

/// Measures, and prints the report on stdout; progress goes to stderr.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    let temporary = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let folder = plan.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    println!("## A mirror of many keys\n");
    println!(
        "{}, {}. Whole processes; the rows are made as they are read, and the platform takes them at once. Bytes of \
         disk are those of blocks, divided by the keys: the sorted hashes, the order of rows, everything else \
         (the status of each row that was sent, and the tables), and all of it with temporary files at the peak.\n",
        report::machine(),
        report::disk(&folder)?
    );
    println!(
        "| keys | run | seconds | keys/s | peak memory | hashes | order | status and tables | all at the peak |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|---:|");
    for &keys in &plan.keys {
        let data = folder.join(format!("keys-{keys}"));
        ensure!(!data.exists(), "{} is there already: remove it", data.display());
        for run in Run::ALL {
            line(keys, run, &measure(&data, keys, run).await?);
        }
        std::fs::remove_dir_all(&data)?;
    }
    Ok(())
}

fn line(keys: u64, run: Run, taken: &Taken) {
    let seconds = taken.took.as_secs_f64();
    let each = |bytes: u64| bytes as f64 / keys as f64;
    let Held { hashes, order, rest, .. } = taken.end;
    println!(
        "| {} | {} | {seconds:.1} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
        grouped(keys),
        run.name(),
        grouped((keys as f64 / seconds) as u64),
        mebibytes(taken.memory),
        each(hashes),
        each(order),
        each(rest),
        each(taken.peak)
    );
}

/// Runs the mirror once, and proves that it sent what it had to.
async fn measure(data: &Path, keys: u64, run: Run) -> Result<Taken> {
    let program = std::env::current_exe()?.with_file_name("tidegate-keys");
    ensure!(program.exists(), "no program at {}: run cargo build --release", program.display());
    let mut command = Command::new(&program);
    command.arg("--folder").arg(data).arg("--keys").arg(keys.to_string()).args(run.arguments());
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let watch = disk::Watch::begin(data, child.id().context("it has ended already")?);
    let (status, memory) = memory::wait(&mut child).await?;
    let took = started.elapsed();
    let peak = watch.end();
    ensure!(status.success(), "the mirror ended with {status}: its reason stands above");
    let mut said = String::new();
    child.stdout.take().context("its output")?.read_to_string(&mut said).await?;
    let sent = run.sends(keys);
    let expected = format!("{keys} {sent} {}", keys - sent);
    ensure!(said.trim() == expected, "{}: read, sent and left out {said:?}, not {expected:?}", run.name());
    let taken = Taken { took, memory, end: Held::of(data, None), peak };
    eprintln!("{keys} keys, {}: {:.1} s, {}", run.name(), took.as_secs_f64(), mebibytes(memory));
    Ok(taken)
}
