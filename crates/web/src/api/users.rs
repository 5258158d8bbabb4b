//! One user, in both directions.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::runs::page_size;
use super::{Problem, Shared, reply};

/// How much of the timeline.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Limit {
    /// At most this many entries: 50 if it is left out, 500 at most.
    limit: Option<u32>,
}

/// Returns the rows that were sent for a user and the events that came back, newest first. `older` says whether
/// there are more entries than `limit`; `tidegate rows --user` lists every row that was sent. `events_searched` is false
/// if the event log is in Kafka, and a topic has more than 2,000,000 events.
#[utoipa::path(get, path = "/users/{user}/timeline", operation_id = "get_timeline", tag = "users",
    params(("user" = String, Path, description = "An identifier, as syncs and events have it"), Limit),
    responses((status = 200, body = Value), (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get_timeline(
    State(engine): Shared,
    Path(user): Path<String>,
    asked: Result<Query<Limit>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(Limit { limit }) = asked?;
    let limit = page_size(limit);
    reply::json(&headers, &engine.timeline(&user, limit).await?)
}
