//! `/users`: what happened to one person, in both directions?

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use tidegate_engine::service::{Engine, Entry};

use super::shell::{self, Failure, Shell};
use super::show::{ago, count, escaped, prose};
use super::views::{badge, status_badge};
use tidegate_model::address::encoded;

/// Entries of a timeline.
const SHOWN: usize = 200;

/// Whose timeline.
#[derive(Debug, Deserialize)]
pub(super) struct Search {
    user: Option<String>,
}

/// An entry of the timeline.
struct EntryView {
    is_sent: bool,
    at: String,
    title: String,
    detail: String,
    badge: String,
    path: Option<String>,
    place: String,
}

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    shell: Shell,
    user: String,
    entries: Vec<EntryView>,
    events_searched: bool,
    /// Whether there are older entries.
    older: bool,
    /// How many entries go in each direction.
    headline: String,
}

pub(super) async fn page(
    State(engine): State<Arc<Engine>>,
    search: Result<Query<Search>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Search { user }) = search?;
    let user = user.unwrap_or_default().trim().to_owned();
    let shell = Shell::new(&engine, "Users", "/users").await?;
    let (entries, older, events_searched) = match user.is_empty() {
        true => (Vec::new(), false, true),
        false => {
            let timeline = engine.timeline(&user, SHOWN).await?;
            (timeline.entries, timeline.older, timeline.events_searched)
        }
    };
    let sent = entries.iter().filter(|entry| matches!(entry, Entry::Sent { .. })).count() as u64;
    let received = entries.len() as u64 - sent;
    let headline = format!(
        "{} sent, {} came in",
        count(sent, "row was", "rows were"),
        count(received, "event", "events")
    );
    let template = UsersPage {
        user,
        headline,
        entries: entries.into_iter().map(|entry| view(entry, &shell)).collect(),
        events_searched,
        older,
        shell,
    };
    shell::page(&headers, &template)
}

fn view(entry: Entry, shell: &Shell) -> EntryView {
    match entry {
        Entry::Sent { at, sync, run, object, key, status, reason } => EntryView {
            is_sent: true,
            at: ago(at, shell.now),
            title: prose(format!("{} {key}", object.as_str().replace('_', " ")).trim_end()),
            detail: reason.map(|reason| prose(&reason.message)).unwrap_or_default(),
            badge: status_badge(status),
            path: Some(format!("/runs/{}", encoded(run.as_str()))),
            place: sync.to_string(),
        },
        Entry::Received { at, stream, kind, channel, message } => EntryView {
            is_sent: false,
            at: ago(at, shell.now),
            title: escaped(&kind),
            detail: if message.is_empty() { String::new() } else { escaped(&format!("message {message}")) },
            badge: channel.map(|channel| badge("channel", "events", channel.as_str())).unwrap_or_default(),
            path: None,
            place: stream.to_string(),
        },
    }
}
