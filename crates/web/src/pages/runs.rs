//! `/runs` and `/runs/{run}`

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::StreamExt;
use serde::Deserialize;
use tidegate_engine::service::Engine;
use tidegate_model::store::{FailedRowQuery, RunQuery};
use tidegate_model::{Ending, RunId, SyncId};

use super::live::LiveParts;
use super::shell::{self, Failure, Shell};
use super::views::{RowView, RunView, is_export};
use tidegate_model::address::encoded;

/// Runs of a page.
const SHOWN: usize = 50;
/// Failed rows that are listed with a run.
const FAILED_SHOWN: usize = 20;

/// Which runs a list shows.
#[derive(Debug, Deserialize)]
pub(super) struct Filter {
    sync: Option<String>,
    ending: Option<Ending>,
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    shell: Shell,
    runs: Vec<RunView>,
    sync: Option<String>,
    chips: Vec<(String, &'static str, bool)>,
    older: Option<String>,
    is_filtered: bool,
}

pub(super) async fn list(
    State(engine): State<Arc<Engine>>,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Filter { sync, ending, after }) = filter?;
    let sync = sync.filter(|sync| !sync.is_empty());
    let query = RunQuery {
        sync: sync.as_ref().map(SyncId::new),
        ending,
        from: None,
        before: after.as_ref().map(RunId::new),
        limit: SHOWN + 1,
    };
    let mut runs = engine.find_runs(&query).await?;
    let more = runs.len() > SHOWN;
    runs.truncate(SHOWN);
    let of_sync = sync.as_ref().map(|sync| format!("&sync={}", encoded(sync))).unwrap_or_default();
    let of_ending = ending.map(|ending| format!("&ending={ending}")).unwrap_or_default();
    let chip = |name, wanted: Option<Ending>| {
        let part = wanted.map(|ending| format!("&ending={ending}")).unwrap_or_default();
        (format!("/runs?{}", format!("{of_sync}{part}").trim_start_matches('&')), name, ending == wanted)
    };
    let older = runs
        .last()
        .filter(|_| more)
        .map(|run| format!("/runs?after={}{of_sync}{of_ending}", encoded(run.id.as_str())));
    let shell = Shell::new(&engine, "Runs", "/runs").await?;
    let template = RunsPage {
        runs: runs.iter().map(|run| RunView::new(run, is_export(&engine, &run.sync), shell.now)).collect(),
        chips: vec![
            chip("All", None),
            chip("Failed", Some(Ending::Failed)),
            chip("Partial", Some(Ending::Partial)),
            chip("Interrupted", Some(Ending::Interrupted)),
            chip("Succeeded", Some(Ending::Succeeded)),
        ],
        is_filtered: sync.is_some() || ending.is_some() || after.is_some(),
        sync,
        older,
        shell,
    };
    shell::page(&headers, &template)
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    shell: Shell,
    run: RunView,
    live: String,
    failed: Vec<RowView>,
    more_failed: bool,
    failed_path: String,
}

/// The part of a run's page that changes while the run is in progress.
#[derive(Template)]
#[template(path = "run_live.html")]
struct Live<'a> {
    run: &'a RunView,
}

pub(super) async fn page(
    State(engine): State<Arc<Engine>>,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let id = RunId::new(&run);
    let found = engine.find_run(&id).await?.ok_or_else(|| unknown(&run))?;
    let query = FailedRowQuery { run: Some(id), limit: FAILED_SHOWN + 1, ..FailedRowQuery::default() };
    let failed = engine.find_failed_rows(&query).await?;
    let shell = Shell::new(&engine, format!("Run of {}", found.sync), "/runs").await?;
    let view = RunView::new(&found, is_export(&engine, &found.sync), shell.now);
    let template = RunPage {
        live: live_part(&view)?,
        more_failed: failed.len() > FAILED_SHOWN,
        failed: failed.iter().take(FAILED_SHOWN).map(|row| RowView::new(row, shell.now)).collect(),
        failed_path: format!("/failed-rows/group?sync={}", encoded(found.sync.as_str())),
        run: view,
        shell,
    };
    shell::page(&headers, &template)
}

fn live_part(run: &RunView) -> Result<String, Failure> {
    let text = Live { run }.render();
    text.map_err(|cause| {
        Failure::from(tidegate_model::Error::internal("a run could not be shown").caused_by(cause))
    })
}

/// The changes of a run, as parts of its page.
pub(super) async fn live(
    State(engine): State<Arc<Engine>>,
    State(parts): State<LiveParts>,
    Path(run): Path<String>,
) -> Result<Response, Failure> {
    let id = RunId::new(&run);
    engine.find_run(&id).await?.ok_or_else(|| unknown(&run))?;
    Ok(parts.follow(format!("/runs/{run}"), || {
        let watching = engine.clone();
        let versions = engine.watch_run(id).map(move |run| {
            let export = is_export(&watching, &run.sync);
            let part = live_part(&RunView::new(&run, export, watching.now())).unwrap_or_default();
            format!("<hx-partial hx-target=\"#live\" hx-swap=\"outerMorph\">{part}</hx-partial>")
        });
        versions.boxed()
    }))
}

fn unknown(run: &str) -> Failure {
    Failure::not_found(format!("There is no run `{run}`."), "The list of runs shows those that are kept.")
}
