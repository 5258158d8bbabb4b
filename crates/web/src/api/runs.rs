//! Runs: lists, one run, and a run in progress.

use std::convert::Infallible;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_model::store::RunQuery;
use tidegate_model::{Ending, RunId, SyncId};
use utoipa::IntoParams;

use super::reply::{self, Page};
use super::types::{EndingWord, Run};
use super::{Problem, Shared};

/// Rows of a page, if the request does not say.
const LIMIT: u32 = 50;
/// The most rows of a page.
const LIMIT_MAX: u32 = 500;

/// Returns how many rows a page has.
pub(super) fn page_size(asked: Option<u32>) -> usize {
    asked.unwrap_or(LIMIT).clamp(1, LIMIT_MAX) as usize
}

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Runs {
    /// Of one sync.
    sync: Option<String>,
    /// `succeeded`, `partial`, `failed` or `interrupted`.
    #[param(value_type = Option<EndingWord>, inline)]
    ending: Option<Ending>,
    /// Started at this time or later.
    from: Option<Timestamp>,
    /// The `next` of the page before.
    after: Option<String>,
    /// At most this many: 50 if it is left out, 500 at most.
    limit: Option<u32>,
}

/// Lists runs, newest first.
#[utoipa::path(get, path = "/runs", operation_id = "list_runs", tag = "runs", params(Runs),
    responses((status = 200, body = Page<Run>), (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_runs(
    State(engine): Shared,
    asked: Result<Query<Runs>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(Runs { sync, ending, from, after, limit }) = asked?;
    let limit = page_size(limit);
    let query = RunQuery {
        sync: sync.map(SyncId::new),
        ending,
        from,
        before: after.map(RunId::new),
        limit: limit + 1,
    };
    let runs = engine.find_runs(&query).await?;
    reply::json(&headers, &Page::<Run>::of(runs, limit, |run| run.id.to_string()))
}

/// Returns one run.
#[utoipa::path(get, path = "/runs/{run}", operation_id = "get_run", tag = "runs",
    params(("run" = String, Path, description = "The id of the run")),
    responses((status = 200, body = Run), (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get_run(
    State(engine): Shared,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = engine.find_run(&RunId::new(&run)).await?;
    reply::json(&headers, &Run::from(found.ok_or_else(|| unknown(&run))?))
}

/// Sends a run each time that it changed, until it has ended.
#[utoipa::path(get, path = "/runs/{run}/events", operation_id = "watch_run", tag = "runs",
    params(("run" = String, Path, description = "The id of the run")),
    responses((status = 200, body = Value, content_type = "text/event-stream", description = "The data of each event is a run"),
        (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn watch_run(State(engine): Shared, Path(run): Path<String>) -> Result<Response, Problem> {
    let id = RunId::new(&run);
    engine.find_run(&id).await?.ok_or_else(|| unknown(&run))?;
    let events = engine.watch_run(id).map(|run| {
        let text = serde_json::to_string(&Run::from(run)).unwrap_or_default();
        Ok::<Event, Infallible>(Event::default().data(text))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

fn unknown(run: &str) -> Problem {
    Problem::not_found(format!("there is no run `{run}`")).remedy("GET /api/v1/runs lists the runs")
}
