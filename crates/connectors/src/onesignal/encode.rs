//! Request bodies, written straight into one buffer.
//!
//! Properties travel as the text that was read; nothing is parsed or copied twice.

use std::fmt::Write as _;

use tidegate_model::print::Printed;
use tidegate_model::{Body, Identity, Record, json};

use super::client::alias;
use super::profile::Profile;

/// The body of a custom events request.
pub(super) fn events(records: &[Record]) -> String {
    let mut out = String::with_capacity(16 + records.iter().map(event_bound).sum::<usize>());
    out.push_str("{\"events\":[");
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        event(record, &mut out);
    }
    out.push_str("]}");
    out
}

/// Appends one event.
///
/// `event_id` is not in the published request; OneSignal repeats it in the
/// error of an event that failed, which has no index.
/// Source: OneSignal docs, Create custom events, `errors.event_id`.
pub(super) fn event(record: &Record, out: &mut String) {
    let Body::Event { name, time, properties, .. } = &record.body else { return };
    out.push_str("{\"name\":");
    json::write_string(name, out);
    write_user(&record.identity, out);
    if let Some(time) = time {
        out.push_str(",\"timestamp\":\"");
        out.push_str(Printed::moment(*time).as_str());
        out.push('"');
    }
    let id = record.id.to_uuid();
    out.push_str(",\"idempotency_key\":\"");
    out.push_str(&id);
    out.push_str("\",\"event_id\":\"");
    out.push_str(&id);
    out.push('"');
    if !properties.is_empty_object() {
        out.push_str(",\"properties\":");
        out.push_str(properties.as_str());
    }
    out.push('}');
}

/// At least as many bytes as the event takes when nothing in it needs escaping.
pub(super) fn event_bound(record: &Record) -> usize {
    /// Member names, quotes, two UUIDs and a timestamp.
    const ENVELOPE: usize = 232;
    let Body::Event { name, properties, .. } = &record.body else { return ENVELOPE };
    ENVELOPE + name.len() + alias(&record.identity).1.len() + properties.as_str().len()
}

/// The exact size of an event in its request.
pub(super) fn event_length(record: &Record) -> usize {
    let mut out = String::with_capacity(event_bound(record));
    event(record, &mut out);
    out.len()
}

/// The body of a request that books purchases of one user.
pub(super) fn purchases(records: &[Record]) -> String {
    let mut out = String::with_capacity(40 + records.iter().map(Record::weight).sum::<usize>());
    out.push_str("{\"deltas\":{\"purchases\":[");
    for (at, record) in records.iter().enumerate() {
        let Body::Purchase { product_id, currency, price, quantity, .. } = &record.body else { continue };
        out.push_str(if at > 0 { ",{\"sku\":" } else { "{\"sku\":" });
        json::write_string(product_id, &mut out);
        out.push_str(",\"iso\":");
        json::write_string(currency, &mut out);
        out.push_str(",\"amount\":");
        json::write_string(price, &mut out);
        let _ = write!(out, ",\"count\":{quantity}}}");
    }
    out.push_str("]}}");
    out
}

/// The body that creates a user together with its subscriptions.
pub(super) fn creation(user: &Identity, profile: &Profile<'_>) -> String {
    let (label, id) = alias(user);
    let mut out = String::from("{\"identity\":{");
    json::write_string(label, &mut out);
    out.push(':');
    json::write_string(id, &mut out);
    out.push('}');
    if profile.updates() > 0 {
        out.push_str(",\"properties\":");
        profile.write_properties(&mut out);
    }
    out.push_str(",\"subscriptions\":[");
    for (at, (kind, token)) in profile.subscriptions().enumerate() {
        out.push_str(if at > 0 { ",{\"type\":\"" } else { "{\"type\":\"" });
        out.push_str(kind);
        out.push_str("\",\"token\":");
        json::write_string(token, &mut out);
        out.push('}');
    }
    out.push_str("]}");
    out
}

/// The body that updates a user.
pub(super) fn update(profile: &Profile<'_>) -> String {
    let mut out = String::from("{\"properties\":");
    profile.write_properties(&mut out);
    out.push('}');
    out
}

fn write_user(user: &Identity, out: &mut String) {
    let (label, id) = alias(user);
    out.push_str(",\"");
    out.push_str(label);
    out.push_str("\":");
    json::write_string(id, out);
}
