//! `tidegate run`, `tidegate retry` and `tidegate dismiss`

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use tidegate_engine::service::{Engine, Rejection, RetryFilter, RetryResult, RunMode};
use tidegate_model::store::{Pause, PausedBy};
use tidegate_model::{Cause, Clock, Ending, Error, ErrorKind, Mode, Run, SyncId, SystemClock};
use tidegate_project::{Schedule, SyncSpec};
use tokio_util::sync::CancellationToken;

use super::documents::{Dismissed, FinishedRun, Retried, Runs};
use super::people::done;
use crate::cli::{Output, ProjectArgs};
use crate::output::{self, counted, note, number, toned};
use crate::progress::Lines;
use crate::{DONE, FAILED, MISCONFIGURED, PARTIAL};

/// Which syncs to run, and how.
pub(super) struct Wanted {
    pub(super) syncs: Vec<String>,
    pub(super) all: bool,
    pub(super) parallel: u8,
    /// What each of them does.
    pub(super) task: Task,
}

/// What a run does.
pub(super) enum Task {
    /// It runs its sync in this way.
    Run(RunMode),
    /// It sends the attributes of this column for all rows.
    Backfill(String),
}

/// Returns what syncs do by the options of the command line.
///
/// # Errors
/// If `plan` is no id of a plan.
pub(super) fn task(
    yes: bool,
    full: bool,
    plan: Option<&str>,
    backfill: Option<String>,
) -> Result<Task, Error> {
    Ok(match (plan, backfill) {
        (_, Some(column)) => Task::Backfill(column),
        (Some(plan), _) => Task::Run(RunMode::Planned(plan.parse()?)),
        _ if full => Task::Run(RunMode::Full { confirmed: yes }),
        _ if yes => Task::Run(RunMode::Confirmed),
        _ => Task::Run(RunMode::Once),
    })
}

pub(super) async fn run(args: &ProjectArgs, wanted: Wanted, out: Output) -> Result<u8, Error> {
    let Wanted { syncs: names, all, parallel, task } = wanted;
    let engine = Arc::new(args.engine().await?);
    let syncs = match all {
        true => every_sync(&engine, out).await?,
        false => names.iter().map(SyncId::new).collect(),
    };
    if syncs.is_empty() && engine.project().syncs.is_empty() {
        return Err(Error::settings("the project has no syncs yet").hint("add one under `syncs`"));
    }
    if syncs.is_empty() && out == Output::Text {
        note("nothing to run: every sync is a draft, paused, or runs continuously");
    }
    for sync in &syncs {
        engine.sync(sync)?;
    }
    if matches!(task, Task::Run(RunMode::Planned(_)) | Task::Backfill(_)) && syncs.len() != 1 {
        return Err(Error::settings("a plan and a backfill are of one sync each")
            .hint("name one sync, as in `tidegate run SYNC --plan ID`"));
    }
    run_each(&engine, syncs, usize::from(parallel), &task, &super::signals::stop_on_signals(), out).await
}

/// Runs the syncs and prints how each ended. Returns the exit code.
pub(super) async fn run_each(
    engine: &Arc<Engine>,
    syncs: Vec<SyncId>,
    parallel: usize,
    task: &Task,
    stop: &CancellationToken,
    out: Output,
) -> Result<u8, Error> {
    let lines = Lines::default();
    let mut ended = futures_util::stream::iter(syncs)
        .map(|sync| {
            let (engine, stop, progress) = (engine.clone(), stop.clone(), lines.follow(&sync));
            async move {
                let began = SystemClock.now();
                let run = match task {
                    _ if stop.is_cancelled() => {
                        Err(Error::new(ErrorKind::Unavailable, "stopped before it began"))
                    }
                    Task::Run(mode) => engine.run_in_mode(&sync, *mode, Cause::Manual, stop, progress).await,
                    Task::Backfill(column) => engine.backfill(&sync, column, stop, progress).await,
                };
                (sync, began, run)
            }
        })
        .buffered(parallel);
    let mut code = DONE;
    let mut runs = Vec::new();
    let mut faults = Faults::default();
    while let Some((sync, began, run)) = ended.next().await {
        // Other runs are under way: what the store does not answer ends none of them.
        let mut told = |error: Error| {
            tracing::error!(%sync, error = error.chain(), "the failed rows of the run could not be read");
            code = worse(code, FAILED);
        };
        let failed_rows = engine.open_failed_rows(&sync).await.unwrap_or_else(|error| {
            told(error);
            0
        });
        match run {
            Ok(run) => {
                let reasons = engine.reasons(&run).await.unwrap_or_else(|error| {
                    told(error);
                    Vec::new()
                });
                code = worse(code, code_of(&run));
                if out == Output::Text {
                    let fault = run.error.as_deref().and_then(|error| faults.same(&sync, error));
                    print(&run, &reasons, failed_rows, fault);
                }
                runs.push(FinishedRun::of(run, reasons, failed_rows));
            }
            Err(error) => {
                code = worse(code, if error.kind() == ErrorKind::Settings { MISCONFIGURED } else { FAILED });
                if out == Output::Text {
                    match faults.same(&sync, &error.chain()) {
                        Some(first) => note(format!("{sync}: {}: the same as of {first}", toned("error"))),
                        None => {
                            note(format!("{sync}:"));
                            output::error(&error);
                        }
                    }
                }
                runs.push(FinishedRun::not_begun(sync, began, &error, failed_rows));
            }
        }
    }
    engine.flush_sandbox_webhooks().await;
    if let Err(error) = engine.tell_alerts().await {
        tracing::warn!(error = error.chain(), "alerts could not be looked at");
    }
    if out != Output::Text {
        let runs = Runs { runs };
        output::listing(out, &runs, &runs.runs);
    }
    Ok(code)
}

/// Errors that were printed, with the sync that had each first: nine syncs of a connection that is
/// gone say so once.
#[derive(Default)]
struct Faults(HashMap<String, SyncId>);

impl Faults {
    /// Returns the sync whose run failed for the same reason before.
    fn same(&mut self, sync: &SyncId, error: &str) -> Option<SyncId> {
        let error = error.replace(&format!("sync `{sync}`: "), "");
        let first = self.0.entry(error).or_insert_with(|| sync.clone());
        (first != sync).then(|| first.clone())
    }
}

/// Every sync that `run --all` runs: continuous ones belong to `tidegate serve`, and what a person paused waits
/// for a person.
pub(super) async fn every_sync(engine: &Engine, out: Output) -> Result<Vec<SyncId>, Error> {
    engine.heed_older_state().await?;
    let states = engine.store().sync_states().await?;
    let mut syncs = Vec::new();
    for (id, sync) in &engine.project().syncs {
        let pause = states.get(id).and_then(|state| state.paused.as_ref());
        let skipped = match pause {
            _ if !sync.options().enabled => Some("it is a draft (`enabled: false`)".to_owned()),
            Some(Pause { by: PausedBy::System, .. }) | None => None,
            Some(Pause { by, why, .. }) => Some(format!("{by} paused it: {why}")),
        };
        match skipped {
            Some(why) if out == Output::Text => note(format!("{id}: skipped, {why}")),
            Some(_) => {}
            None if sync.schedule() == Some(&Schedule::Continuous) => {}
            None => syncs.push(id.clone()),
        }
    }
    Ok(syncs)
}

pub(super) async fn retry(
    args: &ProjectArgs,
    sync: &SyncId,
    user: Option<String>,
    in_doubt: bool,
    out: Output,
) -> Result<u8, Error> {
    let engine: Engine = args.engine().await?;
    let progress = Lines::default().follow(sync);
    let filter = RetryFilter { user, in_doubt, ..RetryFilter::default() };
    let result = engine.retry(sync, &filter, super::signals::stop_on_signals(), progress).await?;
    done(&engine, "retry_rows", sync.as_str()).await;
    engine.flush_sandbox_webhooks().await;
    let code = result.run.as_ref().map_or(DONE, code_of);
    match out {
        Output::Text => print_retry(&engine, sync, &result, in_doubt).await?,
        _ => output::document(out, &Retried { sync: sync.clone(), result }),
    }
    Ok(code)
}

/// Closes failed rows of a sync without a delivery.
pub(super) async fn dismiss(
    args: &ProjectArgs,
    sync: &SyncId,
    filter: &RetryFilter,
    reason: &str,
    out: Output,
) -> Result<u8, Error> {
    let engine = args.engine().await?;
    let dismissed = engine.dismiss(sync, filter, reason).await?;
    done(&engine, "dismiss_rows", sync.as_str()).await;
    let failed_rows = engine.open_failed_rows(sync).await?;
    if out != Output::Text {
        output::document(out, &Dismissed { sync: sync.clone(), dismissed, failed_rows });
        return Ok(DONE);
    }
    output::line(format!("{sync}: {} dismissed", counted(dismissed, "failed row")));
    if failed_rows > 0 {
        let left = counted(failed_rows, "failed row");
        note(format!(
            "  {left} still open\n  → `tidegate rows --open --sync {sync}` lists them; `--in-doubt` closes rows in doubt"
        ));
    }
    Ok(DONE)
}

async fn print_retry(
    engine: &Engine,
    sync: &SyncId,
    result: &RetryResult,
    in_doubt: bool,
) -> Result<(), Error> {
    let is_mirror = matches!(engine.sync(sync)?, SyncSpec::Import(import) if import.mode == Mode::Mirror);
    let left = left_by_retry(sync, result, in_doubt, is_mirror);
    match &result.run {
        Some(run) => print(run, &engine.reasons(run).await?, engine.open_failed_rows(sync).await?, None),
        None if !left.is_empty() => output::line(format!("{sync}: nothing was sent again")),
        None if in_doubt => output::line(format!("{sync}: nothing to send again: no row is in doubt")),
        None => output::line(format!(
            "{sync}: nothing to send again; rows in doubt are sent with `--in-doubt` only"
        )),
    }
    left.into_iter().for_each(note);
    Ok(())
}

/// Says which failed rows a retry did not send, and what can be done about them.
fn left_by_retry(sync: &SyncId, result: &RetryResult, in_doubt: bool, is_mirror: bool) -> Vec<String> {
    let mut left = Vec::new();
    let dismiss = if in_doubt { format!("{sync} --in-doubt") } else { sync.to_string() };
    if result.gone > 0 {
        let rows = counted(result.gone, "row");
        left.push(match is_mirror {
            true => {
                format!("  {rows} no longer at the source: the next run acts as `removed` of the sync says")
            }
            false => format!(
                "  {rows} no longer at the source: `tidegate dismiss {dismiss}` closes rows that need no delivery"
            ),
        });
    }
    if result.malformed > 0 {
        let inputs = counted(result.malformed, "input");
        left.push(match in_doubt {
            true => format!(
                "  {inputs} not kept whole: look at the destination for each; `tidegate dismiss {dismiss}` closes those that need no delivery"
            ),
            false => format!(
                "  {inputs} could not be parsed or kept whole: correct it at the source, then run the sync again; lines of a file go into a new file"
            ),
        });
    }
    left
}

/// Prints a run on one line, then why rows failed and what to do. `fault` is a sync whose run failed for
/// the same reason.
fn print(run: &Run, rejections: &[Rejection], failed_rows: u64, fault: Option<SyncId>) {
    let counts = run.counts;
    let ending = run.ending.map_or("running", Ending::as_str);
    let mut text = format!("{}: {} · {} read", run.sync, toned(ending), number(counts.read));
    // Of a run that ended before it read anything, nothing of what it compared came about.
    let is_refused = run.error.is_some() && counts.read + counts.delivered == 0;
    let compared = run.compared.filter(|_| !is_refused).unwrap_or_default();
    for (count, word) in [
        (compared.added, "added"),
        (compared.changed, "changed"),
        (compared.removed, "removed"),
        (counts.delivered, "delivered"),
        (counts.skipped, "skipped"),
        (counts.ignored, "changed and ignored"),
        (counts.rejected, "rejected"),
        (counts.in_doubt, "in doubt"),
        (counts.not_due, "not due"),
    ] {
        if count > 0 {
            text.push_str(&format!(" · {} {word}", number(count)));
        }
    }
    if let Some(finished_at) = run.finished_at {
        let seconds = finished_at.duration_since(run.started_at).as_secs_f64();
        text.push_str(&format!(" · {seconds:.1} s"));
    }
    output::line(text);
    match (&run.error, fault) {
        (Some(_), Some(first)) => note(format!("  {}: the same as of {first}", toned("error"))),
        (Some(error), None) => note(format!("  {}: {error}", toned("error"))),
        (None, _) => {}
    }
    for line in reasons(rejections, "") {
        note(line);
    }
    if counts.rejected > 0 {
        note(format!("  → `tidegate rows --rejected --run {}` lists the rejected rows", run.id));
    }
    if counts.in_doubt > 0 {
        note(format!("  → `tidegate rows --in-doubt --run {}` lists the rows in doubt", run.id));
    }
    let earlier = failed_rows.saturating_sub(counts.rejected + counts.in_doubt);
    if earlier > 0 {
        note(format!(
            "  {} of earlier runs still failed\n  → `tidegate rows --open --sync {} --by reason` shows why",
            counted(earlier, "row"),
            run.sync
        ));
    }
}

/// Returns a line for each reason and one with examples, as `plan` and `run` print them.
pub(super) fn reasons(rejections: &[Rejection], word: &str) -> Vec<String> {
    let space = if word.is_empty() { "" } else { " " };
    let mut lines = Vec::new();
    for rejection in rejections {
        let Rejection { code, message, rows, .. } = rejection;
        lines.push(format!("  {word}{space}{} × {code}: {message}", number(*rows)));
        let examples: Vec<&str> =
            rejection.examples.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        if !examples.is_empty() {
            lines.push(format!("    for example {}", examples.join(", ")));
        }
    }
    lines
}

fn code_of(run: &Run) -> u8 {
    match run.ending {
        Some(Ending::Succeeded) => DONE,
        Some(Ending::Partial) => PARTIAL,
        _ => FAILED,
    }
}

/// The code to end with: a failure counts more than a partial success.
fn worse(a: u8, b: u8) -> u8 {
    let rank = |code: u8| [DONE, PARTIAL, MISCONFIGURED, FAILED].iter().position(|known| *known == code);
    if rank(b) > rank(a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_a_retry_did_not_send_come_with_what_is_done_about_them() {
        let left = |gone, malformed, in_doubt, is_mirror| {
            let result = RetryResult { run: None, gone, malformed };
            left_by_retry(&SyncId::new("orders"), &result, in_doubt, is_mirror).join("")
        };
        assert_eq!(left(0, 0, true, true), "");
        let mirror = left(2, 0, false, true);
        assert!(
            mirror.contains("2 rows no longer at the source") && mirror.contains("`removed`"),
            "{mirror}"
        );
        let cursor = left(1, 0, true, false);
        assert!(cursor.contains("`tidegate dismiss orders --in-doubt`"), "{cursor}");
        let not_kept = left(0, 1, true, false);
        assert!(not_kept.contains("not kept whole") && !not_kept.contains("at the source"), "{not_kept}");
    }
}
