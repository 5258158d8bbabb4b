//! The calls of airflow-provider-census 2.1.0 (Census, now Fivetran Activations).
//!
//! Source: `hooks/census.py`, `sensors/census.py` and `links/census.py` of that package.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_model::Ending;
use tidegate_model::address::encoded;

use super::runs::{self, Asked, time};
use super::{Failed, Shared, json_answer, known};
use crate::Serving;

/// Syncs of a page, if the request does not say.
const PAGE: usize = 25;

#[derive(Deserialize)]
struct Page {
    page: Option<usize>,
    per_page: Option<usize>,
}

#[derive(Deserialize)]
struct History {
    sync_run_id: Option<String>,
}

/// The routes below `/compat/census`.
pub(super) fn routes() -> Router<Serving> {
    Router::new()
        .route("/api/v1/syncs", get(syncs))
        .route("/api/v1/syncs/{sync}/trigger", post(trigger))
        .route("/api/v1/sync_runs/{run}", get(sync_run))
        .route("/syncs/{sync}/history", get(history))
        .route("/sync-runs/{run}", get(page_of_run))
}

async fn syncs(State(engine): Shared, Query(asked): Query<Page>) -> Result<Response, Failed> {
    let all = engine.overview().await?.syncs;
    let (page, size) = (asked.page.unwrap_or(1).max(1), asked.per_page.unwrap_or(PAGE).clamp(1, 100));
    let shown = all.iter().skip((page - 1).saturating_mul(size)).take(size);
    let shown: Vec<Value> = shown
        .map(|sync| {
            let status = &sync.status;
            let name = status.sync.as_str();
            json!({ "id": name, "label": name, "paused": status.paused.is_some() || !status.enabled })
        })
        .collect();
    let last = all.len().div_ceil(size).max(1);
    let pagination = json!({
        "total_records": all.len(), "per_page": size, "page": page, "last_page": last,
        "next_page": (page < last).then_some(page + 1), "prev_page": (page > 1).then(|| page - 1),
    });
    Ok(json_answer(&json!({ "status": "success", "pagination": pagination, "data": shown })))
}

async fn trigger(State(engine): Shared, Path(sync): Path<String>) -> Result<Response, Failed> {
    let run = runs::start(&engine, &known(&engine, &sync)?).await?;
    Ok(json_answer(&json!({ "status": "success", "data": { "sync_run_id": run } })))
}

async fn sync_run(State(engine): Shared, Path(name): Path<String>) -> Result<Response, Failed> {
    let found = runs::find(&engine, &name).await?.ok_or_else(|| unknown(&name))?;
    let data = match found {
        Asked::Waiting(sync) => json!({ "id": name, "sync_id": sync.as_str(), "status": "queued" }),
        Asked::Begun(run) => json!({
            "id": name,
            "sync_id": run.sync.as_str(),
            "status": match run.ending {
                None => "working",
                Some(Ending::Succeeded | Ending::Partial) => "completed",
                Some(Ending::Failed | Ending::Interrupted) => "failed",
            },
            "error_message": run.ending.filter(|ending| has_failed(*ending)).map(|ending| {
                run.error.clone().unwrap_or_else(|| format!("the run was {ending}"))
            }),
            "error_detail": null,
            "records_processed": run.counts.read,
            "records_updated": run.counts.delivered,
            "records_failed": run.counts.rejected + run.counts.in_doubt,
            "created_at": time(run.started_at),
            "completed_at": run.finished_at.map(time),
        }),
    };
    Ok(json_answer(&json!({ "status": "success", "data": data })))
}

fn has_failed(ending: Ending) -> bool {
    matches!(ending, Ending::Failed | Ending::Interrupted)
}

/// The link that the operator has in Airflow leads to the page of the run, or of the sync.
async fn history(State(engine): Shared, Path(sync): Path<String>, Query(asked): Query<History>) -> Response {
    match asked.sync_run_id {
        Some(run) => page_of_run(State(engine), Path(run)).await,
        None => Redirect::to(&format!("/syncs/{}", encoded(&sync))).into_response(),
    }
}

async fn page_of_run(State(engine): Shared, Path(run): Path<String>) -> Response {
    let page = match runs::find(&engine, &run).await {
        Ok(Some(Asked::Begun(run))) => format!("/runs/{}", encoded(run.id.as_str())),
        Ok(Some(Asked::Waiting(sync))) => format!("/syncs/{}", encoded(sync.as_str())),
        Ok(None) => format!("/runs/{}", encoded(&run)),
        Err(error) => return Failed::from(error).into_response(),
    };
    Redirect::to(&page).into_response()
}

fn unknown(run: &str) -> Failed {
    Failed::new(StatusCode::NOT_FOUND, format!("there is no run `{run}`"))
}
