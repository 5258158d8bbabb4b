//! `/alerts`: open alerts, who was notified, resolved alerts, and the channels.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_engine::service::{AlertDetails, ChannelDetails, Engine};
use tidegate_model::address::encoded;
use tidegate_model::alert::{About, AlertQuery, Change, Notice, Severity};

use super::shell::{self, Failure, Shell};
use super::show::{self, ago, count};
use crate::api::{after_alert, alert_position};

/// Alerts of a page: the open ones, then those that were resolved.
const SHOWN: usize = 50;

/// An alert.
struct AlertView {
    class: &'static str,
    badge: String,
    title: String,
    path: Option<String>,
    summary: String,
    opened: String,
    lasted: String,
    told: Vec<String>,
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    shell: Shell,
    headline: String,
    open: Vec<AlertView>,
    resolved: Vec<AlertView>,
    /// The next page, if there is one.
    next: Option<String>,
    channels: Vec<ChannelDetails>,
    tested: Option<String>,
    /// Why a channel that was tested does not work, and what to do about it.
    failed: Option<(String, String)>,
}

/// The channel that was tested just now, and after which alert the page begins.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    tested: Option<String>,
    after: Option<String>,
}

pub(super) async fn page(
    State(engine): State<Arc<Engine>>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(asked) = asked?;
    shell::page(&headers, &AlertsPage::new(&engine, asked).await?)
}

impl AlertsPage {
    async fn new(engine: &Engine, Asked { tested, after }: Asked) -> Result<AlertsPage, Failure> {
        let after = after.as_deref().and_then(alert_position);
        let query = AlertQuery { resolved: true, after, limit: SHOWN + 1 };
        let mut alerts = engine.find_alerts(&query).await?;
        let has_more = alerts.len() > SHOWN;
        alerts.truncate(SHOWN);
        let next = alerts.last().filter(|_| has_more);
        let next = next.map(|details| format!("/alerts?after={}", after_alert(&details.alert)));
        let shell = Shell::new(engine, "Alerts", "/alerts").await?;
        let (open, resolved): (Vec<_>, Vec<_>) =
            alerts.iter().partition(|details| details.alert.resolved_at.is_none());
        let headline = match shell.alerts {
            0 => "No alert is open".to_owned(),
            1 => "1 alert is open".to_owned(),
            many => format!("{} are open", count(many, "alert", "alerts")),
        };
        let view = |details: &&AlertDetails| AlertView::new(details, shell.now);
        let channels = engine.channels();
        Ok(AlertsPage {
            headline,
            open: open.iter().map(view).collect(),
            resolved: resolved.iter().map(view).collect(),
            next,
            tested: tested.filter(|tested| channels.iter().any(|channel| channel.channel == *tested)),
            failed: None,
            channels,
            shell,
        })
    }
}

impl AlertView {
    fn new(details: &AlertDetails, now: Timestamp) -> AlertView {
        let AlertDetails { alert, notices } = details;
        let (class, word) = match (alert.resolved_at, alert.trigger.severity()) {
            (Some(_), _) => ("good", "Resolved"),
            (None, Severity::Critical) => ("broken", "Critical"),
            (None, Severity::Warning) => ("look", "Warning"),
        };
        let icon = if class == "look" { "failed" } else { class };
        let until = alert.resolved_at.unwrap_or(now);
        let is_sync = alert.trigger.about() == About::Sync;
        AlertView {
            class,
            badge: format!("<span class=\"badge {class}\">{}{word}</span>", show::icon(icon)),
            title: alert.title(),
            path: is_sync.then(|| format!("/syncs/{}", encoded(&alert.subject))),
            summary: show::with_next(&alert.summary),
            opened: show::exact(alert.opened_at),
            lasted: show::span(until.as_second() - alert.opened_at.as_second()),
            told: notices.iter().map(|notice| told(notice, now)).collect(),
        }
    }
}

/// How far a notice is, as HTML.
fn told(notice: &Notice, now: Timestamp) -> String {
    let receiver = show::escaped(&notice.recipient.to_string());
    let what = match notice.change {
        Change::Opened => "alert",
        Change::Resolved => "recovery",
    };
    match (notice.sent_at, &notice.error, notice.due_at) {
        (_, Some(error), Some(_)) => {
            format!("{receiver}: the {what} could not be sent, and is tried again: {}", show::prose(error))
        }
        (_, Some(error), None) => format!("{receiver}: the {what} could not be sent: {}", show::prose(error)),
        (Some(at), None, _) => format!("{receiver}: the {what} was sent {}", ago(at, now)),
        (None, None, Some(_)) => format!("{receiver}: the {what} is on its way"),
        (None, None, None) => format!("{receiver}: the {what} was not needed any more"),
    }
}

/// The channel to test.
#[derive(Debug, Deserialize)]
pub(super) struct Test {
    channel: String,
}

pub(super) async fn test(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    form: Result<Form<Test>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(Test { channel }) = form?;
    let tested = engine.test_channels(Some(&channel)).await?;
    match tested.into_iter().find_map(|tested| Some((tested.error?, tested.next))) {
        None => Ok(Redirect::to(&format!("/alerts?tested={}", encoded(&channel))).into_response()),
        Some((error, next)) => {
            let mut page = AlertsPage::new(&engine, Asked::default()).await?;
            let why = show::marked(&format!("The channel `{channel}` does not work: {error}"));
            page.failed = Some((why, show::marked(&next.unwrap_or_default())));
            shell::page_of_failure(&headers, &page)
        }
    }
}
