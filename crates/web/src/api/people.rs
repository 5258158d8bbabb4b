//! People, tokens and the audit log, to read. They are changed by the command line and the pages.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::reply::{self, Page};
use super::runs::page_size;
use super::{Problem, Shared};

/// Someone who signs in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Person {
    name: String,
    /// `viewer`, `editor` or `admin`.
    role: &'static str,
    /// Whether the person may see values of rows.
    rows: bool,
    created_at: Timestamp,
    /// Whether the person has chosen a password.
    can_sign_in: bool,
}

/// A program that may use the API. Its secret is not kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    name: String,
    /// `viewer`, `editor` or `admin`.
    role: &'static str,
    /// Whether the program may see values of rows.
    rows: bool,
    created_at: Timestamp,
    expires_at: Timestamp,
    used_at: Option<Timestamp>,
}

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entry {
    /// Its number, without gaps.
    seq: u64,
    at: Timestamp,
    /// The person, `token NAME`, or the user of the machine.
    actor: String,
    /// `page`, `api` or `command`.
    via: String,
    action: String,
    subject: String,
    /// The SHA-256 over the entry before it and this one.
    hash: String,
}

/// How much of the audit log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Latest {
    /// At most this many: 50 if it is left out, 500 at most.
    limit: Option<u32>,
}

/// Lists everyone who signs in, by name.
#[utoipa::path(get, path = "/people", operation_id = "list_people", tag = "people",
    responses((status = 200, body = Page<Person>), (status = 403, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_people(State(engine): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    let people = engine.people().await?.into_iter().map(|person| Person {
        role: person.role.as_str(),
        rows: person.rows,
        created_at: person.created_at,
        can_sign_in: person.password.is_some(),
        name: person.name,
    });
    reply::json(&headers, &Page { data: people.collect(), next: None })
}

/// Lists the tokens of programs, by name.
#[utoipa::path(get, path = "/tokens", operation_id = "list_tokens", tag = "people",
    responses((status = 200, body = Page<Token>), (status = 403, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_tokens(State(engine): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    let tokens = engine.tokens().await?.into_iter().map(|token| Token {
        role: token.role.as_str(),
        rows: token.rows,
        created_at: token.created_at,
        expires_at: token.expires_at,
        used_at: token.used_at,
        name: token.name,
    });
    reply::json(&headers, &Page { data: tokens.collect(), next: None })
}

/// Lists what was done, newest first.
#[utoipa::path(get, path = "/audit", operation_id = "list_audit", tag = "people", params(Latest),
    responses((status = 200, body = Page<Entry>), (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_audit(
    State(engine): Shared,
    asked: Result<Query<Latest>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(Latest { limit }) = asked?;
    let entries = engine.audit_log(page_size(limit)).await?;
    let data = entries.into_iter().map(|entry| Entry {
        seq: entry.seq,
        at: entry.deed.at,
        actor: entry.deed.actor,
        via: entry.deed.via,
        action: entry.deed.action,
        subject: entry.deed.subject,
        hash: entry.hash,
    });
    reply::json(&headers, &Page { data: data.collect(), next: None })
}
