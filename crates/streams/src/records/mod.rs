//! Events as the records of Pinpoint event streams, for sinks that are asked for
//! that shape. Pure.
//!
//! An app's events are records already. Message events become those that Pinpoint
//! would have streamed for its campaigns, journeys, e-mail, SMS and in-app messages;
//! what Pinpoint has no word for keeps its own kind, in the shape of an app's
//! event. A value that the platform does not provide is an empty text, or 0 if it is a number.
//!
//! Source: Amazon Pinpoint developer guide, event streams; the table of kinds is ours.

mod email;
mod shape;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};
use tidegate_model::event::{Channel, current_kind};
use tidegate_model::{Json, LoggedEvent};

use shape::Shape;

/// How a kind of message event is called, and what its record says besides.
const KINDS: &[(&str, &str, &str)] = &[
    ("message.push.sent", "_campaign.send", "SUCCESS"),
    ("message.push.failed", "_campaign.send", "FAILURE"),
    ("message.push.received", "_campaign.received_background", ""),
    ("message.push.clicked", "_campaign.opened_notification", ""),
    ("message.iam.impression", "_inapp.message_displayed", ""),
    ("message.iam.clicked", "_inapp.message_clicked", ""),
    ("message.email.sent", "_email.send", "received"),
    ("message.email.received", "_email.delivered", "delivered"),
    ("message.email.opened", "_email.open", "opened"),
    ("message.email.clicked", "_email.click", ""),
    ("message.email.unsubscribed", "_email.unsubscribe", ""),
    ("message.email.reported_as_spam", "_email.complaint", ""),
    ("message.email.bounced", "_email.hardbounce", ""),
    ("message.email.failed", "_email.rejected", ""),
    ("message.email.suppressed", "_email.rejected", ""),
    ("message.sms.sent", "_SMS.BUFFERED", "PENDING"),
    ("message.sms.delivered", "_SMS.SUCCESS", "DELIVERED"),
    ("message.sms.failed", "_SMS.FAILURE", "UNKNOWN"),
    ("message.sms.undelivered", "_SMS.FAILURE", "UNREACHABLE"),
];

/// The record of an event: one JSON object. `account` becomes `awsAccountId`
/// if the event has none of its own.
pub(crate) fn record(logged: &LoggedEvent, account: &str) -> Json {
    let event = &logged.event;
    let payload: Map<String, Value> = serde_json::from_str(event.payload.as_str()).unwrap_or_default();
    let is_record =
        ["event_type", "event_version", "awsAccountId"].iter().all(|name| payload.contains_key(*name));
    if is_record {
        return event.payload.clone();
    }
    let shape = Shape { logged, payload: &payload, account };
    let name = current_kind(&event.kind);
    let kind = KINDS.iter().find(|(kind, ..)| *kind == name);
    let record = match (kind, event.channel()) {
        (Some((_, event_type, status)), Some(Channel::Push)) if !status.is_empty() => {
            send(&shape, event_type, status)
        }
        (Some((_, event_type, _)), Some(Channel::Push)) => opened(&shape, event_type),
        (Some((_, event_type, _)), Some(Channel::InApp)) => opened(&shape, event_type),
        (Some((_, event_type, feedback)), Some(Channel::Email)) => {
            email::record(&shape, event_type, feedback)
        }
        (Some((_, event_type, status)), Some(Channel::Sms)) => sms(&shape, event_type, status),
        _ => plain(&shape),
    };
    Json::trusted(record.to_string())
}

/// A push message on its way: of a journey if the event names one, else of a campaign.
fn send(shape: &Shape<'_>, event_type: &str, status: &str) -> Value {
    let context = json!({ "custom": { "endpoint": shape.endpoint().to_string() } });
    if !shape.text("journey_id").is_empty() {
        let (message, code) =
            if status == "SUCCESS" { ("200", "200") } else { (shape.text("failure_reason"), "") };
        let attributes = json!({
            "journey_run_id": shape.text("journey_run_id"),
            "journey_send_status": status,
            "journey_id": shape.text("journey_id"),
            "journey_activity_id": shape.text("journey_activity_id"),
            "journey_activity_type": "PUSH",
            "journey_send_status_message": message,
            "journey_send_status_code": code,
        });
        return shape.record("_journey.send", &attributes, [("client_context", context)]);
    }
    let mut attributes = shape.campaign();
    attributes["delivery_type"] = shape.channel_type().into();
    attributes["campaign_send_status"] = status.into();
    shape.record(event_type, &attributes, [("client_context", context)])
}

/// What a device reports of a message: with its endpoint, as SDKs send it.
fn opened(shape: &Shape<'_>, event_type: &str) -> Value {
    let mut attributes = shape.campaign();
    attributes["delivery_type"] = shape.channel_type().into();
    shape.record(event_type, &attributes, [("metrics", json!({})), ("endpoint", shape.endpoint())])
}

fn sms(shape: &Shape<'_>, event_type: &str, status: &str) -> Value {
    let mut attributes = shape.campaign();
    for (name, value) in [
        ("sender_request_id", &*shape.logged.event.id),
        ("origination_phone_number", ""),
        ("destination_phone_number", shape.text("token")),
        ("record_status", status),
        ("iso_country_code", ""),
        ("number_of_message_parts", ""),
        ("message_id", &*shape.logged.event.message),
        ("message_type", ""),
    ] {
        attributes[name] = value.into();
    }
    // Consumers read the price wherever the documentation has it.
    let metrics =
        (event_type != "_SMS.BUFFERED").then(|| ("metrics", json!({ "price_in_millicents_usd": 0.0 })));
    shape.record(event_type, &attributes, metrics)
}

/// Any event in the shape of an app's: text becomes attributes, numbers metrics,
/// and what is nested attributes that hold JSON.
fn plain(shape: &Shape<'_>) -> Value {
    let (mut attributes, mut metrics) = (Map::new(), Map::new());
    for (name, value) in shape.payload {
        match value {
            Value::Null => {}
            Value::Number(_) => {
                metrics.insert(name.clone(), value.clone());
            }
            Value::String(_) => {
                attributes.insert(name.clone(), value.clone());
            }
            other => {
                attributes.insert(name.clone(), other.to_string().into());
            }
        }
    }
    let kind = shape.logged.event.kind.to_string();
    let attributes = Value::Object(attributes);
    shape.record(&kind, &attributes, [("metrics", Value::Object(metrics)), ("endpoint", shape.endpoint())])
}
