//! Alerts, who was notified, and a test of a channel.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_engine::service::{AlertDetails, ChannelDetails, TestedChannel};
use tidegate_model::alert::AlertQuery;
use utoipa::{IntoParams, ToSchema};

use super::cursor::{after_alert, alert_position};
use super::reply::{self, Page, Part, read_position};
use super::runs::page_size;
use super::{Problem, Shared};

/// Which alerts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Alerts {
    /// Whether resolved alerts follow the open ones: false if it is left out.
    #[serde(default)]
    resolved: bool,
    /// The `next` of the page before.
    after: Option<String>,
    /// At most this many: 50 if it is left out, 500 at most.
    limit: Option<u32>,
}

/// Something that needs a person.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alert {
    id: String,
    /// The sync that it is about; for the trigger `channel`, the channel.
    subject: String,
    /// `failed`, `rejected`, `in_doubt`, `stale`, `no_rows`, `lag`, `expires`, `disk` or `channel`.
    trigger: &'static str,
    /// `critical` or `warning`.
    severity: &'static str,
    title: String,
    /// The sentence to act on.
    summary: String,
    opened_at: Timestamp,
    /// When it was resolved; null while it is open.
    resolved_at: Option<Timestamp>,
    notices: Vec<Notice>,
}

/// A message to one recipient.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Notice {
    channel: String,
    /// The contact of the sync that it goes to instead of the recipients of the channel.
    contact: Option<String>,
    /// `opened` or `resolved`.
    change: &'static str,
    attempts: u32,
    /// When it is sent next; null if it is done with.
    due_at: Option<Timestamp>,
    /// When the receiver accepted it.
    sent_at: Option<Timestamp>,
    /// Why the last attempt failed.
    error: Option<String>,
}

/// A channel of the project.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Channel {
    channel: String,
    r#type: String,
}

/// The result of a test of a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tested {
    channel: String,
    r#type: String,
    /// Why it does not work; null if the other side accepted the messages.
    error: Option<String>,
    /// What to do about it.
    remedy: Option<String>,
}

impl From<AlertDetails> for Alert {
    fn from(details: AlertDetails) -> Alert {
        let AlertDetails { alert, notices } = details;
        let notices = notices.into_iter().map(|notice| Notice {
            channel: notice.recipient.channel,
            contact: notice.recipient.contact,
            change: notice.change.as_str(),
            attempts: notice.attempts,
            due_at: notice.due_at,
            sent_at: notice.sent_at,
            error: notice.error,
        });
        Alert {
            trigger: alert.trigger.as_str(),
            severity: alert.trigger.severity().as_str(),
            title: alert.title(),
            notices: notices.collect(),
            id: alert.id,
            subject: alert.subject,
            summary: alert.summary,
            opened_at: alert.opened_at,
            resolved_at: alert.resolved_at,
        }
    }
}

impl From<ChannelDetails> for Channel {
    fn from(details: ChannelDetails) -> Channel {
        Channel { channel: details.channel, r#type: details.kind }
    }
}

/// Lists the open alerts, then those that were resolved; in both parts the one that opened last first.
#[utoipa::path(get, path = "/alerts", operation_id = "list_alerts", tag = "alerts", params(Alerts),
    responses((status = 200, body = Page<Alert>), (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_alerts(
    State(engine): Shared,
    asked: Result<Query<Alerts>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(Alerts { resolved, after, limit }) = asked?;
    let limit = page_size(limit);
    let after = read_position(after.as_deref(), alert_position)?;
    let alerts = engine.find_alerts(&AlertQuery { resolved, after, limit: limit + 1 }).await?;
    reply::json(&headers, &Page::<Alert>::of(alerts, limit, |details| after_alert(&details.alert)))
}

/// Lists the channels of the project, without their settings.
#[utoipa::path(get, path = "/channels", operation_id = "list_channels", tag = "alerts", params(Part),
    responses((status = 200, body = Page<Channel>), (status = 422, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_channels(
    State(engine): Shared,
    asked: Result<Query<Part>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(part) = asked?;
    reply::json(&headers, &Page::<Channel>::named(engine.channels(), &part, |one| &one.channel)?)
}

/// Sends a test alert and its recovery by a channel.
#[utoipa::path(post, path = "/channels/{channel}/test", operation_id = "test_channel", tag = "alerts",
    params(("channel" = String, Path, description = "The name of the channel")),
    responses((status = 200, body = Tested, description = "`error` says why it does not work"),
        (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn test_channel(
    State(engine): Shared,
    Path(channel): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tested = engine.test_channels(Some(&channel)).await;
    let tested = tested.map_err(|error| Problem::not_found(error.message()).remedy(error.next_step()))?;
    let missing = || Problem::not_found(format!("there is no channel `{channel}`"));
    let TestedChannel { channel, kind, error, next } = tested.into_iter().next().ok_or_else(missing)?;
    reply::json(&headers, &Tested { channel, r#type: kind, error, remedy: next })
}
