//! `/people` and `/audit`: who may sign in, tokens of programs, and what was done.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use tidegate_engine::service::{Engine, Visitor};
use tidegate_model::people::Role;

use super::shell::{self, Failure, Shell};
use super::show::{ago, escaped, prose};
use crate::access::{Subject, origin};

/// Entries of the audit log on its page.
const SHOWN: usize = 200;

/// A person, or a token of a program.
struct Row {
    name: String,
    role: &'static str,
    rows: bool,
    since: String,
    state: String,
    is_you: bool,
}

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    shell: Shell,
    people: Vec<Row>,
    tokens: Vec<Row>,
    /// A link that was just made, and whom it is for.
    link: Option<(String, String)>,
}

pub(super) async fn page(
    State(engine): State<Arc<Engine>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    shown(&engine, &visitor, &headers, None).await
}

async fn shown(
    engine: &Engine,
    visitor: &Visitor,
    headers: &HeaderMap,
    link: Option<(String, String)>,
) -> Result<Response, Failure> {
    let shell = Shell::new(engine, "People", "/people").await?;
    let now = shell.now;
    let people = engine.people().await?.into_iter().map(|person| Row {
        is_you: person.name == visitor.name,
        role: person.role.as_str(),
        rows: person.rows,
        since: ago(person.created_at, now),
        state: if person.password.is_some() { "can sign in" } else { "has no password yet" }.to_owned(),
        name: person.name,
    });
    let tokens = engine.tokens().await?.into_iter().map(|token| Row {
        is_you: false,
        role: token.role.as_str(),
        rows: token.rows,
        since: token.used_at.map_or_else(|| "never".to_owned(), |at| ago(at, now)),
        state: match token.expires_at <= now {
            true => "has expired".to_owned(),
            false => format!("expires {}", ago(token.expires_at, now)),
        },
        name: token.name,
    });
    let template = PeoplePage { people: people.collect(), tokens: tokens.collect(), link, shell };
    shell::page(headers, &template)
}

/// A person to add or to change.
#[derive(Debug, Deserialize)]
pub(super) struct Added {
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: String,
    rows: Option<String>,
}

pub(super) async fn add(
    State(engine): State<Arc<Engine>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    form: Result<Form<Added>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(Added { name, role, rows }) = form?;
    let name = name.trim().to_owned();
    let role: Role = role.parse()?;
    let is_new = !engine.people().await?.iter().any(|person| person.name == name);
    engine.put_person(&name, role, rows.is_some(), None).await?;
    let subject = Extension(Subject(format!("{name}, {role}")));
    if !is_new {
        return Ok((subject, Redirect::to("/people")).into_response());
    }
    let key = engine.invite(&name).await?;
    let page = shown(&engine, &visitor, &headers, Some((name, address(&headers, &key)))).await?;
    Ok((subject, page).into_response())
}

/// The person of a button.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    #[serde(default)]
    name: String,
}

pub(super) async fn link(
    State(engine): State<Arc<Engine>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    form: Result<Form<Named>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(Named { name }) = form?;
    let key = engine.invite(&name).await?;
    let subject = Extension(Subject(name.clone()));
    let page = shown(&engine, &visitor, &headers, Some((name, address(&headers, &key)))).await?;
    Ok((subject, page).into_response())
}

pub(super) async fn remove(
    State(engine): State<Arc<Engine>>,
    form: Result<Form<Named>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(Named { name }) = form?;
    engine.remove_person(&name).await?;
    Ok((Extension(Subject(name)), Redirect::to("/people")).into_response())
}

pub(super) async fn remove_token(
    State(engine): State<Arc<Engine>>,
    form: Result<Form<Named>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(Named { name }) = form?;
    engine.remove_token(&name).await?;
    Ok((Extension(Subject(name)), Redirect::to("/people")).into_response())
}

/// The address of a link, as the browser reached this server.
fn address(headers: &HeaderMap, key: &str) -> String {
    format!("{}/welcome?key={key}", origin(headers))
}

/// An entry of the audit log.
struct Line {
    at: String,
    actor: String,
    what: String,
    via: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    lines: Vec<Line>,
    intact: bool,
    verdict: String,
}

/// Returns an action and what it was done to, as HTML.
fn what(action: &str, subject: &str) -> String {
    let action = prose(&action.replace('_', " "));
    match subject {
        "" => action,
        _ => format!("{action}: <b>{}</b>", escaped(subject)),
    }
}

pub(super) async fn audit(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let shell = Shell::new(&engine, "Audit log", "/people").await?;
    let verdict = engine.verify_audit().await?;
    let lines = engine.audit_log(None, SHOWN).await?.into_iter().map(|entry| Line {
        at: ago(entry.deed.at, shell.now),
        actor: entry.deed.actor,
        what: what(&entry.deed.action, &entry.deed.subject),
        via: entry.deed.via,
    });
    let template = AuditPage {
        lines: lines.collect(),
        intact: verdict.intact,
        verdict: match verdict.broken_at {
            None => format!("All {} entries are as they were written.", verdict.entries),
            Some(seq) => format!("Entry {seq} is not as it was written, or one before it is missing."),
        },
        shell,
    };
    shell::page(&headers, &template)
}
