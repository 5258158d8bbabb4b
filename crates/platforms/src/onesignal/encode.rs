//! Request bodies, written straight into one buffer.
//!
//! Properties travel as the text that was read; nothing is parsed or copied twice.

use std::fmt::Write as _;

use tidegate_model::print::Printed;
use tidegate_model::{Body, Identity, Purchase, Record, json};

use super::client::alias;
use super::profile::Profile;

/// The body of a custom events request.
pub(super) fn events(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + records.iter().map(event_bound).sum::<usize>());
    out.extend_from_slice(b"{\"events\":[");
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        event(record, &mut out);
    }
    out.extend_from_slice(b"]}");
    out
}

/// Appends one event.
///
/// `event_id` is not in the published request; OneSignal repeats it in the
/// error of an event that failed, which has no index.
/// Source: OneSignal docs, Create custom events, `errors.event_id`.
pub(super) fn event(record: &Record, out: &mut Vec<u8>) {
    let Body::Event { name, time, properties, .. } = &record.body else { return };
    out.extend_from_slice(b"{\"name\":");
    json::write_bytes(name.as_bytes(), out);
    let (label, user) = alias(&record.identity);
    out.extend_from_slice(b",\"");
    out.extend_from_slice(label.as_bytes());
    out.extend_from_slice(b"\":");
    json::write_bytes(user.as_bytes(), out);
    if let Some(time) = time {
        out.extend_from_slice(b",\"timestamp\":\"");
        out.extend_from_slice(Printed::moment(*time).as_bytes());
        out.push(b'"');
    }
    let id = record.id.uuid();
    out.extend_from_slice(b",\"idempotency_key\":\"");
    out.extend_from_slice(&id);
    out.extend_from_slice(b"\",\"event_id\":\"");
    out.extend_from_slice(&id);
    out.push(b'"');
    if !properties.is_empty_object() {
        out.extend_from_slice(b",\"properties\":");
        out.extend_from_slice(properties.as_str().as_bytes());
    }
    out.push(b'}');
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
    let mut out = Vec::with_capacity(event_bound(record));
    event(record, &mut out);
    out.len()
}

/// The body of a request that books purchases of one user.
pub(super) fn purchases(records: &[Record]) -> String {
    let mut out = String::with_capacity(40 + records.iter().map(Record::estimated_size).sum::<usize>());
    out.push_str("{\"deltas\":{\"purchases\":[");
    for (at, record) in records.iter().enumerate() {
        let Body::Purchase(bought) = &record.body else { continue };
        let Purchase { product_id, currency, price, quantity, .. } = &**bought;
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
