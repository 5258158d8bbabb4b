//! What the tools do: the functions of the API, with answers of the same shape.

#![expect(clippy::result_large_err, reason = "a problem is made once for a call, where it ends")]

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidegate_engine::service::{Engine, RetryFilter, RunMode, Visitor};
use tidegate_model::store::{FailedRowGroupQuery, FailedRowQuery, RunQuery};
use tidegate_model::{Progress, RunId, SyncId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::arguments::{FailedRows, Groups, OneRun, OneSync, Pause, Retry, Runs, Start, Syncs, User};
use crate::api::types::{FailedRow, Group, Run, SyncDetails};
use crate::api::{
    Page, Problem, after, after_group, group_position, known, may_confirm, page_of_syncs, plain, position,
    read_position, row_key,
};

/// Entries of a list, if the call does not say.
const LIMIT: u32 = 20;
/// The most entries of a list.
const LIMIT_MAX: u32 = 100;
/// How long a call waits for a run, in seconds.
const WAIT: u32 = 30;
/// The longest that a call waits: a request is answered within a minute.
const WAIT_MAX: u32 = 50;

/// Calls a tool.
///
/// # Errors
/// If its arguments cannot be read, or it cannot be done.
pub(super) async fn call(
    engine: &Arc<Engine>,
    visitor: &Visitor,
    tool: &str,
    arguments: Value,
) -> Result<Value, Problem> {
    match tool {
        "list_syncs" => list_syncs(engine, read(arguments)?).await,
        "get_sync" => get_sync(engine, &read(arguments)?).await,
        "list_runs" => list_runs(engine, read(arguments)?).await,
        "get_run" => get_run(engine, &read(arguments)?).await,
        "list_failed_row_groups" => list_groups(engine, read(arguments)?).await,
        "list_failed_rows" => list_failed_rows(engine, read(arguments)?).await,
        "get_user_timeline" => get_user_timeline(engine, &read(arguments)?).await,
        "plan_sync" => plan_sync(engine, visitor, &read(arguments)?).await,
        "run_sync" => run_sync(engine, visitor, &read(arguments)?).await,
        "retry_failed_rows" => retry_failed_rows(engine, read(arguments)?).await,
        "pause_sync" => pause_sync(engine, visitor, &read(arguments)?).await,
        "resume_sync" => resume_sync(engine, &read(arguments)?).await,
        _ => Err(Problem::not_found(format!("there is no tool `{tool}`"))),
    }
}

/// Returns what a call was about, for the audit log: the sync and the plan of its run, never a user.
pub(super) fn subject(arguments: &Value) -> String {
    let sync = arguments["sync"].as_str().unwrap_or_default();
    match arguments["plan"].as_str() {
        Some(plan) => format!("{sync}, plan {plan}"),
        None => sync.to_owned(),
    }
}

fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, Problem> {
    serde_json::from_value(arguments).map_err(|why| {
        Problem::invalid(format!("the arguments cannot be read: {}", plain(&why.to_string())))
            .remedy("send what the input schema of the tool describes")
    })
}

async fn list_syncs(engine: &Engine, asked: Syncs) -> Result<Value, Problem> {
    shown(&page_of_syncs(engine, asked.after.as_deref(), size(asked.limit)).await?)
}

async fn get_sync(engine: &Engine, asked: &OneSync) -> Result<Value, Problem> {
    shown(&SyncDetails::from(engine.sync_details(&known(engine, &asked.sync)?).await?))
}

async fn list_runs(engine: &Engine, asked: Runs) -> Result<Value, Problem> {
    let sync = asked.sync.map(|sync| known(engine, &sync)).transpose()?;
    let limit = size(asked.limit);
    let before = asked.after.map(RunId::new);
    let query = RunQuery { sync, ending: asked.ending, from: None, before, limit: limit + 1 };
    let mut runs = engine.find_runs(&query).await?;
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = runs.last().filter(|_| more).map(|run| run.id.to_string());
    shown(&Page { data: runs.into_iter().map(Run::from).collect(), next })
}

async fn get_run(engine: &Engine, asked: &OneRun) -> Result<Value, Problem> {
    let run = engine.find_run(&RunId::new(&asked.run)).await?;
    let missing =
        || Problem::not_found(format!("there is no run `{}`", asked.run)).remedy("list_runs lists the runs");
    shown(&Run::from(run.ok_or_else(missing)?))
}

async fn list_groups(engine: &Engine, asked: Groups) -> Result<Value, Problem> {
    let sync = asked.sync.map(|sync| known(engine, &sync)).transpose()?;
    let limit = size(asked.limit);
    let after = read_position(asked.after.as_deref(), group_position)?;
    let query = FailedRowGroupQuery { after, limit: limit + 1, ..FailedRowGroupQuery::all_of(sync.as_ref()) };
    shown(&Page::<Group>::of(engine.failed_row_groups(&query).await?, limit, after_group))
}

async fn list_failed_rows(engine: &Engine, asked: FailedRows) -> Result<Value, Problem> {
    let limit = size(asked.limit);
    let cursor = match asked.after.as_deref().map(position) {
        Some(None) => return Err(Problem::invalid("`after` is not the `next` of a page")),
        cursor => cursor.flatten(),
    };
    let query = FailedRowQuery {
        sync: asked.sync.map(|sync| known(engine, &sync)).transpose()?,
        run: None,
        user: asked.user,
        key: None,
        status: asked.status,
        reason: asked.reason,
        from: None,
        to: None,
        after: cursor,
        without_payload: false,
        limit: limit + 1,
    };
    let mut rows = engine.find_failed_rows(&query).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(after);
    shown(&Page { data: rows.into_iter().map(FailedRow::from).collect(), next })
}

async fn get_user_timeline(engine: &Engine, asked: &User) -> Result<Value, Problem> {
    shown(&engine.timeline(&asked.user, size(asked.limit)).await?)
}

async fn plan_sync(engine: &Engine, visitor: &Visitor, asked: &OneSync) -> Result<Value, Problem> {
    let id = known(engine, &asked.sync)?;
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let plan = engine.plan(&id, 0, stop, watch::Sender::new(Progress::default()));
    let patience = Duration::from_secs(WAIT_MAX.into());
    let plan = tokio::time::timeout(patience, plan).await.map_err(|_| {
        let why = format!("the plan of `{id}` takes longer than {WAIT_MAX} seconds, so it was stopped");
        Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", why)
            .remedy(format!("run `tidegate plan {id}` on the server: it has no such limit"))
    })??;
    let mut plan = shown(&plan)?;
    if !visitor.rows {
        // The first such rows, by key or user, and a sentence that may repeat a value.
        for rejection in plan["rejections"].as_array_mut().into_iter().flatten() {
            rejection["examples"] = json!([]);
            rejection["message"] =
                json!(format!("the reason is `{}`", rejection["code"].as_str().unwrap_or("")));
        }
    }
    Ok(plan)
}

async fn run_sync(engine: &Arc<Engine>, visitor: &Visitor, asked: &Start) -> Result<Value, Problem> {
    let id = known(engine, &asked.sync)?;
    let mode = match asked.plan.as_deref() {
        None => RunMode::Once,
        Some(plan) => {
            may_confirm(visitor)?;
            RunMode::Planned(plan.parse()?)
        }
    };
    match engine.start_run(&id, mode).await?.wait(patience(asked.wait_seconds)).await? {
        Some(run) => shown(&Run::from(run)),
        None => continues(engine, &id).await,
    }
}

async fn retry_failed_rows(engine: &Arc<Engine>, asked: Retry) -> Result<Value, Problem> {
    let id = known(engine, &asked.sync)?;
    let key = match asked.row.as_deref().map(row_key) {
        Some(None) => {
            return Err(Problem::invalid("`row` is not the id of a failed row")
                .remedy("list_failed_rows has the ids"));
        }
        key => key.flatten(),
    };
    let filter = RetryFilter { user: asked.user, in_doubt: false, reason: asked.reason, key };
    match engine.start_retry(&id, filter)?.wait(patience(asked.wait_seconds)).await? {
        Some(ended) => Ok(json!({
            "run": ended.run.map(Run::from).as_ref().map(shown).transpose()?,
            "gone": ended.gone,
            "malformed": ended.malformed,
        })),
        None => continues(engine, &id).await,
    }
}

async fn pause_sync(engine: &Engine, visitor: &Visitor, asked: &Pause) -> Result<Value, Problem> {
    let id = known(engine, &asked.sync)?;
    engine.pause(&id, &visitor.name, &asked.why).await?;
    Ok(json!({ "sync": id.as_str(), "paused": true }))
}

async fn resume_sync(engine: &Engine, asked: &OneSync) -> Result<Value, Problem> {
    let id = known(engine, &asked.sync)?;
    engine.resume(&id).await?;
    Ok(json!({ "sync": id.as_str(), "paused": false }))
}

/// The answer while a run is in progress.
async fn continues(engine: &Engine, id: &SyncId) -> Result<Value, Problem> {
    let run = engine.runs(Some(id), 1).await?.pop().map(Run::from);
    let run = run.as_ref().map(shown).transpose()?;
    Ok(json!({ "continues": true, "last_run": run, "next": "get_run shows how far it is" }))
}

fn patience(wait: Option<u32>) -> Duration {
    Duration::from_secs(wait.unwrap_or(WAIT).min(WAIT_MAX).into())
}

fn size(asked: Option<u32>) -> usize {
    asked.unwrap_or(LIMIT).clamp(1, LIMIT_MAX) as usize
}

fn shown<T: Serialize>(value: &T) -> Result<Value, Problem> {
    serde_json::to_value(value).map_err(|cause| {
        tracing::error!(%cause, "an answer has no JSON form");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer has no JSON form")
    })
}
