//! `tidegate status`, `runs`, `pause`, `resume` and `reset`

use comfy_table::Table;
use tidegate_engine::control::SyncStatus;
use tidegate_model::{Ending, Error, Run, SyncId};

use crate::DONE;
use crate::cli::{Output, Place};
use crate::output::{self, moment, number};

pub(super) async fn status(place: &Place, out: Output) -> Result<u8, Error> {
    let statuses = place.engine().await?.status().await?;
    output::print(out, &statuses, |statuses| status_table(statuses));
    if out == Output::Text {
        for status in &statuses {
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
        "open problems",
    ]);
    for status in statuses {
        let run = status.last_run.as_ref();
        table.add_row([
            status.sync.to_string(),
            status.object.to_owned(),
            status.route.clone(),
            if status.paused.is_some() { "paused" } else { "active" }.to_owned(),
            run.map_or_else(String::new, |run| moment(run.started_at)),
            run.map_or_else(String::new, |run| run.ending.map_or("running", Ending::as_str).to_owned()),
            run.map_or_else(String::new, |run| number(run.counts.delivered)),
            number(status.problems),
        ]);
    }
    table
}

pub(super) async fn runs(
    place: &Place,
    sync: Option<SyncId>,
    limit: usize,
    out: Output,
) -> Result<u8, Error> {
    let engine = place.engine().await?;
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
        "unchanged",
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
            number(run.counts.unchanged),
            number(run.counts.delivered),
            number(run.counts.rejected),
            number(run.counts.in_doubt),
            run.error.clone().unwrap_or_default(),
        ]);
    }
    table
}

pub(super) async fn pause(place: &Place, sync: &SyncId, why: &str) -> Result<u8, Error> {
    let by = std::env::var("USER").unwrap_or_else(|_| "a person".to_owned());
    place.engine().await?.pause(sync, &by, why).await?;
    output::line(format!("{sync} is paused"));
    Ok(DONE)
}

pub(super) async fn resume(place: &Place, sync: &SyncId) -> Result<u8, Error> {
    place.engine().await?.resume(sync).await?;
    output::line(format!("{sync} is active"));
    Ok(DONE)
}

pub(super) async fn reset(place: &Place, sync: &SyncId) -> Result<u8, Error> {
    place.engine().await?.reset(sync).await?;
    output::line(format!("{sync} reads from the beginning with its next run"));
    Ok(DONE)
}
