//! What all records have.

use serde_json::{Map, Value, json};
use tidegate_model::LoggedEvent;
use tidegate_model::event::Channel;

/// A message event on its way to becoming a record.
pub(super) struct Shape<'a> {
    /// The event.
    pub(super) logged: &'a LoggedEvent,
    /// Its payload.
    pub(super) payload: &'a Map<String, Value>,
    /// The account for `awsAccountId`.
    pub(super) account: &'a str,
}

impl<'a> Shape<'a> {
    /// A text of the payload, or empty.
    pub(super) fn text(&self, name: &str) -> &'a str {
        self.payload.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The record: its envelope, these attributes, and what follows them.
    pub(super) fn record(
        &self,
        event_type: &str,
        attributes: &Value,
        parts: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Value {
        let event = &self.logged.event;
        let mut record = json!({
            "event_type": event_type,
            "event_timestamp": event.at.as_millisecond(),
            "arrival_timestamp": self.logged.logged_at.as_millisecond(),
            "event_version": "3.1",
            "application": { "app_id": &*event.app, "sdk": {} },
            "client": { "client_id": self.client() },
            "device": { "platform": {} },
            "session": {},
            "attributes": attributes,
        });
        for (name, part) in parts {
            record[name] = part;
        }
        record["awsAccountId"] = self.account.into();
        record
    }

    /// What tells of the message in every campaign's record.
    pub(super) fn campaign(&self) -> Value {
        json!({
            "treatment_id": "0",
            "campaign_activity_id": &*self.logged.event.template,
            "campaign_id": &*self.logged.event.message,
        })
    }

    /// The subscription as an endpoint.
    pub(super) fn endpoint(&self) -> Value {
        let event = &self.logged.event;
        let subscribed = self.payload.get("subscribed").and_then(Value::as_bool).unwrap_or(true);
        let user = if event.user.is_empty() { json!({}) } else { json!({ "UserId": &*event.user }) };
        json!({
            "ChannelType": self.channel_type(),
            "Address": self.text("token"),
            "EndpointStatus": if subscribed { "ACTIVE" } else { "INACTIVE" },
            "OptOut": if subscribed { "NONE" } else { "ALL" },
            "RequestId": &*event.id,
            "EffectiveDate": format!("{:.3}", event.at),
            "User": user,
        })
    }

    /// The channel in Pinpoint's words.
    pub(super) fn channel_type(&self) -> &'static str {
        match self.logged.event.channel() {
            Some(Channel::Email) => return "EMAIL",
            Some(Channel::Sms) => return "SMS",
            Some(Channel::InApp) => return "IN_APP",
            Some(Channel::Push | Channel::LiveActivity) | None => {}
        }
        match self.text("subscription_device_type").to_ascii_lowercase().as_str() {
            "ios" => "APNS",
            "android" => "GCM",
            "amazon" => "ADM",
            _ => "PUSH",
        }
    }

    fn client(&self) -> &'a str {
        match self.text("subscription_id") {
            "" => &self.logged.event.user,
            id => id,
        }
    }
}
