//! `/connections` and `/about`

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use tidegate_engine::service::{ConnectionDetails, Engine};

use super::shell::{self, Failure, Shell};
use super::syncs::lines;
use crate::assets;
use tidegate_model::address::encoded;

/// A connection.
struct ConnectionView {
    name: String,
    edit_path: String,
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
    saved: Option<String>,
    /// Sealed secrets that the connection that was saved does not use any more.
    unused: Vec<String>,
}

/// What was done right before.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Done {
    saved: String,
    unused: String,
}

pub(super) async fn page(
    State(engine): State<Arc<Engine>>,
    done: Result<Query<Done>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Done { saved, unused }) = done?;
    let connections: Vec<ConnectionView> = engine.connections().into_iter().map(view).collect();
    let sealed = if unused.is_empty() { Vec::new() } else { engine.store().secrets().await? };
    let is_unused = |name: &&str| {
        sealed.iter().any(|one| one == name) && engine.project().users_of_secret(name).is_empty()
    };
    let template = ConnectionsPage {
        shell: Shell::new(&engine, "Connections", "/connections").await?,
        saved: connections.iter().any(|one| one.name == saved).then_some(saved),
        unused: unused.split(' ').filter(is_unused).map(str::to_owned).collect(),
        connections,
    };
    shell::page(&headers, &template)
}

fn view(connection: ConnectionDetails) -> ConnectionView {
    let used = connection.used_by.into_iter().map(|usage| {
        let path = format!("/syncs/{}", encoded(usage.sync.as_str()));
        (path, usage.sync.to_string(), if usage.reads { "reads from it" } else { "delivers to it" })
    });
    ConnectionView {
        edit_path: format!("/connections/{}/edit", encoded(&connection.connection)),
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
    /// The address of the licenses of the program, if it has them.
    notices: Option<&'static str>,
}

pub(super) async fn about(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let shell = Shell::new(&engine, "About", "").await?;
    shell::page(&headers, &AboutPage { shell, licenses: assets::THIRD_PARTY, notices: assets::notices() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_leads_to_the_licenses_of_a_release_and_says_where_a_source_build_has_them() {
        let page = |notices| AboutPage { shell: Shell::bare("About"), licenses: "", notices }.render();
        let release = page(Some("/assets/notices-1.txt")).expect("a page");
        assert!(
            release.contains("<a href=\"/assets/notices-1.txt\">") && !release.contains("built from source")
        );
        let source = page(None).expect("a page");
        assert!(source.contains("built from source") && source.contains("<code>packaging/notices</code>"));
    }
}
