//! PagerDuty's Events API v2.
//!
//! Source: <https://developer.pagerduty.com/docs/send-alert-event>.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_model::alert::{Change, Channel, ChannelType, Message};
use tidegate_model::settings::schema_of;
use tidegate_model::{ConnectorContext, Error, Http, Secret, Settings};

use crate::post;

/// The longest summary. Source: as above.
const SUMMARY_CHARS_MAX: usize = 1_024;

/// The type `pagerduty`.
pub(crate) const TYPE: ChannelType = ChannelType {
    kind: "pagerduty",
    title: "PagerDuty",
    reaches_contacts: false,
    settings: schema_of::<PagerDuty>,
    open,
};

/// A service of PagerDuty, by an integration of Events API v2.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PagerDuty {
    /// The integration key of the service.
    routing_key: Secret,
    /// The address of the API; `https://events.eu.pagerduty.com` in the service region EU.
    #[serde(default = "address")]
    #[schemars(extend("format" = "url"))]
    url: String,
}

fn address() -> String {
    "https://events.pagerduty.com".to_owned()
}

struct Open {
    settings: PagerDuty,
    http: Arc<dyn Http>,
}

fn open(settings: &Settings, context: &ConnectorContext) -> Result<Arc<dyn Channel>, Error> {
    Ok(Arc::new(Open { settings: settings.parse()?, http: context.http.clone() }))
}

fn body(routing_key: &str, message: &Message) -> Value {
    let alert = &message.alert;
    if message.change == Change::Resolved {
        return json!({
            "routing_key": routing_key, "event_action": "resolve", "dedup_key": alert.id,
        });
    }
    let summary: String =
        format!("{}: {}", alert.title(), alert.summary).chars().take(SUMMARY_CHARS_MAX).collect();
    let mut body = json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": alert.id,
        "client": "Tidegate",
        "payload": {
            "summary": summary,
            "source": "tidegate",
            "severity": alert.trigger.severity(),
            "timestamp": alert.opened_at,
            "component": alert.subject,
            "class": alert.trigger,
            "custom_details": { "summary": alert.summary },
        },
    });
    if let Some(link) = &message.link {
        body["client_url"] = json!(link);
        body["links"] = json!([{ "href": link, "text": "Open the dashboard" }]);
    }
    body
}

#[async_trait]
impl Channel for Open {
    async fn send(&self, message: &Message) -> Result<(), Error> {
        let address = format!("{}/v2/enqueue", self.settings.url.trim_end_matches('/'));
        let body = body(self.settings.routing_key.expose(), message);
        post::json(&self.http, "PagerDuty", post::to(&address), &body).await
    }
}
