//! `tidegate check`

use std::collections::HashSet;

use tidegate_engine::service::{Engine, Report, Subject};
use tidegate_model::{Checks, ConnectionId, Error, SyncId};
use tidegate_project::Project;

use super::documents::Checked;
use crate::cli::{Output, ProjectArgs};
use crate::output::toned;
use crate::{DONE, FAILED, output};

pub(super) async fn check(args: &ProjectArgs, names: &[String], out: Output) -> Result<u8, Error> {
    let engine = args.engine().await?;
    let project = engine.project();
    let mut reports = match names.is_empty() {
        true => everything(&engine).await?,
        false => Vec::new(),
    };
    for name in names {
        let connection = ConnectionId::new(name);
        if project.connections.contains_key(&connection) {
            reports.push(engine.check_connection(&connection).await?);
        } else if project.syncs.contains_key(&SyncId::new(name)) {
            reports.push(engine.check_sync(&SyncId::new(name)).await?);
        } else {
            return Err(unknown(project, name));
        }
    }
    let passed = reports.iter().all(|report| report.checks.passed());
    match out {
        Output::Text => {
            let mut said = Said::new();
            reports.iter().for_each(|report| print(report, &mut said));
            if reports.is_empty() {
                output::note(
                    "nothing to check: the project has no connections yet\n  → `tidegate init DIR` writes an example to copy from",
                );
            }
        }
        _ => {
            let checked = Checked { passed, reports };
            output::listing(out, &checked, &checked.reports);
        }
    }
    Ok(if passed { DONE } else { FAILED })
}

/// Checks every sync, and every connection that no sync uses.
pub(super) async fn everything(engine: &Engine) -> Result<Vec<Report>, Error> {
    let project = engine.project();
    let mut reports = Vec::new();
    for id in project.syncs.keys() {
        reports.push(engine.check_sync(id).await?);
    }
    let used: Vec<&ConnectionId> =
        project.syncs.values().flat_map(|sync| [sync.source(), sync.destination()]).collect();
    for id in project.connections.keys().filter(|id| !used.contains(id)) {
        reports.push(engine.check_connection(id).await?);
    }
    Ok(reports)
}

/// Returns the error for a name that the project does not have, with those that it has.
fn unknown(project: &Project, name: &str) -> Error {
    let listed = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let syncs = listed(project.syncs.keys().map(SyncId::as_str).collect());
    let connections = listed(project.connections.keys().map(ConnectionId::as_str).collect());
    Error::settings(format!("there is no sync and no connection `{name}`"))
        .hint(format!("the syncs are: {syncs}; the connections are: {connections}"))
}

/// Failures that were printed: what was found, and what to do about it.
pub(super) type Said<'a> = HashSet<(&'a str, Option<&'a str>)>;

/// Prints a report. What is wrong with a connection is wrong for each sync over it, and is said once: `said`
/// has the failures that were printed.
pub(super) fn print<'a>(report: &'a Report, said: &mut Said<'a>) {
    match &report.subject {
        Subject::Connection(id) => output::line(format!("connection {id}")),
        Subject::Sync(id) => output::line(format!("sync {id}")),
    }
    print_checks(&report.checks, said);
}

/// Prints checks below what they are about.
pub(super) fn print_checks<'a>(checks: &'a Checks, said: &mut Said<'a>) {
    for check in &checks.0 {
        let mark = match (check.passed, &check.remedy) {
            (true, None) => "ok  ",
            (true, Some(_)) => "note",
            (false, _) => "FAIL",
        };
        if !check.passed && !said.insert((&check.detail, check.remedy.as_deref())) {
            output::line(format!("  {} {}: see above, it is the same", toned(mark), check.name));
            continue;
        }
        output::line(format!("  {} {}: {}", toned(mark), check.name, check.detail));
        for line in check.remedy.iter().flat_map(|remedy| remedy.lines()) {
            output::line(format!("       → {line}"));
        }
    }
}
