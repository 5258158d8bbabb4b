//! Braze's API of Cloud Data Ingestion: an integration is a sync, a job one of its runs.
//!
//! Source: Braze API reference, "List integrations", "Trigger sync" and "List sync status". The operator
//! of airflow-provider-braze 1.0.4 takes the first job of the list if it started after its own request.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_engine::service::{RunMode, SyncOverview};
use tidegate_model::store::RunQuery;
use tidegate_model::{Ending, ErrorKind, Run};

use super::runs::time;
use super::{Failed, Shared, json_answer, known};
use crate::Serving;

/// Entries of a page.
const PAGE: usize = 10;
/// How many entries may be skipped.
const SKIP_MAX: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    cursor: String,
}

impl Page {
    /// Returns how many entries come before the page.
    fn skip(&self) -> Result<usize, Failed> {
        if self.cursor.is_empty() {
            return Ok(0);
        }
        let text = STANDARD.decode(&self.cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let skip = text.as_deref().and_then(|text| text.strip_prefix("skip:")?.parse().ok());
        skip.filter(|skip| *skip <= SKIP_MAX)
            .ok_or_else(|| Failed::new(StatusCode::BAD_REQUEST, "Invalid cursor"))
    }
}

/// The routes below `/cdi`.
pub(super) fn routes() -> Router<Serving> {
    Router::new()
        .route("/integrations", get(integrations))
        .route("/integrations/{sync}/sync", post(sync))
        .route("/integrations/{sync}/job_sync_status", get(job_sync_status))
}

async fn integrations(State(engine): Shared, Query(page): Query<Page>) -> Result<Response, Failed> {
    let skip = page.skip()?;
    let all = engine.overview().await?.syncs;
    let shown: Vec<Value> = all.iter().skip(skip).take(PAGE).map(integration).collect();
    Ok(listed("/cdi/integrations", &page, skip, all.len() > skip + PAGE, &shown))
}

async fn sync(State(engine): Shared, Path(sync): Path<String>) -> Result<Response, Failed> {
    let id = known(&engine, &sync)?;
    match engine.start_run(&id, RunMode::Once).await {
        Ok(_) => Ok((StatusCode::ACCEPTED, json_answer(&json!({ "message": "success" }))).into_response()),
        Err(error) if error.kind() == ErrorKind::Held => {
            let message = format!("Another job is in progress: {}", Failed::from(error).message);
            Err(Failed::new(StatusCode::TOO_MANY_REQUESTS, message))
        }
        Err(error) => Err(error.into()),
    }
}

async fn job_sync_status(
    State(engine): Shared,
    Path(sync): Path<String>,
    Query(page): Query<Page>,
) -> Result<Response, Failed> {
    let (id, skip) = (known(&engine, &sync)?, page.skip()?);
    let query = RunQuery { sync: Some(id.clone()), limit: skip + PAGE + 1, ..RunQuery::default() };
    let runs = engine.find_runs(&query).await?;
    let shown: Vec<Value> = runs.iter().skip(skip).take(PAGE).map(job).collect();
    let path = format!("/cdi/integrations/{}/job_sync_status", tidegate_model::address::encoded(&sync));
    Ok(listed(&path, &page, skip, runs.len() > skip + PAGE, &shown))
}

/// Answers with one page and, if there are others, their addresses.
fn listed(path: &str, page: &Page, skip: usize, more: bool, shown: &[Value]) -> Response {
    let link = |skip: usize, rel: &str| {
        format!("<{path}?cursor={}>; rel=\"{rel}\"", STANDARD.encode(format!("skip:{skip}")))
    };
    let previous = (!page.cursor.is_empty()).then(|| link(skip.saturating_sub(PAGE), "prev"));
    let links: Vec<String> = previous.into_iter().chain(more.then(|| link(skip + PAGE, "next"))).collect();
    let mut answer = json_answer(&json!({ "results": shown, "message": "success" }));
    if let Ok(links) = links.join(",").parse::<HeaderValue>()
        && !links.is_empty()
    {
        answer.headers_mut().insert(header::LINK, links);
    }
    answer
}

fn integration(overview: &SyncOverview) -> Value {
    let status = &overview.status;
    let last = status.last_run.as_ref();
    let state = match (&status.paused, status.enabled) {
        (Some(_), _) => "PAUSED",
        (None, false) => "DRAFT",
        (None, true) => "ACTIVE",
    };
    let source = overview.source.kind.to_uppercase();
    json!({
        "integration_id": status.sync.as_str(),
        "app_group_id": overview.destination.connection,
        "integration_name": status.sync.as_str(),
        "integration_type": source,
        "integration_status": state,
        "contact_emails": status.contacts.join(","),
        "last_updated_at": last.and_then(|run| run.finished_at).map(time),
        "warehouse_type": source,
        "last_job_start_time": last.map(|run| time(run.started_at)),
        "last_job_status": last.map(job_status),
        "next_scheduled_run": status.next_run_at.map(time),
    })
}

fn job(run: &Run) -> Value {
    json!({
        "job_status": job_status(run),
        "sync_start_time": time(run.started_at),
        "sync_finish_time": run.finished_at.map(time),
        "last_timestamp_synced": run.finished_at.map(time),
        "rows_synced": run.counts.delivered,
        "rows_failed_with_errors": run.counts.rejected + run.counts.in_doubt,
        "run_id": run.id.as_str(),
        "error": run.error,
    })
}

fn job_status(run: &Run) -> &'static str {
    match run.ending {
        None => "running",
        Some(Ending::Succeeded) => "success",
        Some(Ending::Partial) => "partial",
        Some(Ending::Failed | Ending::Interrupted) => "error",
    }
}
