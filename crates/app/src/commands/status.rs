//! `tidegate status`, `runs`, `pause`, `resume` and `reset`

use std::time::Duration;

use tidegate_engine::service::SyncStatus;
use tidegate_model::{Ending, Error, Lag, Run, SyncId};

use super::documents::{Changed, Runs, Syncs};
use super::people::{done, user_of_machine};
use crate::DONE;
use crate::cli::{Output, ProjectArgs};
use crate::output::table::{Table, count, numeric, sentence, state, word};
use crate::output::{self, moment, note, number};

/// How long `pause` waits for a run to end. One that follows ends within seconds.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn status(args: &ProjectArgs, sync: Option<SyncId>, out: Output) -> Result<u8, Error> {
    let engine = args.showing_engine().await?;
    if let Some(sync) = &sync {
        engine.sync(sync)?;
    }
    let mut statuses = engine.status().await?;
    statuses.retain(|status| sync.as_ref().is_none_or(|sync| status.sync == *sync));
    match out {
        Output::Text => print(&statuses, sync.is_some()),
        _ => {
            let syncs = Syncs { syncs: statuses };
            output::listing(out, &syncs, &syncs.syncs);
        }
    }
    Ok(DONE)
}

fn print(statuses: &[SyncStatus], one: bool) {
    match (statuses.is_empty(), one) {
        (true, _) => note("the project has no syncs yet"),
        (false, true) => output::records(&status_table(statuses)),
        (false, false) => output::table(&status_table(statuses)),
    }
    for status in statuses {
        if one && !status.lag.is_empty() {
            output::line("");
            output::table(&lag_table(&status.lag));
        }
        if let (Some(next), true) = (status.next_run_at, one) {
            output::line(format!("\n{} runs next at {}", status.sync, moment(next)));
        }
        for trouble in status.lag.iter().filter_map(|lag| lag.trouble.as_ref()) {
            note(format!("{}: {trouble}", status.sync));
        }
        if let Some(wait) = &status.wait {
            note(format!("{}: {wait}", status.sync));
        }
        match (&status.paused, failure(status)) {
            (Some(pause), _) => {
                let why = shortened(&pause.why, &status.sync);
                note(format!("{} is paused by {}: {why}", status.sync, pause.by));
            }
            (None, Some(why)) => {
                note(format!("the last run of {} failed: {}", status.sync, shortened(why, &status.sync)));
            }
            (None, None) => {}
        }
    }
    let failed: u64 = statuses.iter().map(|status| status.failed_rows).sum();
    if failed > 0 {
        note("→ `tidegate rows --open --by reason` shows why rows failed");
    }
}

/// Returns why the last run failed, if it did.
fn failure(status: &SyncStatus) -> Option<&str> {
    let failed = status.last_run.as_ref().filter(|run| run.ending == Some(Ending::Failed));
    failed.and_then(|run| run.error.as_deref())
}

/// Returns a reason of about a paragraph. `check` has the rest, such as the statement that creates a table.
fn shortened(why: &str, sync: &SyncId) -> String {
    // The line begins with the sync already.
    let why = why.strip_prefix(&format!("sync `{sync}`: ")).unwrap_or(why);
    /// Longer reasons hold a statement.
    const LETTERS_MAX: usize = 400;
    let first = why.lines().next().unwrap_or_default();
    let cut = first.char_indices().nth(LETTERS_MAX).map(|(at, _)| at);
    if cut.is_none() && first.len() == why.trim_end().len() {
        return why.trim_end().to_owned();
    }
    let kept = &first[..cut.unwrap_or(first.len())];
    let kept = if cut.is_some() { kept.rsplit_once(' ').map_or(kept, |(kept, _)| kept) } else { kept };
    format!("{} … (`tidegate check {sync}` shows all of it)", kept.trim_end_matches([' ', ':', '(']))
}

fn status_table(statuses: &[SyncStatus]) -> Table {
    let mut table = Table::new([
        word("sync"),
        word("object").optional(),
        word("route").optional(),
        word("state"),
        word("last run").optional(),
        word("ended"),
        numeric("delivered in run"),
        numeric("failed rows"),
        numeric("behind"),
    ]);
    for status in statuses {
        let run = status.last_run.as_ref();
        table.row([
            status.sync.to_string().into(),
            status.object.into(),
            status.route.as_str().into(),
            state(match (&status.paused, status.enabled) {
                (Some(_), _) => "paused",
                (None, false) => "draft",
                (None, true) if status.waiting => "waiting",
                (None, true) => "active",
            }),
            run.map_or_else(String::new, |run| moment(run.started_at)).into(),
            state(run.map_or("never ran", |run| run.ending.map_or("running", Ending::as_str))),
            run.map_or_else(String::new, |run| number(run.counts.delivered)).into(),
            number(status.failed_rows).into(),
            match status.lag.as_slice() {
                [] => String::new(),
                lag => number(lag.iter().map(|lag| lag.behind).sum()),
            }
            .into(),
        ]);
    }
    table
}

fn lag_table(lag: &[Lag]) -> Table {
    let mut table = Table::new([
        word("partition"),
        numeric("position"),
        numeric("end"),
        numeric("behind"),
        word("last seen"),
        numeric("in a minute"),
    ]);
    for lag in lag {
        table.row([
            lag.partition.as_str().into(),
            number(lag.position).into(),
            number(lag.end).into(),
            number(lag.behind).into(),
            lag.last_seen.map(moment).unwrap_or_default().into(),
            lag.per_minute.map(number).unwrap_or_default().into(),
        ]);
    }
    table
}

pub(super) async fn runs(
    args: &ProjectArgs,
    sync: Option<SyncId>,
    limit: usize,
    out: Output,
) -> Result<u8, Error> {
    let engine = args.showing_engine().await?;
    if let Some(sync) = &sync {
        engine.has_history_of(sync).await?;
    }
    let runs = engine.runs(sync.as_ref(), limit).await?;
    match out {
        Output::Text if runs.is_empty() => note("no runs yet"),
        Output::Text => output::table(&runs_table(&runs)),
        _ => {
            let runs = Runs { runs };
            output::listing(out, &runs, &runs.runs);
        }
    }
    Ok(DONE)
}

fn runs_table(runs: &[Run]) -> Table {
    let mut table = Table::new([
        word("run"),
        word("sync"),
        word("started").optional(),
        word("ended"),
        numeric("read").optional(),
        numeric("skipped").optional(),
        numeric("delivered"),
        numeric("rejected"),
        numeric("in doubt"),
        sentence("error"),
    ]);
    for run in runs {
        table.row([
            run.id.to_string().into(),
            run.sync.to_string().into(),
            moment(run.started_at).into(),
            state(run.ending.map_or("running", Ending::as_str)),
            number(run.counts.read).into(),
            count(run.counts.skipped),
            number(run.counts.delivered).into(),
            count(run.counts.rejected),
            count(run.counts.in_doubt),
            run.error.clone().unwrap_or_default().into(),
        ]);
    }
    table
}

pub(super) async fn pause(args: &ProjectArgs, sync: &SyncId, why: &str, out: Output) -> Result<u8, Error> {
    let engine = args.engine().await?;
    engine.pause(sync, &user_of_machine(), why).await?;
    done(&engine, "pause_sync", sync.as_str()).await;
    let text = match engine.has_ended(sync, PATIENCE).await? {
        true => format!("{sync} is paused"),
        false => format!("{sync} is paused; its run has not ended yet: `tidegate status {sync}` shows it"),
    };
    changed(sync, "paused", &text, out);
    Ok(DONE)
}

pub(super) async fn resume(args: &ProjectArgs, sync: &SyncId, out: Output) -> Result<u8, Error> {
    let engine = args.engine().await?;
    engine.resume(sync).await?;
    done(&engine, "resume_sync", sync.as_str()).await;
    changed(sync, "resumed", &format!("{sync} is active"), out);
    Ok(DONE)
}

/// Says what was changed of a sync.
pub(super) fn changed(sync: &SyncId, done: &'static str, text: &str, out: Output) {
    match out {
        Output::Text => output::line(text),
        _ => output::document(out, &Changed { sync: sync.clone(), done }),
    }
}
