//! What the API answers with.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tidegate_engine::service;
use tidegate_model as model;
use tidegate_model::store;
use utoipa::ToSchema;

use super::cursor::row_id;

/// A sync, how it is doing, and its progress.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sync {
    /// Its name.
    sync: String,
    /// What its rows become: `user`, `event`, `purchase`, `deletion`, `catalog_item`, or `events` of an export.
    object: &'static str,
    source: Endpoint,
    destination: Endpoint,
    /// `broken`, `needs_attention`, `paused`, `new`, `draft` or `healthy`.
    health: &'static str,
    /// The sentence that says why.
    why: Option<String>,
    /// What to do if it cannot run or does not keep up: `confirm_run`, `check_connections`, `change_sync` or
    /// `run_again`.
    next_action: Option<&'static str>,
    /// The connections that may be the cause.
    suspects: Vec<String>,
    /// Set while it must not run.
    paused: Option<Pause>,
    /// Set while its run sends nothing because the destination asked for it.
    wait: Option<Wait>,
    /// Whether it runs automatically; otherwise it is a draft.
    enabled: bool,
    /// When it runs, in words.
    schedule: Option<String>,
    next_run_at: Option<Timestamp>,
    /// Rows and events that were delivered in the last 24 hours.
    delivered_last_day: u64,
    last_run: Option<Run>,
    /// Rows that were rejected or are in doubt, and are open.
    failed_rows: u64,
    /// How far behind its stream it is, by partition.
    lag: Vec<Lag>,
    contacts: Vec<String>,
    labels: BTreeMap<String, String>,
}

/// One end of a sync.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Endpoint {
    connection: String,
    r#type: String,
}

/// Why a sync must not run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pause {
    /// Tidegate, or the person who asked for it.
    by: String,
    why: String,
    at: Timestamp,
    /// What kind of failure it was, if Tidegate paused it after one.
    failure: Option<RunFailure>,
}

/// What kind of failure ended a run, and through which connection.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunFailure {
    /// `settings`, `denied`, `missing`, `unconfirmed`, `throttled`, `unavailable`, `too_large`, `rejected`,
    /// `unexpected`, `storage`, `held` or `internal`.
    kind: &'static str,
    /// The connection through which it failed, if it is known.
    connection: Option<String>,
}

/// Until when a run sends nothing, and the connection that asked for it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Wait {
    connection: String,
    until: Timestamp,
}

/// How far behind one partition of a stream is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Lag {
    partition: String,
    /// The next position to read.
    position: u64,
    /// The position after the last item.
    end: u64,
    /// How many items wait.
    behind: u64,
    last_seen: Option<Timestamp>,
}

/// A sync in detail.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncDetails {
    #[serde(flatten)]
    sync: Sync,
    /// `full`, `incremental`, `mirror` or `stream`; null for an export.
    mode: Option<&'static str>,
    /// The column by which new rows are found.
    cursor: Option<String>,
    /// The position after the last committed batch, as the source keeps it.
    checkpoint: Option<Value>,
    /// What is read, without secrets.
    reads: Value,
    /// The settings of the destination, without secrets.
    writes: Value,
    /// How a row becomes a record, as the project file says it.
    mapping: Option<Value>,
    /// Open failed rows by reason.
    groups: Vec<Group>,
}

/// How a run ended.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its description is used")]
pub(super) enum EndingWord {
    Succeeded,
    Partial,
    Failed,
    Interrupted,
}

/// Why a failed row is open.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its description is used")]
pub(super) enum StatusWord {
    Rejected,
    InDoubt,
}

/// One execution of a sync.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Run {
    id: String,
    sync: String,
    /// `manual`, `schedule` or `retry`.
    #[schema(value_type = String)]
    cause: model::Cause,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    /// `succeeded`, `partial`, `failed` or `interrupted`; null while it runs.
    #[schema(value_type = Option<String>)]
    ending: Option<model::Ending>,
    #[schema(value_type = BTreeMap<String, u64>)]
    counts: model::Counts,
    /// What ended it, and the next step.
    error: Option<String>,
    /// What kind of failure that was.
    failure: Option<RunFailure>,
}

/// A row that was rejected or is in doubt.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailedRow {
    /// Its name in its sync.
    id: String,
    sync: String,
    /// The run in which it failed last.
    run: String,
    #[schema(value_type = String)]
    object: model::ObjectKind,
    user: String,
    /// Its key columns as text.
    key: String,
    /// `rejected` or `in_doubt`.
    #[schema(value_type = String)]
    status: store::StatusKind,
    reason: Reason,
    first_at: Timestamp,
    last_at: Timestamp,
    attempts: u64,
    /// The row as it was read, if it could be read.
    row: Option<Value>,
}

/// Why a row was not delivered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reason {
    /// A stable name to group by.
    code: String,
    message: String,
}

/// Open failed rows of a sync with the same reason.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Group {
    sync: String,
    #[schema(value_type = String)]
    object: model::ObjectKind,
    /// `rejected` or `in_doubt`.
    #[schema(value_type = String)]
    status: store::StatusKind,
    reason: Reason,
    rows: u64,
    /// How many different users.
    users: u64,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl From<service::SyncOverview> for Sync {
    fn from(overview: service::SyncOverview) -> Sync {
        let status = overview.status;
        let endpoint = |end: service::Endpoint| Endpoint { connection: end.connection, r#type: end.kind };
        Sync {
            sync: status.sync.to_string(),
            object: status.object,
            source: endpoint(overview.source),
            destination: endpoint(overview.destination),
            health: overview.health.as_str(),
            why: overview.why,
            next_action: overview.next_action.map(service::NextAction::as_str),
            suspects: overview.suspects,
            paused: status.paused.map(|pause| Pause {
                by: pause.by.to_string(),
                why: pause.why,
                at: pause.at,
                failure: pause.failure.map(RunFailure::from),
            }),
            wait: status.wait.map(|wait| Wait { connection: wait.connection.to_string(), until: wait.until }),
            enabled: status.enabled,
            schedule: overview.schedule,
            next_run_at: status.next_run_at,
            delivered_last_day: overview.delivered_last_day,
            last_run: status.last_run.map(Run::from),
            failed_rows: status.failed_rows,
            lag: status.lag.into_iter().map(Lag::from).collect(),
            contacts: status.contacts,
            labels: status.labels,
        }
    }
}

impl From<service::SyncDetails> for SyncDetails {
    fn from(details: service::SyncDetails) -> SyncDetails {
        SyncDetails {
            sync: details.overview.into(),
            mode: details.mode,
            cursor: details.cursor,
            checkpoint: details.checkpoint.map(|checkpoint| checkpoint.0),
            reads: details.reads,
            writes: details.writes,
            mapping: details.mapping,
            groups: details.groups.into_iter().map(Group::from).collect(),
        }
    }
}

impl From<model::Lag> for Lag {
    fn from(lag: model::Lag) -> Lag {
        let model::Lag { partition, position, end, behind, last_seen, .. } = lag;
        Lag { partition, position, end, behind, last_seen }
    }
}

impl From<model::Run> for Run {
    fn from(run: model::Run) -> Run {
        Run {
            id: run.id.to_string(),
            sync: run.sync.to_string(),
            cause: run.cause,
            started_at: run.started_at,
            finished_at: run.finished_at,
            ending: run.ending,
            counts: run.counts,
            error: run.error,
            failure: run.failure.map(RunFailure::from),
        }
    }
}

impl From<model::RunFailure> for RunFailure {
    fn from(failure: model::RunFailure) -> RunFailure {
        let connection = failure.connection.map(|connection| connection.to_string());
        RunFailure { kind: failure.kind.as_str(), connection }
    }
}

impl From<model::Reason> for Reason {
    fn from(reason: model::Reason) -> Reason {
        Reason { code: reason.code.into_owned(), message: reason.message }
    }
}

impl From<store::FailedRow> for FailedRow {
    fn from(row: store::FailedRow) -> FailedRow {
        let entry = row.entry;
        FailedRow {
            id: row_id(row.key),
            sync: entry.sync.to_string(),
            run: entry.run.to_string(),
            object: entry.object,
            user: entry.user,
            key: entry.key,
            status: entry.status,
            reason: entry.reason.unwrap_or_else(|| model::Reason::new("", "")).into(),
            first_at: row.first_at,
            last_at: entry.at,
            attempts: row.attempts,
            row: entry.payload.and_then(|row| serde_json::from_str(row.to_json().as_str()).ok()),
        }
    }
}

impl From<store::FailedRowGroup> for Group {
    fn from(group: store::FailedRowGroup) -> Group {
        Group {
            sync: group.sync.to_string(),
            object: group.object,
            status: group.status,
            reason: group.reason.into(),
            rows: group.rows,
            users: group.users,
            first_at: group.first_at,
            last_at: group.last_at,
        }
    }
}
