//! `/connections` and `/about`

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tidegate_engine::service::{ConnectionDetails, Engine, Visitor};

use super::shell::{self, Failure, Shell};
use super::syncs::lines;
use crate::assets;
use tidegate_model::address::encoded;

/// A connection.
struct ConnectionView {
    name: String,
    kind: String,
    title: String,
    settings: Vec<(String, String)>,
    ingest_path: Option<String>,
    used_by: Vec<(String, String, &'static str)>,
}

#[derive(Template)]
#[template(path = "connections.html")]
struct ConnectionsPage {
    shell: Shell,
    connections: Vec<ConnectionView>,
}

pub(super) async fn page(
    State(engine): State<Arc<Engine>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let template = ConnectionsPage {
        shell: Shell::new(&engine, "Connections", "/connections").await?.of(visitor),
        connections: engine.connections().into_iter().map(view).collect(),
    };
    shell::page(&headers, &template)
}

fn view(connection: ConnectionDetails) -> ConnectionView {
    let used = connection.used_by.into_iter().map(|usage| {
        let path = format!("/syncs/{}", encoded(usage.sync.as_str()));
        (path, usage.sync.to_string(), if usage.reads { "reads from it" } else { "delivers to it" })
    });
    ConnectionView {
        name: connection.connection,
        kind: connection.kind,
        title: connection.title,
        settings: lines(&connection.settings),
        ingest_path: connection.ingest_path,
        used_by: used.collect(),
    }
}

#[derive(Template)]
#[template(path = "about.html")]
struct AboutPage {
    shell: Shell,
    licenses: &'static str,
}

pub(super) async fn about(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let shell = Shell::new(&engine, "About", "").await?;
    shell::page(&headers, &AboutPage { shell, licenses: assets::THIRD_PARTY })
}
