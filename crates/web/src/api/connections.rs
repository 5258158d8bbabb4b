//! Connections, without their secrets.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use tidegate_engine::service::{self, ConnectionDetails};
use utoipa::ToSchema;

use super::reply::{self, Page, Part};
use super::{Problem, Shared};

/// A connection and its use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Connection {
    connection: String,
    r#type: String,
    /// Its settings; a mark replaces each secret.
    settings: Value,
    /// The address for events, if they come in through it.
    ingest_path: Option<String>,
    used_by: Vec<Usage>,
}

/// A sync that uses a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    sync: String,
    /// Whether it reads from the connection; otherwise it delivers to it.
    reads: bool,
}

impl From<ConnectionDetails> for Connection {
    fn from(details: ConnectionDetails) -> Connection {
        let usage = |usage: service::Usage| Usage { sync: usage.sync.to_string(), reads: usage.reads };
        Connection {
            connection: details.connection,
            r#type: details.kind,
            settings: details.settings,
            ingest_path: details.ingest_path,
            used_by: details.used_by.into_iter().map(usage).collect(),
        }
    }
}

/// Lists the connections of the project, without their secrets.
#[utoipa::path(get, path = "/connections", operation_id = "list_connections", tag = "connections", params(Part),
    responses((status = 200, body = Page<Connection>), (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_connections(
    State(engine): Shared,
    asked: Result<Query<Part>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(part) = asked?;
    reply::json(&headers, &Page::<Connection>::named(engine.connections(), &part, |one| &one.connection)?)
}
