//! `tidegate reset`

use std::io::{BufRead, IsTerminal, Write};

use tidegate_engine::service::Engine;
use tidegate_model::{Error, Mode, ObjectKind, SyncId};
use tidegate_project::{ImportSpec, Removed};

use super::people::done;
use super::status::changed;
use crate::DONE;
use crate::cli::{Output, ProjectArgs};
use crate::output::note;

/// Says what follows from a reset, asks, and resets.
pub(super) async fn reset(args: &ProjectArgs, sync: &SyncId, yes: bool, out: Output) -> Result<u8, Error> {
    let engine = args.engine().await?;
    let begins = begins(engine.sync(sync)?.as_import());
    if !yes {
        ask(sync, &consequences(&engine, sync).await?)?;
    }
    // Listened for after the question: until then the signal ends the command.
    engine.reset_unless(sync, &super::signals::stop_on_signals()).await?;
    done(&engine, "reset_sync", sync.as_str()).await;
    let text = format!("checkpoint of {sync} cleared: its next run starts from {begins}");
    changed(sync, "reset", &text, out);
    Ok(DONE)
}

fn begins(import: Option<&ImportSpec>) -> &'static str {
    match import {
        Some(ImportSpec { mode: Mode::Stream, .. }) => {
            "the offsets of its consumer group, or from the whole table if it follows one"
        }
        _ => "the beginning",
    }
}

/// Returns what follows from a reset, a sentence each.
async fn consequences(engine: &Engine, sync: &SyncId) -> Result<Vec<String>, Error> {
    let spec = engine.sync(sync)?;
    let import = spec.as_import();
    let mut lines = vec![format!("the next run starts from {}, and sends all that it reads", begins(import))];
    match import.map(|import| (import.destination.object, import.mode, import.removed)) {
        Some((ObjectKind::Event | ObjectKind::Purchase, ..)) => {
            lines.push("events and purchases that were sent before may count twice".to_owned());
        }
        Some((_, Mode::Mirror, Removed::Delete | Removed::Update)) => {
            lines.push("rows that are gone by then are not known any more: their users stay".to_owned());
        }
        Some(_) => {}
        None => lines.push("a sink that does not recognize events has them twice".to_owned()),
    }
    lines.push("runs, row statuses and failed rows stay".to_owned());
    if let Some(import) = import.filter(|import| import.mode != Mode::Stream)
        && (import.mode == Mode::Mirror || import.cursor.is_some())
    {
        lines.push(format!("`tidegate run {sync} --full` sends all rows once and forgets nothing"));
    }
    Ok(lines)
}

fn ask(sync: &SyncId, lines: &[String]) -> Result<(), Error> {
    note(format!("resetting {sync}:"));
    lines.iter().for_each(|line| note(format!("  {line}")));
    let declined = || Error::settings(format!("{sync} was not reset"));
    if !std::io::stdin().is_terminal() {
        return Err(declined().hint(format!("run `tidegate reset {sync} --yes` if that is meant")));
    }
    let mut stderr = std::io::stderr();
    let mut answer = String::new();
    let asked = write!(stderr, "reset it? [y/N] ").and_then(|()| stderr.flush());
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(declined().hint("nothing was changed")),
    }
}
