//! `tidegate status`, `runs`, `pause`, `resume` and `reset`

use comfy_table::Table;
use tidegate_engine::service::SyncStatus;
use tidegate_model::{Ending, Error, Lag, Run, SyncId};

use crate::DONE;
use crate::cli::{Output, ProjectArgs};
use crate::output::{self, moment, number};

pub(super) async fn status(args: &ProjectArgs, sync: Option<SyncId>, out: Output) -> Result<u8, Error> {
    let engine = args.engine().await?;
    if let Some(sync) = &sync {
        engine.sync(sync)?;
    }
    let mut statuses = engine.status().await?;
    statuses.retain(|status| sync.as_ref().is_none_or(|sync| status.sync == *sync));
    output::print(out, &statuses, |statuses| status_table(statuses));
    if out == Output::Text {
        if sync.is_some() {
            for status in statuses.iter().filter(|status| !status.lag.is_empty()) {
                output::line(lag_table(&status.lag).to_string());
            }
        }
        for status in &statuses {
            if let (Some(next), true) = (status.next_run_at, sync.is_some()) {
                output::line(format!("{} runs next at {}", status.sync, moment(next)));
            }
            for trouble in status.lag.iter().filter_map(|lag| lag.trouble.as_ref()) {
                eprintln!("{}: {trouble}", status.sync);
            }
            if let Some(pause) = &status.paused {
                eprintln!("{} is paused by {}: {}", status.sync, pause.by, pause.why);
            }
        }
    }
    Ok(DONE)
}

fn status_table(statuses: &[SyncStatus]) -> Table {
    let mut table = output::table(&[
        "sync",
        "object",
        "route",
        "state",
        "last run",
        "ended",
        "delivered",
        "failed rows",
        "behind",
    ]);
    for status in statuses {
        let run = status.last_run.as_ref();
        table.add_row([
            status.sync.to_string(),
            status.object.to_owned(),
            status.route.clone(),
            match (&status.paused, status.enabled) {
                (Some(_), _) => "paused",
                (None, false) => "draft",
                (None, true) => "active",
            }
            .to_owned(),
            run.map_or_else(String::new, |run| moment(run.started_at)),
            run.map_or_else(String::new, |run| run.ending.map_or("running", Ending::as_str).to_owned()),
            run.map_or_else(String::new, |run| number(run.counts.delivered)),
            number(status.failed_rows),
            match status.lag.as_slice() {
                [] => String::new(),
                lag => number(lag.iter().map(|lag| lag.behind).sum()),
            },
        ]);
    }
    table
}

fn lag_table(lag: &[Lag]) -> Table {
    let mut table = output::table(&["partition", "position", "end", "behind", "last seen", "in a minute"]);
    for lag in lag {
        table.add_row([
            lag.partition.clone(),
            number(lag.position),
            number(lag.end),
            number(lag.behind),
            lag.last_seen.map(moment).unwrap_or_default(),
            lag.per_minute.map(number).unwrap_or_default(),
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
    let engine = args.engine().await?;
    let runs = engine.runs(sync.as_ref(), limit).await?;
    output::print(out, &runs, |runs| runs_table(runs));
    Ok(DONE)
}

fn runs_table(runs: &[Run]) -> Table {
    let mut table = output::table(&[
        "run",
        "sync",
        "started",
        "ended",
        "read",
        "skipped",
        "delivered",
        "rejected",
        "in doubt",
        "error",
    ]);
    for run in runs {
        table.add_row([
            run.id.to_string(),
            run.sync.to_string(),
            moment(run.started_at),
            run.ending.map_or("running", Ending::as_str).to_owned(),
            number(run.counts.read),
            number(run.counts.skipped),
            number(run.counts.delivered),
            number(run.counts.rejected),
            number(run.counts.in_doubt),
            run.error.clone().unwrap_or_default(),
        ]);
    }
    table
}

pub(super) async fn pause(args: &ProjectArgs, sync: &SyncId, why: &str) -> Result<u8, Error> {
    let by = std::env::var("USER").unwrap_or_else(|_| "a person".to_owned());
    args.engine().await?.pause(sync, &by, why).await?;
    output::line(format!("{sync} is paused"));
    Ok(DONE)
}

pub(super) async fn resume(args: &ProjectArgs, sync: &SyncId) -> Result<u8, Error> {
    args.engine().await?.resume(sync).await?;
    output::line(format!("{sync} is active"));
    Ok(DONE)
}

pub(super) async fn reset(args: &ProjectArgs, sync: &SyncId) -> Result<u8, Error> {
    args.engine().await?.reset(sync).await?;
    output::line(format!(
        "checkpoint of {sync} cleared: its next run reads from the beginning; of a topic, from the offsets of its consumer group"
    ));
    Ok(DONE)
}
