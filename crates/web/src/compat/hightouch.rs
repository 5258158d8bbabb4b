//! The calls of airflow-provider-hightouch 5.0.0.
//!
//! Source: `hooks/hightouch.py` and `utils.py` of that package. The id and the slug of a sync are its name.

use axum::Router;
use axum::extract::rejection::{FormRejection, JsonRejection};
use axum::extract::{Form, FromRequest, Json, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_engine::service::SyncOverview;
use tidegate_model::store::RunQuery;
use tidegate_model::{Ending, Run};

use super::runs::{self, Asked, time};
use super::{Failed, Shared, json_answer, known};
use crate::Serving;
use crate::access::Subject;

/// Runs of the list.
const RUNS: usize = 5;

#[derive(Deserialize)]
struct Slug {
    slug: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfRun {
    run_id: Option<String>,
}

/// The sync to run, by one of its names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trigger {
    sync_id: Option<String>,
    sync_slug: Option<String>,
}

/// The routes below `/compat/hightouch/api/v1`.
pub(super) fn routes() -> Router<Serving> {
    Router::new()
        .route("/syncs", get(syncs))
        .route("/syncs/trigger", post(trigger))
        .route("/syncs/{sync}", get(sync))
        .route("/syncs/{sync}/runs", get(list_runs))
}

async fn syncs(State(engine): Shared, Query(Slug { slug }): Query<Slug>) -> Result<Response, Failed> {
    let all = engine.overview().await?.syncs;
    let wanted = |sync: &&SyncOverview| slug.as_deref().is_none_or(|slug| slug == sync.status.sync.as_str());
    let data: Vec<Value> = all.iter().filter(wanted).map(details).collect();
    Ok(json_answer(&json!({ "data": data, "hasMore": false })))
}

async fn sync(State(engine): Shared, Path(name): Path<String>) -> Result<Response, Failed> {
    let id = known(&engine, &name)?;
    Ok(json_answer(&details(&engine.sync_details(&id).await?.overview)))
}

/// The operator sends a form, other programs JSON.
async fn trigger(State(engine): Shared, request: Request) -> Result<Response, Failed> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let asked: Trigger = match kind.is_some_and(|kind| kind.starts_with("application/json")) {
        true => Json::from_request(request, &()).await.map(|Json(asked)| asked).map_err(Failed::from)?,
        false => Form::from_request(request, &()).await.map(|Form(asked)| asked).map_err(Failed::from)?,
    };
    let Trigger { sync_id, sync_slug } = asked;
    let name = sync_id.or(sync_slug).ok_or_else(unnamed)?;
    let run = runs::start(&engine, &known(&engine, &name)?).await?;
    let mut answer = json_answer(&json!({ "id": run }));
    answer.extensions_mut().insert(Subject(name));
    Ok(answer)
}

async fn list_runs(
    State(engine): Shared,
    Path(sync): Path<String>,
    Query(OfRun { run_id }): Query<OfRun>,
) -> Result<Response, Failed> {
    let id = known(&engine, &sync)?;
    let data: Vec<Value> = match run_id {
        None => {
            let query = RunQuery { sync: Some(id), limit: RUNS, ..RunQuery::default() };
            engine.find_runs(&query).await?.iter().map(|run| run_details(run.id.as_str(), run)).collect()
        }
        Some(name) => match runs::find(&engine, &name).await? {
            Some(Asked::Begun(run)) if run.sync == id => vec![run_details(&name, &run)],
            Some(Asked::Waiting(sync)) if sync == id => vec![queued(&name)],
            _ => {
                let message = format!("`{sync}` has no run `{name}`");
                return Err(Failed::new(StatusCode::NOT_FOUND, message));
            }
        },
    };
    Ok(json_answer(&json!({ "data": data, "hasMore": false })))
}

fn details(sync: &SyncOverview) -> Value {
    let status = &sync.status;
    json!({
        "id": status.sync.as_str(),
        "slug": status.sync.as_str(),
        "disabled": status.paused.is_some() || !status.enabled,
        "status": status.last_run.as_ref().map_or("pending", run_status),
        "lastRunAt": status.last_run.as_ref().map(|run| time(run.started_at)),
        "modelId": sync.source.connection,
        "destinationId": sync.destination.connection,
    })
}

fn run_details(name: &str, run: &Run) -> Value {
    let counts = &run.counts;
    let share = if run.ending.is_some() { 1.0 } else { 0.0 };
    json!({
        "id": name,
        "status": run_status(run),
        "createdAt": time(run.started_at),
        "startedAt": time(run.started_at),
        "finishedAt": run.finished_at.map(time),
        "querySize": counts.read,
        "completionRatio": share,
        "error": run.error,
        "plannedRows": rows(counts.delivered + counts.rejected + counts.in_doubt),
        "successfulRows": rows(counts.delivered),
        "failedRows": rows(counts.rejected + counts.in_doubt),
    })
}

fn queued(name: &str) -> Value {
    json!({
        "id": name, "status": "queued", "completionRatio": 0.0, "error": null,
        "plannedRows": rows(0), "successfulRows": rows(0), "failedRows": rows(0),
    })
}

/// Rows that are new to the destination and rows that it has are one number here.
fn rows(count: u64) -> Value {
    json!({ "addedCount": count, "changedCount": 0, "removedCount": 0 })
}

fn run_status(run: &Run) -> &'static str {
    match run.ending {
        None => "processing",
        Some(Ending::Succeeded) => "success",
        Some(Ending::Partial) => "warning",
        Some(Ending::Failed) => "failed",
        Some(Ending::Interrupted) => "interrupted",
    }
}

fn unnamed() -> Failed {
    Failed::new(StatusCode::UNPROCESSABLE_ENTITY, "send the name of a sync as `syncId` or `syncSlug`")
}

impl From<JsonRejection> for Failed {
    fn from(_: JsonRejection) -> Failed {
        unnamed()
    }
}

impl From<FormRejection> for Failed {
    fn from(_: FormRejection) -> Failed {
        unnamed()
    }
}
