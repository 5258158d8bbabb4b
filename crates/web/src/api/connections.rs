//! Connections, without their secrets.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::reply::{self, Page};
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

/// Lists the connections of the project, without their secrets.
#[utoipa::path(get, path = "/connections", operation_id = "list_connections", tag = "connections",
    responses((status = 200, body = Page<Connection>)))]
pub(super) async fn list_connections(State(engine): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    let data = engine.connections().into_iter().map(|connection| Connection {
        connection: connection.connection,
        r#type: connection.kind,
        settings: connection.settings,
        ingest_path: connection.ingest_path,
        used_by: (connection.used_by.into_iter())
            .map(|usage| Usage { sync: usage.sync.to_string(), reads: usage.reads })
            .collect(),
    });
    reply::json(&headers, &Page { data: data.collect(), next: None })
}
