//! E-mail records: what happened is in a facet.

use serde_json::{Value, json};

use super::shape::Shape;

/// The record of an e-mail event; `feedback` is what the attribute of that name says.
pub(super) fn record(shape: &Shape<'_>, event_type: &str, feedback: &str) -> Value {
    let event = &shape.logged.event;
    let mut attributes = shape.campaign();
    // Of a click, the feedback is the address that was opened.
    let feedback = if event_type == "_email.click" { shape.text("url") } else { feedback };
    if !feedback.is_empty() {
        attributes["feedback"] = feedback.into();
    }
    if !shape.text("failure_reason").is_empty() {
        attributes["failure_reason"] = shape.text("failure_reason").into();
    }
    let mut mail_event = json!({ "mail": mail(shape) });
    let (name, part) = mail_event_part(shape, event_type);
    mail_event[name] = part;
    let context = json!({ "custom": { "legacy_identifier": &*event.app } });
    let facets = json!({ "email_channel": { "mail_event": mail_event } });
    shape.record(event_type, &attributes, [("client_context", context), ("facets", facets)])
}

fn mail(shape: &Shape<'_>) -> Value {
    let (to, subject) = (shape.text("token"), shape.text("message_title"));
    json!({
        "message_id": &*shape.logged.event.message,
        "message_send_timestamp": shape.logged.event.at.as_millisecond(),
        "from_address": "",
        "destination": [to],
        "headers_truncated": false,
        "headers": [{ "name": "To", "value": to }, { "name": "Subject", "value": subject }],
        "common_headers": { "from": "", "to": [to], "subject": subject },
    })
}

/// Returns the part of the facet that is named after the event.
fn mail_event_part(shape: &Shape<'_>, event_type: &str) -> (&'static str, Value) {
    match event_type {
        "_email.send" => ("send", json!({})),
        "_email.delivered" => {
            let recipients = [shape.text("token")];
            let delivery = json!({
                "smtp_response": "",
                "reporting_mta": "",
                "recipients": recipients,
                "processing_time_millis": 0,
            });
            ("delivery", delivery)
        }
        "_email.open" => ("open", json!({ "ip_address": "", "user_agent": "" })),
        "_email.click" => ("click", json!({ "ip_address": "", "user_agent": "", "link": shape.text("url") })),
        "_email.hardbounce" => ("bounce", json!({ "bounce_sub_type": "" })),
        "_email.complaint" => ("complaint", json!({})),
        "_email.unsubscribe" => ("unsubscribe", json!({})),
        _ => ("reject", json!({ "reason": shape.text("failure_reason") })),
    }
}
