//! Prometheus Alertmanager, by its API v2.
//!
//! Source: <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_model::alert::{About, Change, Channel, ChannelType, Message, Trigger};
use tidegate_model::settings::schema_of;
use tidegate_model::{ConnectorContext, Error, Http, Secret, Settings};

use crate::post;

/// How often an open alert is sent: Alertmanager keeps alerts in memory only.
const REPEAT: Duration = Duration::from_secs(60);
/// How long it takes an alert for open that is not sent again: some repetitions may be lost.
const LASTS: Duration = Duration::from_secs(300);

/// The type `alertmanager`.
pub(crate) const TYPE: ChannelType = ChannelType {
    kind: "alertmanager",
    title: "Alertmanager",
    reaches_contacts: false,
    settings: schema_of::<Alertmanager>,
    open,
};

/// An Alertmanager of Prometheus.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Alertmanager {
    /// Its address, such as `http://127.0.0.1:9093`.
    #[schemars(extend("format" = "url"))]
    url: String,
    /// The user of basic authentication.
    user: Option<String>,
    /// The password of basic authentication.
    password: Option<Secret>,
    /// Labels to add to each alert.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// A PEM file of certificate authorities to trust besides the system's.
    ca_file: Option<PathBuf>,
}

struct Open {
    settings: Alertmanager,
    http: Arc<dyn Http>,
}

fn open(settings: &Settings, context: &ConnectorContext) -> Result<Arc<dyn Channel>, Error> {
    let settings: Alertmanager = settings.parse()?;
    let http = context.trusting(settings.ca_file.as_deref())?.http;
    Ok(Arc::new(Open { settings, http }))
}

/// The name of an alert of this trigger.
fn alertname(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Failed => "TidegateSyncFailed",
        Trigger::Rejected => "TidegateRowsRejected",
        Trigger::InDoubt => "TidegateRowsInDoubt",
        Trigger::Stale => "TidegateSyncStale",
        Trigger::NoRows => "TidegateNoRows",
        Trigger::Lag => "TidegateSyncLags",
        Trigger::Expires => "TidegateTokenExpires",
        Trigger::Disk => "TidegateDiskFull",
        Trigger::Channel => "TidegateChannelFailed",
        Trigger::Test => "TidegateTest",
    }
}

fn body(message: &Message, extra: &BTreeMap<String, String>) -> Value {
    let alert = &message.alert;
    let subject = match alert.trigger.about() {
        About::Sync => "sync",
        About::Channel => "channel",
        About::Token => "token",
        About::Machine => "machine",
    };
    let mut labels = json!({
        "alertname": alertname(alert.trigger),
        subject: alert.subject,
        "severity": alert.trigger.severity(),
    });
    for (name, value) in extra {
        labels[name] = json!(value);
    }
    let ends_at = match (message.change, alert.resolved_at) {
        (Change::Resolved, Some(at)) => at,
        (Change::Resolved, None) => message.at,
        (Change::Opened, _) => message.at.saturating_add(LASTS).unwrap_or(message.at),
    };
    let mut body = json!({
        "labels": labels,
        "annotations": { "summary": alert.title(), "description": alert.summary },
        "startsAt": alert.opened_at,
        "endsAt": ends_at,
    });
    if let Some(link) = &message.link {
        body["generatorURL"] = json!(link);
    }
    json!([body])
}

#[async_trait]
impl Channel for Open {
    async fn send(&self, message: &Message) -> Result<(), Error> {
        let settings = &self.settings;
        let mut request = post::to(&format!("{}/api/v2/alerts", settings.url.trim_end_matches('/')));
        if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
            let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
            request = request.header(AUTHORIZATION, format!("Basic {pair}"));
        }
        post::json(&self.http, "Alertmanager", request, &body(message, &settings.labels)).await
    }

    fn repeats(&self) -> Option<Duration> {
        Some(REPEAT)
    }
}
