//! People, tokens and the audit log, to read. They are changed by the command line and the pages.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use tidegate_model::people;
use utoipa::ToSchema;

use super::reply::{self, Page, Part, read_position};
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

impl From<people::Person> for Person {
    fn from(person: people::Person) -> Person {
        Person {
            role: person.role.as_str(),
            rows: person.rows,
            created_at: person.created_at,
            can_sign_in: person.password.is_some(),
            name: person.name,
        }
    }
}

impl From<people::Token> for Token {
    fn from(token: people::Token) -> Token {
        Token {
            role: token.role.as_str(),
            rows: token.rows,
            created_at: token.created_at,
            expires_at: token.expires_at,
            used_at: token.used_at,
            name: token.name,
        }
    }
}

impl From<people::AuditEntry> for Entry {
    fn from(entry: people::AuditEntry) -> Entry {
        Entry {
            seq: entry.seq,
            at: entry.deed.at,
            actor: entry.deed.actor,
            via: entry.deed.via,
            action: entry.deed.action,
            subject: entry.deed.subject,
            hash: entry.hash,
        }
    }
}

/// Lists everyone who signs in, by name.
#[utoipa::path(get, path = "/people", operation_id = "list_people", tag = "people", params(Part),
    responses((status = 200, body = Page<Person>), (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_people(
    State(engine): Shared,
    asked: Result<Query<Part>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(part) = asked?;
    reply::json(&headers, &Page::<Person>::named(engine.people().await?, &part, |person| &person.name)?)
}

/// Lists the tokens of programs, by name.
#[utoipa::path(get, path = "/tokens", operation_id = "list_tokens", tag = "people", params(Part),
    responses((status = 200, body = Page<Token>), (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_tokens(
    State(engine): Shared,
    asked: Result<Query<Part>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(part) = asked?;
    reply::json(&headers, &Page::<Token>::named(engine.tokens().await?, &part, |token| &token.name)?)
}

/// Lists what was done, newest first.
#[utoipa::path(get, path = "/audit", operation_id = "list_audit", tag = "people", params(Part),
    responses((status = 200, body = Page<Entry>), (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_audit(
    State(engine): Shared,
    asked: Result<Query<Part>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(Part { after, limit }) = asked?;
    let limit = page_size(limit);
    let before = read_position(after.as_deref(), |seq| seq.parse().ok())?;
    let entries = engine.audit_log(before, limit + 1).await?;
    reply::json(&headers, &Page::<Entry>::of(entries, limit, |entry| entry.seq.to_string()))
}
