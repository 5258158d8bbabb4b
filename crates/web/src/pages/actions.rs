//! What buttons do. Each answers with the page that shows the result.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use tidegate_engine::service::{ActiveProject, Engine, Refusal, RetryFilter, RunMode, Visitor};
use tidegate_model::store::{RunQuery, StatusKind};
use tidegate_model::{ErrorKind, SyncId};

use super::shell::{Failure, known};
use super::syncs;
use crate::access::Subject;
use crate::api::row_key;
use tidegate_model::address::encoded;

/// How long a button waits for a result. After that, the page of the run shows its progress.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn run(
    State(engine): State<Arc<Engine>>,
    Path(sync): Path<String>,
) -> Result<Redirect, Failure> {
    let id = known(&engine, &sync)?;
    start(&engine, &id, RunMode::Once).await
}

/// Starts a run. One that waits for a person is in the list of runs, and its page says why.
pub(super) async fn start(engine: &Arc<Engine>, id: &SyncId, mode: RunMode) -> Result<Redirect, Failure> {
    match engine.start_run(id, mode).await?.wait(PATIENCE).await {
        Ok(Some(run)) => Ok(to_run(run.id.as_str())),
        Ok(None) => started(engine, id).await,
        Err(error) if error.kind() == ErrorKind::Unconfirmed => {
            let held = engine.runs(Some(id), 1).await?.pop();
            held.map(|run| to_run(run.id.as_str())).ok_or_else(|| Failure::from(error))
        }
        Err(error) => Err(Failure::from(error)),
    }
}

/// The page of a run in progress.
async fn started(engine: &Engine, id: &SyncId) -> Result<Redirect, Failure> {
    let query = RunQuery { sync: Some(id.clone()), limit: 1, ..RunQuery::default() };
    match engine.find_runs(&query).await?.pop().filter(|run| run.ending.is_none()) {
        Some(run) => Ok(to_run(run.id.as_str())),
        None => Ok(to_sync(id, "started")),
    }
}

fn to_run(run: &str) -> Redirect {
    Redirect::to(&format!("/runs/{}", encoded(run)))
}

fn to_sync(id: &SyncId, done: &str) -> Redirect {
    Redirect::to(&format!("/syncs/{}?done={done}", encoded(id.as_str())))
}

/// Why a sync is paused.
#[derive(Debug, Deserialize)]
pub(super) struct Pause {
    #[serde(default)]
    why: String,
}

pub(super) async fn pause(
    State(engine): State<Arc<Engine>>,
    Path(sync): Path<String>,
    Extension(visitor): Extension<Visitor>,
    form: Result<Form<Pause>, FormRejection>,
) -> Result<Redirect, Failure> {
    let id = known(&engine, &sync)?;
    let Form(Pause { why }) = form?;
    let why = if why.trim().is_empty() { "no reason given" } else { why.trim() };
    engine.pause(&id, &visitor.name, why).await?;
    Ok(to_sync(&id, "paused"))
}

pub(super) async fn resume(
    State(engine): State<Arc<Engine>>,
    Path(sync): Path<String>,
) -> Result<Redirect, Failure> {
    let id = known(&engine, &sync)?;
    engine.resume(&id).await?;
    Ok(to_sync(&id, "resumed"))
}

/// Makes a draft an active sync.
pub(super) async fn activate(
    State(project): State<Arc<ActiveProject>>,
    Path(sync): Path<String>,
) -> Result<(Extension<Subject>, Redirect), Failure> {
    let id = known(&project.engine(), &sync)?;
    let draft = project.draft_enabled(&id).await.map_err(refused)?;
    project.activate_draft(&draft).await.map_err(refused)?;
    Ok((Extension(Subject(format!("~ sync {id}"))), to_sync(&id, "activated")))
}

/// Why a change of the project is not made, as a page.
fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Failed(error) => Failure::from(error),
        Refusal::Invalid(invalid) => Failure::from(tidegate_model::Error::from(invalid)),
        Refusal::ReadOnly => Failure::failed(
            "The project of this server changes in its file only.",
            "Remove `enabled: false` there; SIGHUP lets the server read it again.",
        ),
        Refusal::Stale(_) => Failure::failed("The project was changed meanwhile.", "Do it again."),
    }
}

/// The confirmation of a reset.
#[derive(Debug, Deserialize)]
pub(super) struct Reset {
    #[serde(default)]
    confirm: String,
}

pub(super) async fn reset(
    State(engine): State<Arc<Engine>>,
    Path(sync): Path<String>,
    headers: HeaderMap,
    form: Result<Form<Reset>, FormRejection>,
) -> Result<Response, Failure> {
    let id = known(&engine, &sync)?;
    let Form(Reset { confirm }) = form?;
    if confirm.trim() != id.as_str() {
        return syncs::not_reset(&engine, &id, &headers).await;
    }
    engine.reset(&id).await?;
    Ok(to_sync(&id, "reset").into_response())
}

/// Which failed rows to send again.
#[derive(Debug, Deserialize)]
pub(super) struct Retry {
    sync: String,
    status: StatusKind,
    reason: Option<String>,
    row: Option<String>,
    /// Ticked for rows in doubt.
    twice: Option<String>,
}

pub(super) async fn retry(
    State(engine): State<Arc<Engine>>,
    form: Result<Form<Retry>, FormRejection>,
) -> Result<(Extension<Subject>, Redirect), Failure> {
    let Form(Retry { sync, status, reason, row, twice }) = form?;
    let id = known(&engine, &sync)?;
    let in_doubt = status == StatusKind::InDoubt;
    if in_doubt && twice.is_none() {
        return Err(Failure::invalid("Rows in doubt may take effect twice: confirm that first."));
    }
    let key = match row.as_deref().map(row_key) {
        Some(None) => return Err(Failure::invalid("There is no such row.")),
        key => key.flatten(),
    };
    let filter = RetryFilter { user: None, in_doubt, reason, key };
    let subject = Extension(Subject(sync));
    match engine.start_retry(&id, filter)?.wait(PATIENCE).await? {
        Some(ended) => match ended.run {
            Some(run) => Ok((subject, to_run(run.id.as_str()))),
            None => Err(Failure::invalid(
                "Nothing was sent: the source no longer has these rows, or they could not be read. \
                 Run the sync: a row that the source can show again is read then.",
            )),
        },
        None => Ok((subject, started(&engine, &id).await?)),
    }
}

/// Which failed rows need no delivery, and why.
#[derive(Debug, Deserialize)]
pub(super) struct Dismiss {
    sync: String,
    status: StatusKind,
    reason: Option<String>,
    row: Option<String>,
    #[serde(default)]
    note: String,
}

pub(super) async fn dismiss(
    State(engine): State<Arc<Engine>>,
    form: Result<Form<Dismiss>, FormRejection>,
) -> Result<(Extension<Subject>, Redirect), Failure> {
    let Form(Dismiss { sync, status, reason, row, note }) = form?;
    let id = known(&engine, &sync)?;
    let key = match row.as_deref().map(row_key) {
        Some(None) => return Err(Failure::invalid("There is no such row.")),
        key => key.flatten(),
    };
    let filter = RetryFilter { user: None, in_doubt: status == StatusKind::InDoubt, reason, key };
    engine.dismiss(&id, &filter, &note).await?;
    Ok((Extension(Subject(sync)), to_sync(&id, "dismissed")))
}
