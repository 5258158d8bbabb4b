//! Records → request bodies, written straight into one buffer.
//!
//! JSON objects of a record are copied as text: no tree is built.

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;
use tidegate_model::print::Printed;
use tidegate_model::{Body, Identity, ObjectKind, Purchase, Record, json};

/// The body of `POST /users/track` for records of one kind.
///
/// An event or purchase without a time gets `now`: Braze requires one.
pub(super) fn track(kind: ObjectKind, records: &[Record], existing_only: bool, now: Timestamp) -> Bytes {
    // Milliseconds are as fine as Braze documents.
    let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let mut out = String::with_capacity(records.iter().map(Record::estimated_size).sum());
    out.push_str("{\"");
    out.push_str(array(kind));
    out.push_str("\":[");
    for (at, record) in records.iter().enumerate() {
        out.push_str(if at == 0 { "{" } else { ",{" });
        identity(&record.identity, &mut out);
        creation(&record.identity, existing_only, &mut out);
        body(&record.body, now, &mut out);
        out.push('}');
    }
    out.push_str("]}");
    out.into()
}

/// The array of `/users/track` that a kind belongs to.
pub(super) fn array(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Event => "events",
        ObjectKind::Purchase => "purchases",
        ObjectKind::User | ObjectKind::Deletion | ObjectKind::CatalogItem => "attributes",
    }
}

/// `"external_id":"ada"`.
fn identity(identity: &Identity, out: &mut String) {
    match identity {
        Identity::ExternalId(id) => member("external_id", id, out),
        Identity::PlatformId(id) => member("braze_id", id, out),
        Identity::Email(address) => member("email", address, out),
        Identity::Phone(number) => member("phone", number, out),
        Identity::Alias { label, name } => {
            out.push_str("\"user_alias\":{");
            member("alias_name", name, out);
            out.push(',');
            member("alias_label", label, out);
            out.push('}');
        }
        Identity::None => {}
    }
}

/// Whether Braze may create the user. It creates one by alias only when told to.
///
/// Source: Braze docs, POST /users/track, `_update_existing_only`.
fn creation(identity: &Identity, existing_only: bool, out: &mut String) {
    if existing_only {
        out.push_str(",\"_update_existing_only\":true");
    } else if matches!(identity, Identity::Alias { .. }) {
        out.push_str(",\"_update_existing_only\":false");
    }
}

fn body(body: &Body, now: Timestamp, out: &mut String) {
    match body {
        Body::User { attributes } => members(attributes.as_str(), out),
        Body::Event { name, time, properties, app_id } => {
            out.push(',');
            member("name", name, out);
            write_activity(time.unwrap_or(now), properties, app_id.as_deref(), out);
        }
        Body::Purchase(bought) => {
            let Purchase { product_id, currency, price, quantity, time, properties, app_id } = &**bought;
            out.push(',');
            member("product_id", product_id, out);
            out.push(',');
            member("currency", currency, out);
            out.push_str(",\"price\":");
            out.push_str(price);
            let _ = write!(out, ",\"quantity\":{quantity}");
            write_activity(time.unwrap_or(now), properties, app_id.as_deref(), out);
        }
        Body::Deletion | Body::CatalogItem { .. } | Body::CatalogRemoval { .. } => {}
    }
}

/// What events and purchases have in common.
fn write_activity(
    time: Timestamp,
    properties: &tidegate_model::Json,
    app_id: Option<&str>,
    out: &mut String,
) {
    out.push_str(",\"time\":\"");
    out.push_str(Printed::moment(time).as_str());
    out.push('"');
    if !properties.is_empty_object() {
        out.push_str(",\"properties\":");
        out.push_str(properties.as_str());
    }
    if let Some(app_id) = app_id {
        out.push(',');
        member("app_id", app_id, out);
    }
}

/// The members of an object after those that are there already.
fn members(object: &str, out: &mut String) {
    let inner = object.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    if !inner.trim_ascii().is_empty() {
        out.push(',');
        out.push_str(inner);
    }
}

fn member(name: &str, text: &str, out: &mut String) {
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
    json::write_string(text, out);
}

/// The body of `POST /users/delete`, for records whose identifiers are of one kind.
pub(super) fn delete<'a>(identities: impl Iterator<Item = &'a Identity>) -> Bytes {
    let mut out = String::from("{");
    for (at, who) in identities.enumerate() {
        if at == 0 {
            let _ = write!(out, "\"{}\":[", deletion_array(who));
        } else {
            out.push(',');
        }
        match who {
            Identity::Alias { .. } => {
                let start = out.len();
                identity(who, &mut out);
                out.replace_range(start..start + "\"user_alias\":".len(), "");
            }
            Identity::Email(_) | Identity::Phone(_) => {
                out.push('{');
                identity(who, &mut out);
                // Of several with the same address: one with an external id, the last updated.
                out.push_str(",\"prioritization\":[\"identified\",\"most_recently_updated\"]}");
            }
            Identity::ExternalId(id) | Identity::PlatformId(id) => json::write_string(id, &mut out),
            Identity::None => {}
        }
    }
    out.push_str("]}");
    out.into()
}

/// The array of `/users/delete` that an identifier belongs to. A request has only one.
pub(super) fn deletion_array(identity: &Identity) -> &'static str {
    match identity {
        Identity::ExternalId(_) | Identity::None => "external_ids",
        Identity::Alias { .. } => "user_aliases",
        Identity::PlatformId(_) => "braze_ids",
        Identity::Email(_) => "email_addresses",
        Identity::Phone(_) => "phone_numbers",
    }
}

/// The body of `PUT` and `DELETE /catalogs/{name}/items`.
pub(super) fn items<'a>(records: impl Iterator<Item = &'a Record>) -> Bytes {
    let mut out = String::from("{\"items\":[");
    for (at, record) in records.enumerate() {
        out.push_str(if at == 0 { "{" } else { ",{" });
        match &record.body {
            Body::CatalogItem { id, fields } => {
                member("id", id, &mut out);
                members(fields.as_str(), &mut out);
            }
            Body::CatalogRemoval { id } => member("id", id, &mut out),
            _ => {}
        }
        out.push('}');
    }
    out.push_str("]}");
    out.into()
}
