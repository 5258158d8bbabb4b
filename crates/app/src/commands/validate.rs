//! `tidegate validate` and `tidegate schema`

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_model::{Clock, Error, SystemClock};
use tidegate_project::{Finding, Invalid, Project, SyncSpec};

use crate::cli::{Output, ProjectArgs};
use crate::registry::CONNECTORS;
use crate::{DONE, MISCONFIGURED, output};

pub(super) fn validate(args: &ProjectArgs, out: Output) -> Result<u8, Error> {
    match tidegate_project::read(&args.project, CONNECTORS)? {
        Ok(project) => {
            match out {
                Output::Json => output::json(&to_json(&project)),
                Output::Text => print(&project),
            }
            Ok(DONE)
        }
        Err(invalid) => {
            match out {
                Output::Json => output::json(&errors_to_json(&invalid)),
                Output::Text => output::error(&invalid.into()),
            }
            Ok(MISCONFIGURED)
        }
    }
}

fn errors_to_json(invalid: &Invalid) -> Value {
    json!({ "valid": false, "file": invalid.file, "errors": invalid.errors })
}

fn to_json(project: &Project) -> Value {
    let syncs = project.syncs.iter().map(|(id, sync)| {
        json!({
            "sync": id,
            "source": sync.source(),
            "destination": sync.destination(),
            "enabled": sync.options().enabled,
            "schedule": sync.schedule().map(ToString::to_string),
            "next_run_at": next(sync),
            "contacts": sync.options().contacts,
            "labels": sync.options().labels,
        })
    });
    json!({
        "valid": true,
        "connections": project.connections.len(),
        "syncs": project.syncs.len(),
        "unset": project.unset(),
        "notes": project.notes,
        "schedules": syncs.collect::<Vec<_>>(),
    })
}

/// When a sync with times of day runs next.
fn next(sync: &SyncSpec) -> Option<Timestamp> {
    match sync.schedule() {
        Some(tidegate_project::Schedule::Cron(cron)) if sync.options().enabled => {
            cron.next(SystemClock.now())
        }
        _ => None,
    }
}

fn print(project: &Project) {
    let counted = |count: usize, thing: &str| format!("{count} {thing}{}", if count == 1 { "" } else { "s" });
    let (connections, syncs) = (project.connections.len(), project.syncs.len());
    output::line(format!("valid: {}, {}", counted(connections, "connection"), counted(syncs, "sync")));
    for (id, sync) in &project.syncs {
        if let Some(next) = next(sync) {
            output::line(format!("  {id} runs next at {}", output::moment(next)));
        }
    }
    for Finding { at, path, message, next } in &project.notes {
        eprintln!("  note: line {}, `{path}`: {message}", at.line);
        eprintln!("    → {next}");
    }
    let unset = project.unset();
    for variable in &unset {
        eprintln!("  not set here: {} (line {}, `{}`)", variable.name, variable.at.line, variable.path);
    }
    if !unset.is_empty() {
        eprintln!("    → `check`, `run` and `serve` need them: export {}=…", unset[0].name);
    }
    if syncs == 0 {
        eprintln!("  → the project has no syncs yet: `tidegate init DIR` writes an example to copy from");
    }
}

pub(super) fn schema() -> Result<u8, Error> {
    output::json(&tidegate_project::json_schema(CONNECTORS));
    Ok(DONE)
}
