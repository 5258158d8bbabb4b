//! `/connections/new`: a connection is filled in, proved and saved.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use tidegate_engine::service::{self, ActiveProject, ConnectionForm, Engine, Section};
use tidegate_model::address::encoded;

use super::connection_form::{FormPage, Given, Sent, of};
use super::shell::{self, Failure, Shell};
use crate::access::{NotNoted, Subject};

/// A type of connection.
struct KindView {
    kind: String,
    title: String,
    roles: String,
}

#[derive(Template)]
#[template(path = "new_connection_kinds.html")]
struct KindsPage {
    shell: Shell,
    kinds: Vec<KindView>,
    lead: &'static str,
    query: String,
}

/// Where the wizard continues.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Onward {
    /// The source of the sync that is set up.
    from: String,
    /// Whether the connection becomes its destination.
    then: String,
}

impl Onward {
    fn query(&self) -> String {
        match (self.then.as_str(), self.from.as_str()) {
            ("", _) => String::new(),
            (then, from) => format!("?then={}&from={}", encoded(then), encoded(from)),
        }
    }

    /// The page after a connection is saved: what the sync still needs, or the sync.
    fn next(&self, engine: &Engine, name: &str) -> String {
        match self.then.as_str() {
            "source" if !engine.has_destination() => {
                format!("/connections/new?then=destination&from={}", encoded(name))
            }
            "source" => format!("/syncs/new?from={}", encoded(name)),
            "destination" => format!("/syncs/new?from={}&to={}", encoded(&self.from), encoded(name)),
            "events" => format!("/exports/new?from={}", encoded(name)),
            "sink" => format!("/exports/new?from={}&to={}", encoded(&self.from), encoded(name)),
            _ => format!("/connections?saved={0}#{0}", encoded(name)),
        }
    }
}

pub(super) async fn kinds(
    State(engine): State<Arc<Engine>>,
    Query(onward): Query<Onward>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let fits = |info: &service::ConnectorInfo| match onward.then.as_str() {
        "source" => info.source,
        "destination" => !info.objects.is_empty(),
        "events" => info.ingest,
        "sink" => info.sink,
        _ => true,
    };
    let kinds = engine.connector_infos().into_iter().filter(fits).map(|info| {
        let roles = [
            (info.source, "gives rows"),
            (!info.objects.is_empty(), "takes users and events"),
            (info.ingest, "gives events"),
            (info.sink, "takes events"),
        ];
        let roles: Vec<&str> = roles.iter().filter(|(has, _)| *has).map(|(_, role)| *role).collect();
        KindView { kind: info.name.to_owned(), title: info.title.to_owned(), roles: roles.join(", ") }
    });
    let lead = match onward.then.as_str() {
        "source" => "Which system are the rows in?",
        "destination" => "Which platform do they go to?",
        "events" => "Where do the events come from?",
        "sink" => "Where do the events go?",
        _ => "Which system is it?",
    };
    let shell = Shell::new(&engine, "New connection", "/connections").await?;
    let mut kinds: Vec<KindView> = kinds.collect();
    kinds.sort_by(|one, other| one.title.cmp(&other.title));
    shell::page(&headers, &KindsPage { kinds, lead, query: onward.query(), shell })
}

pub(super) async fn form(
    State(project): State<Arc<ActiveProject>>,
    Path(kind): Path<String>,
    Query(onward): Query<Onward>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let name = project.engine().free_name(Section::Connections, &kind);
    shell::page(&headers, &FormPage::added(&project, &kind, name, &BTreeMap::new(), &onward.query()).await?)
}

pub(super) async fn send(
    State(project): State<Arc<ActiveProject>>,
    Path(kind): Path<String>,
    Query(onward): Query<Onward>,
    headers: HeaderMap,
    given: Given,
) -> Result<Response, Failure> {
    let Form(given) = given?;
    let name = given.get("connection").map(|name| name.trim().to_owned()).unwrap_or_default();
    let page = FormPage::added(&project, &kind, name.clone(), &given, &onward.query()).await?;
    let form = ConnectionForm::added(&project, &kind, &name, &given, of(&given, "stored")).await;
    match page.take(&project, form, of(&given, "act")).await? {
        Sent::Saved(_) => {
            let subject = Extension(Subject(format!("+ connection {name}")));
            Ok((subject, Redirect::to(&onward.next(&project.engine(), &name))).into_response())
        }
        Sent::Again(page) => Ok((Extension(NotNoted), shell::page(&headers, page.as_ref())?).into_response()),
    }
}
