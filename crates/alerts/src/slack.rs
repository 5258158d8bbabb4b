//! Slack's incoming webhooks, which Mattermost and Rocket.Chat take as well.
//!
//! Source: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_model::alert::{Change, Channel, ChannelType, Message};
use tidegate_model::settings::schema_of;
use tidegate_model::{ConnectorContext, Error, Http, Secret, Settings};

use crate::post;

/// The longest text of a section. Source: <https://docs.slack.dev/reference/block-kit/blocks/section-block>.
const SECTION_CHARS_MAX: usize = 3_000;

/// The type `slack`.
pub(crate) const TYPE: ChannelType = ChannelType {
    kind: "slack",
    title: "Slack",
    reaches_contacts: false,
    settings: schema_of::<Slack>,
    open,
};

/// A channel of Slack, by an incoming webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Slack {
    /// The address of the incoming webhook. It holds its key.
    url: Secret,
}

struct Open {
    settings: Slack,
    http: Arc<dyn Http>,
}

fn open(settings: &Settings, context: &ConnectorContext) -> Result<Arc<dyn Channel>, Error> {
    let settings: Slack = settings.parse()?;
    post::check_address(
        &settings.url,
        "copy the incoming webhook, which begins with https://hooks.slack.com/",
    )?;
    Ok(Arc::new(Open { settings, http: context.http.clone() }))
}

/// Escapes the three characters that mean something in a text of Slack.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn body(message: &Message) -> Value {
    let alert = &message.alert;
    let (icon, state) = match message.change {
        Change::Opened => (":red_circle:", ""),
        Change::Resolved => (":large_green_circle:", "Resolved: "),
    };
    let title = format!("{state}{}", escaped(&alert.title()));
    let summary: String = alert.summary.chars().take(SECTION_CHARS_MAX / 2).collect();
    let mut text = format!("{icon} *{title}*\n{}", escaped(&summary));
    if let Some(link) = &message.link {
        text.push_str(&format!("\n<{}|Open the dashboard>", escaped(link)));
    }
    json!({
        "text": title,
        "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": text } }],
    })
}

#[async_trait]
impl Channel for Open {
    async fn send(&self, message: &Message) -> Result<(), Error> {
        post::json(&self.http, "Slack", post::to(self.settings.url.expose()), &body(message)).await
    }
}
