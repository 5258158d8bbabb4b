//! The log to Parquet files and to a Delta table, against the libraries alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::library;
use super::{Plan, fill, project};
use crate::load::beside;
use crate::report::{self, Heading, Measure, Series};
use crate::tidegate::Tidegate;

const CONNECTIONS: &str = "  files: { type: files, path: files }\n  lake: { type: delta, path: lake }\n";
const SYNCS: &str = "  parquet:
    source: { connection: web }
    destination: { connection: files, path: events, format: parquet }
  delta:
    source: { connection: web }
    destination: { connection: lake, schema: bench, table: events }
";

/// A form of table.
#[derive(Clone, Copy)]
struct Form {
    sync: &'static str,
    title: &'static str,
    library: &'static str,
    /// Where the export writes, below the project's folder.
    folder: &'static str,
    /// The files of each commit, in the order of the commits.
    commits: fn(&Path) -> Result<Vec<Vec<PathBuf>>>,
    /// Writes the batches of these files again.
    write: fn(&[Vec<PathBuf>], &Path) -> Result<std::time::Duration>,
}

const FORMS: [Form; 2] = [
    Form {
        sync: "parquet",
        title: "Log to Parquet files",
        library: "`parquet` alone",
        folder: "files/events",
        commits: files,
        write: library::parquet,
    },
    Form {
        sync: "delta",
        title: "Log to a Delta table",
        library: "`delta_kernel` alone",
        folder: "lake/bench/events",
        commits,
        write: library::delta,
    },
];

/// Measures both forms.
pub(super) async fn measure(plan: &Plan, tidegate: &Tidegate) -> Result<()> {
    tidegate.forget()?;
    let mut tables = FORMS.map(|form| (form, Vec::new()));
    let (mut there, mut peaks) = (0, Vec::new());
    for &events in &plan.events {
        if let Some(memory) = fill(tidegate, there, events).await? {
            peaks.push(format!("{} for {} events", report::mebibytes(memory), report::grouped(events)));
        }
        there = events;
        tidegate.project(&project(CONNECTIONS, SYNCS))?;
        for (form, series) in &mut tables {
            series.extend(one_form(plan, tidegate, *form, events).await?);
        }
    }
    println!("Peak memory while the log was filled: {}.\n", peaks.join(", "));
    for (form, series) in &tables {
        println!("### {}\n", form.title);
        println!("{}", report::table(&Heading { items: "events", limit: Some("library") }, series));
    }
    Ok(())
}

async fn one_form(plan: &Plan, tidegate: &Tidegate, form: Form, events: u64) -> Result<Vec<Series>> {
    let series = |name: &str| Series { name: name.into(), rows: events, rounds: Vec::new() };
    let mut ways = vec![series(form.library), series("`tidegate run`")];
    let target = tidegate.folder().join(form.folder);
    for round in 1..=plan.rounds {
        remove(&target)?;
        tidegate.forget_progress()?;
        let (took, memory) = tidegate.run(form.sync).await?;
        let commits = (form.commits)(&target)?;
        let written = rows(&commits)?;
        ensure!(written == events, "{written} of {events} events are in {}", target.display());
        let ours = Measure { took, memory: Some(memory), arrived: None };

        let again = tidegate.folder().join("library");
        remove(&again)?;
        fs::create_dir(&again)?;
        let to = again.clone();
        let took = beside(move || (form.write)(&commits, &to)).await?;
        let written = rows(&(form.commits)(&again)?)?;
        ensure!(written == events, "the library wrote {written} of {events} events");
        remove(&again)?;
        let library = Measure { took, memory: None, arrived: None };

        for (series, measure) in ways.iter_mut().zip([library, ours]) {
            eprintln!("{events} events, round {round}, {}: {:.2} s", series.name, measure.took.as_secs_f64());
            series.rounds.push(measure);
        }
    }
    remove(&target)?;
    Ok(ways)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

/// All Parquet files of a folder, each one a commit of its own.
fn files(folder: &Path) -> Result<Vec<Vec<PathBuf>>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("nothing was written to {}", folder.display()))?
        {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.push(vec![path]);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The files that each commit of a Delta table added.
///
/// Source: Delta transaction log protocol, add file.
fn commits(table: &Path) -> Result<Vec<Vec<PathBuf>>> {
    let log = table.join("_delta_log");
    let mut files: Vec<PathBuf> = fs::read_dir(&log)
        .with_context(|| format!("there is no table in {}", table.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut commits = Vec::new();
    for file in files {
        let mut added = Vec::new();
        for line in fs::read_to_string(&file)?.lines() {
            let action: serde_json::Value = serde_json::from_str(line)?;
            // Paths are encoded as in a URL; `=` is the only letter of ours that could be.
            added.extend(action["add"]["path"].as_str().map(|path| table.join(path.replace("%3D", "="))));
        }
        if !added.is_empty() {
            commits.push(added);
        }
    }
    Ok(commits)
}

/// How many rows the files have by their own account.
fn rows(commits: &[Vec<PathBuf>]) -> Result<u64> {
    let mut rows = 0;
    for path in commits.iter().flatten() {
        let file = File::open(path).with_context(|| format!("there is no file {}", path.display()))?;
        let counted = SerializedFileReader::new(file)?.metadata().file_metadata().num_rows();
        rows += u64::try_from(counted)?;
    }
    Ok(rows)
}
