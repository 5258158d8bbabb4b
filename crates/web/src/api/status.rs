//! `GET /status`

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Problem, Shared, reply};

/// Everything at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// The version of Tidegate.
    version: &'static str,
    at: Timestamp,
    /// The number of syncs by health.
    syncs: BTreeMap<&'static str, u64>,
    /// Open failed rows of all syncs.
    failed_rows: u64,
    /// The last 24 hours, oldest first.
    hours: Vec<Hour>,
}

/// What happened to the rows of one hour. A run counts in the hour in which it ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Hour {
    at: Timestamp,
    delivered: u64,
    rejected: u64,
    in_doubt: u64,
}

/// Returns the health of all syncs at a glance.
#[utoipa::path(get, path = "/status", operation_id = "get_status", tag = "status",
    responses((status = 200, body = Status), (status = 403, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get_status(State(engine): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    let overview = engine.overview().await?;
    let mut syncs = BTreeMap::new();
    for sync in &overview.syncs {
        *syncs.entry(sync.health.as_str()).or_default() += 1;
    }
    let hours = overview.hours.iter().map(|hour| Hour {
        at: hour.at,
        delivered: hour.delivered,
        rejected: hour.rejected,
        in_doubt: hour.in_doubt,
    });
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        at: overview.at,
        syncs,
        failed_rows: overview.failed_rows,
        hours: hours.collect(),
    };
    reply::json(&headers, &status)
}
