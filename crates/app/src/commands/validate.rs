//! `tidegate validate` and `tidegate schema`

use jiff::Timestamp;
use tidegate_model::{Clock, Error, SystemClock};
use tidegate_project::{Finding, Invalid, Project, SyncSpec};

use super::documents::{self, ScheduledSync, Validation};
use super::unconnected;
use crate::cli::{Output, ProjectArgs};
use crate::output::counted;
use crate::registry::{CHANNELS, CONNECTORS};
use crate::{DONE, MISCONFIGURED, output};

pub(super) fn validate(args: &ProjectArgs, out: Output) -> Result<u8, Error> {
    let read = tidegate_project::read(&args.project, CONNECTORS, CHANNELS)?.and_then(|project| {
        let errors = unconnected::findings(&project, &args.folder());
        let file = tidegate_project::locate(&args.project).unwrap_or_default().display().to_string();
        if errors.is_empty() { Ok(project) } else { Err(Invalid { file, errors }) }
    });
    match read {
        Ok(project) => {
            match out {
                Output::Text => print(&project),
                _ => output::document(out, &validation(args, &project)),
            }
            Ok(DONE)
        }
        Err(invalid) => {
            match out {
                Output::Text => output::error(&invalid.into()),
                _ => {
                    let nothing = validation(args, &Project::default());
                    let (file, errors) = (invalid.file, invalid.errors);
                    output::document(out, &Validation { valid: false, file, errors, ..nothing });
                }
            }
            Ok(MISCONFIGURED)
        }
    }
}

fn validation(args: &ProjectArgs, project: &Project) -> Validation {
    Validation {
        valid: true,
        file: tidegate_project::locate(&args.project).unwrap_or_default().display().to_string(),
        connections: project.connections.len(),
        syncs: project.syncs.len(),
        errors: Vec::new(),
        notes: project.notes.clone(),
        unset: project.unset(),
        schedules: project
            .syncs
            .iter()
            .map(|(id, sync)| ScheduledSync {
                sync: id.clone(),
                source: sync.source().clone(),
                destination: sync.destination().clone(),
                enabled: sync.options().enabled,
                schedule: sync.schedule().map(ToString::to_string),
                next_run_at: next(sync),
                contacts: sync.options().contacts.clone(),
                labels: sync.options().labels.clone(),
            })
            .collect(),
    }
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
    let (connections, syncs) = (project.connections.len() as u64, project.syncs.len() as u64);
    output::line(format!("valid: {}, {}", counted(connections, "connection"), counted(syncs, "sync")));
    for (id, sync) in &project.syncs {
        if let Some(next) = next(sync) {
            output::line(format!("  {id} runs next at {}", output::moment(next)));
        }
    }
    for Finding { at, path, message, next } in &project.notes {
        output::note(format!("  {}: line {}, `{path}`: {message}", output::toned("note"), at.line));
        output::note(format!("    → {next}"));
    }
    let unset = project.unset();
    for variable in &unset {
        output::note(format!(
            "  not set here: {} (line {}, `{}`)",
            variable.name, variable.at.line, variable.path
        ));
    }
    if !unset.is_empty() {
        let mut names: Vec<String> = unset.iter().map(|variable| format!("{}=…", variable.name)).collect();
        names.dedup();
        output::note(format!("    → `check`, `run` and `serve` need them: export {}", names.join(" ")));
    }
    if syncs == 0 {
        output::note("  → the project has no syncs yet: `tidegate init DIR` writes an example to copy from");
    }
}

pub(super) fn schema(verb: &[String]) -> Result<u8, Error> {
    match verb {
        [] => output::document(Output::Json, &tidegate_project::json_schema(CONNECTORS, CHANNELS)),
        words => output::document(Output::Json, &documents::schema(&words.join(" "))?),
    }
    Ok(DONE)
}
