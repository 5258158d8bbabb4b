//! Syncs: what they do, and what can be done with them.

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tidegate_engine::service::{Engine, RetryFilter, RunMode, Visitor};
use tidegate_model::SyncId;
use tidegate_model::people::Role;
use tidegate_model::store::RunQuery;
use utoipa::{IntoParams, ToSchema};

use super::cursor::{after_sync, row_key, sync_position};
use super::object::Object;
use super::reply::{self, Page, Part, read_position};
use super::runs::page_size;
use super::types::{Run, Sync, SyncDetails};
use super::{Problem, Shared};
use crate::access::Subject;

/// The longest that a request waits for a run: the server answers within a minute.
const WAIT_MAX: u64 = 50;

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// Seconds to wait for the end of the run; more than 50 are 50. Without it the answer is 202 at once.
    #[serde(default)]
    wait: u32,
}

/// Which failed rows to send again. A member that is left out selects all.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    /// Rows of one user.
    user: Option<String>,
    /// Rows with one reason code.
    reason: Option<String>,
    /// One row, by its id.
    row: Option<String>,
    /// Rows in doubt instead of rejected ones: they may take effect twice.
    in_doubt: bool,
}

/// The result of a retry.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Retried {
    /// The run, if there was anything to send and it has ended.
    run: Option<Run>,
    /// Rows that the source no longer has.
    gone: u64,
    /// Inputs that could not be parsed, or were kept only in part: fix the source and run the sync again.
    malformed: u64,
}

/// Who pauses a sync, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PauseRequest {
    by: Option<String>,
    why: Option<String>,
}

/// The confirmation of a reset.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reset {
    /// The name of the sync.
    confirm: String,
}

/// Lists syncs, with those that need a person first.
#[utoipa::path(get, path = "/syncs", operation_id = "list_syncs", tag = "syncs", params(Part),
    responses((status = 200, body = Page<Sync>), (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_syncs(
    State(engine): Shared,
    asked: Result<Query<Part>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(Part { after, limit }) = asked?;
    reply::json(&headers, &page_of_syncs(&engine, after.as_deref(), page_size(limit)).await?)
}

/// Returns a page of the syncs. A sync whose health changes meanwhile changes its position.
pub(crate) async fn page_of_syncs(
    engine: &Engine,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Sync>, Problem> {
    let number = |sync: &SyncId| engine.project().syncs.get_index_of(sync);
    let after = read_position(after, |text| {
        let (health, sync) = sync_position(text)?;
        Some((health, number(&sync)?))
    })?;
    let mut syncs = engine.overview().await?.syncs;
    syncs.retain(|sync| after < number(&sync.status.sync).map(|number| (sync.health, number)));
    syncs.truncate(limit + 1);
    engine.read_reasons(&mut syncs).await?;
    Ok(Page::of(syncs, limit, after_sync))
}

/// Returns one sync in detail.
#[utoipa::path(get, path = "/syncs/{sync}", operation_id = "get_sync", tag = "syncs",
    params(("sync" = String, Path, description = "The name of the sync")),
    responses((status = 200, body = SyncDetails), (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get_sync(
    State(engine): Shared,
    Path(sync): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = known(&engine, &sync)?;
    reply::json(&headers, &SyncDetails::from(engine.sync_details(&id).await?))
}

/// How a run goes, and how long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Start {
    /// Seconds to wait for the end of the run; more than 50 are 50. Without it the answer is 202 at once.
    #[serde(default)]
    wait: u32,
    /// Whether a person has confirmed the run, also beyond `limits` of the sync. For admins.
    #[serde(default)]
    yes: bool,
    /// The id of a plan: the run sends what it said, also beyond `limits` of the sync, or nothing. For admins.
    plan: Option<String>,
}

impl Start {
    /// Returns how the run goes.
    fn mode(&self, visitor: &Visitor) -> Result<RunMode, Problem> {
        let mode = match (self.yes, self.plan.as_deref()) {
            (true, Some(_)) => {
                return Err(Problem::invalid(
                    "`yes` and `plan` are two ways to confirm a run: send one of them",
                ));
            }
            (true, None) => RunMode::Confirmed,
            (false, Some(plan)) => RunMode::Planned(plan.parse()?),
            (false, None) => return Ok(RunMode::Once),
        };
        may_confirm(visitor)?;
        Ok(mode)
    }
}

/// Checks that someone may go beyond the limits of a sync.
pub(crate) fn may_confirm(visitor: &Visitor) -> Result<(), Problem> {
    match visitor.role {
        Role::Admin => Ok(()),
        _ => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "your role does not allow a run beyond the limits of its sync",
        )
        .remedy("an admin can confirm the run")),
    }
}

/// Runs a sync now. Its schedule stays as it is.
#[utoipa::path(post, path = "/syncs/{sync}/run", operation_id = "run_sync", tag = "syncs",
    params(("sync" = String, Path, description = "The name of the sync"), Start),
    responses((status = 200, body = Run, description = "The run has ended"),
        (status = 202, description = "The run continues: `Location` is its address if it has begun, else that of the runs of the sync"),
        (status = 403, body = Problem, content_type = "application/problem+json", description = "It needs the role of an admin"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It cannot run now, or a person has to confirm it"),
        (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn run_sync(
    State(engine): Shared,
    Path(sync): Path<String>,
    Extension(visitor): Extension<Visitor>,
    start: Result<Query<Start>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(start) = start?;
    let id = known(&engine, &sync)?;
    let mode = start.mode(&visitor)?;
    let answer = match engine.start_run(&id, mode).await?.wait(patience(start.wait)).await? {
        Some(run) => Json(Run::from(run)).into_response(),
        None => accepted(&engine, &id).await?,
    };
    Ok(match mode {
        RunMode::Confirmed => {
            (Extension(Subject(format!("{id}, beyond its limits"))), answer).into_response()
        }
        RunMode::Planned(plan) => (Extension(Subject(format!("{id}, plan {plan}"))), answer).into_response(),
        _ => answer,
    })
}

/// Sends failed rows again, as the source has them now.
#[utoipa::path(post, path = "/syncs/{sync}/retry", operation_id = "retry_sync", tag = "syncs",
    params(("sync" = String, Path, description = "The name of the sync"), Wait), request_body = Retry,
    responses((status = 200, body = Retried), (status = 202, description = "The run continues"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It cannot run now"),
        (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn retry_sync(
    State(engine): Shared,
    Path(sync): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
    asked: Result<Option<Json<Object<Retry>>>, JsonRejection>,
) -> Result<Response, Problem> {
    let Query(Wait { wait }) = wait?;
    let id = known(&engine, &sync)?;
    let Retry { user, reason, row, in_doubt } = asked?.map(|Json(Object(asked))| asked).unwrap_or_default();
    let key = match row.as_deref().map(row_key) {
        None => None,
        Some(Some(key)) => Some(key),
        Some(None) => {
            return Err(Problem::invalid("`row` is not the id of a failed row")
                .remedy("GET /api/v1/failed-rows lists the failed rows with their ids"));
        }
    };
    let filter = RetryFilter { user, in_doubt, reason, key };
    match engine.start_retry(&id, filter)?.wait(patience(wait)).await? {
        Some(ended) => {
            let retried =
                Retried { run: ended.run.map(Run::from), gone: ended.gone, malformed: ended.malformed };
            Ok(Json(retried).into_response())
        }
        None => accepted(&engine, &id).await,
    }
}

/// Which failed rows need no delivery, and why. A member that is left out selects all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dismiss {
    /// Why they need no delivery.
    note: String,
    /// Rows of one user.
    user: Option<String>,
    /// Rows with one reason code.
    reason: Option<String>,
    /// One row, by its id.
    row: Option<String>,
    /// Rows in doubt instead of rejected ones.
    #[serde(default)]
    in_doubt: bool,
}

/// The result of a dismissal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Dismissed {
    /// How many rows were closed.
    dismissed: u64,
}

/// Closes failed rows that need no delivery, with a note.
#[utoipa::path(post, path = "/syncs/{sync}/dismiss", operation_id = "dismiss_rows", tag = "syncs",
    params(("sync" = String, Path, description = "The name of the sync")), request_body = Dismiss,
    responses((status = 200, body = Dismissed), (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn dismiss_rows(
    State(engine): Shared,
    Path(sync): Path<String>,
    asked: Result<Json<Object<Dismiss>>, JsonRejection>,
) -> Result<Response, Problem> {
    let id = known(&engine, &sync)?;
    let Json(Object(Dismiss { note, user, reason, row, in_doubt })) = asked?;
    let key = match row.as_deref().map(row_key) {
        Some(None) => return Err(Problem::invalid("`row` is not the id of a row")),
        key => key.flatten(),
    };
    let filter = RetryFilter { user, in_doubt, reason, key };
    let dismissed = engine.dismiss(&id, &filter, &note).await?;
    Ok(Json(Dismissed { dismissed }).into_response())
}

/// Keeps a sync from running until it is resumed.
#[utoipa::path(post, path = "/syncs/{sync}/pause", operation_id = "pause_sync", tag = "syncs",
    params(("sync" = String, Path, description = "The name of the sync")), request_body = PauseRequest,
    responses((status = 204), (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn pause_sync(
    State(engine): Shared,
    Path(sync): Path<String>,
    Extension(visitor): Extension<Visitor>,
    asked: Result<Option<Json<Object<PauseRequest>>>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let id = known(&engine, &sync)?;
    let PauseRequest { by, why } = asked?.map(|Json(Object(asked))| asked).unwrap_or_default();
    // Who signed in is known; before there are people, a program may say it.
    let signed_in = engine.has_people().await?;
    let by = by.filter(|_| !signed_in).unwrap_or(visitor.name);
    engine.pause(&id, &by, why.as_deref().unwrap_or("asked for")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a paused sync run again.
#[utoipa::path(post, path = "/syncs/{sync}/resume", operation_id = "resume_sync", tag = "syncs",
    params(("sync" = String, Path, description = "The name of the sync")),
    responses((status = 204), (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn resume_sync(
    State(engine): Shared,
    Path(sync): Path<String>,
) -> Result<StatusCode, Problem> {
    engine.resume(&known(&engine, &sync)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Clears the checkpoint of a sync, so that its next run reads from the beginning.
#[utoipa::path(post, path = "/syncs/{sync}/reset", operation_id = "reset_sync", tag = "syncs",
    params(("sync" = String, Path, description = "The name of the sync")), request_body = Reset,
    responses((status = 204), (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It is running"),
        (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn reset_sync(
    State(engine): Shared,
    Path(sync): Path<String>,
    asked: Result<Json<Object<Reset>>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let id = known(&engine, &sync)?;
    let Json(Object(Reset { confirm })) = asked?;
    if confirm != id.as_str() {
        let remedy = format!("send {{\"confirm\": \"{id}\"}}");
        return Err(Problem::invalid("`confirm` must be the name of the sync: a reset cannot be undone")
            .remedy(remedy));
    }
    engine.reset(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn patience(wait: u32) -> Duration {
    Duration::from_secs(u64::from(wait).min(WAIT_MAX))
}

/// Returns the sync of this name.
pub(crate) fn known(engine: &Engine, sync: &str) -> Result<SyncId, Problem> {
    let id = SyncId::new(sync);
    match engine.sync(&id) {
        Ok(_) => Ok(id),
        Err(error) => Err(Problem::not_found(error.message()).remedy(error.next_step())),
    }
}

/// The answer while a run is in progress: with the run, if it has begun.
async fn accepted(engine: &Engine, id: &SyncId) -> Result<Response, Problem> {
    let query = RunQuery { sync: Some(id.clone()), limit: 1, ..RunQuery::default() };
    let run = engine.find_runs(&query).await?.pop().filter(|run| run.ending.is_none());
    let location = match &run {
        Some(run) => format!("/api/v1/runs/{}", run.id),
        None => format!("/api/v1/runs?sync={id}"),
    };
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(run.map(Run::from))).into_response())
}
