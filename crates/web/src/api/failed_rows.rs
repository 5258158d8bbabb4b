//! Failed rows: lists, groups, one row.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_model::store::{FailedRowGroupQuery, FailedRowQuery, StatusKind};
use tidegate_model::{RunId, SyncId};
use utoipa::IntoParams;

use super::cursor::{after, after_group, group_position, position, row_key};
use super::exports::{self, Format};
use super::reply::{self, Page, read_position};
use super::runs::page_size;
use super::types::{FailedRow, Group, StatusWord};
use super::{Problem, Shared};

/// Which failed rows. A parameter that is left out selects all.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FailedRows {
    /// Of one sync.
    sync: Option<String>,
    /// That failed in this run last.
    run: Option<String>,
    /// Of one user.
    user: Option<String>,
    /// `rejected` or `in_doubt`.
    #[param(value_type = Option<StatusWord>, inline)]
    status: Option<StatusKind>,
    /// With one reason code.
    reason: Option<String>,
    /// That failed at this time or later.
    from: Option<Timestamp>,
    /// That failed before this time.
    to: Option<Timestamp>,
    /// The `next` of the page before.
    after: Option<String>,
    /// At most this many: 50 if it is left out, 500 at most. Of `csv` and `ndjson` all, if it is left out.
    limit: Option<u32>,
    /// `json`, a page of the list; `csv` or `ndjson`, all rows that are selected.
    #[param(inline)]
    #[serde(default)]
    format: Format,
}

/// Which groups.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Groups {
    /// Of one sync.
    sync: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
    /// At most this many: 50 if it is left out, 500 at most.
    limit: Option<u32>,
}

/// Lists open failed rows, the last one that failed first.
#[utoipa::path(get, path = "/failed-rows", operation_id = "list_failed_rows", tag = "failed rows", params(FailedRows),
    responses((status = 200, content((Page<FailedRow> = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_failed_rows(
    State(engine): Shared,
    asked: Result<Query<FailedRows>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(asked) = asked?;
    let limit = page_size(asked.limit);
    let cursor = read_position(asked.after.as_deref(), position)?;
    let query = FailedRowQuery {
        sync: asked.sync.map(SyncId::new),
        run: asked.run.map(RunId::new),
        user: asked.user,
        key: None,
        status: asked.status,
        reason: asked.reason,
        from: asked.from,
        to: asked.to,
        after: cursor,
        without_payload: false,
        limit: limit + 1,
    };
    if asked.format != Format::Json {
        return Ok(exports::stream(
            engine,
            query,
            asked.limit.map_or(usize::MAX, |limit| limit as usize),
            asked.format,
        ));
    }
    reply::json(&headers, &Page::<FailedRow>::of(engine.find_failed_rows(&query).await?, limit, after))
}

/// Lists open failed rows in groups by reason, the group that failed last first.
#[utoipa::path(get, path = "/groups", operation_id = "list_groups", tag = "failed rows", params(Groups),
    responses((status = 200, body = Page<Group>), (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_groups(
    State(engine): Shared,
    asked: Result<Query<Groups>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(Groups { sync, after, limit }) = asked?;
    let limit = page_size(limit);
    let after = read_position(after.as_deref(), group_position)?;
    let of = FailedRowGroupQuery::all_of(sync.map(SyncId::new).as_ref());
    let query = FailedRowGroupQuery { after, limit: limit + 1, ..of };
    reply::json(&headers, &Page::<Group>::of(engine.failed_row_groups(&query).await?, limit, after_group))
}

/// Returns one open failed row.
#[utoipa::path(get, path = "/failed-rows/{sync}/{row}", operation_id = "get_failed_row", tag = "failed rows",
    params(("sync" = String, Path, description = "The name of the sync"), ("row" = String, Path, description = "The id of the row")),
    responses((status = 200, body = FailedRow), (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get_failed_row(
    State(engine): Shared,
    Path((sync, row)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let missing = || {
        Problem::not_found("there is no such failed row: it was delivered since, or never failed")
            .remedy("GET /api/v1/failed-rows lists the failed rows")
    };
    let key = row_key(&row).ok_or_else(missing)?;
    let found = engine.failed_row(&SyncId::new(&sync), key).await?.ok_or_else(missing)?;
    reply::json(&headers, &FailedRow::from(found))
}
