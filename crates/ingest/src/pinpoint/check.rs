//! Whether Pinpoint would take an event.
//!
//! Source: Amazon Pinpoint API reference, `Event`; developer guide, quotas.

use jiff::{Timestamp, civil};
use serde_json::Value;

use super::store::Object;

/// Bytes of an event: 1,000 KB.
const BYTES_MAX: usize = 1_000 * 1_024;
/// Attributes and metrics of an event together.
const KEYS_MAX: usize = 40;
/// Characters in the name of an attribute or metric.
const NAME_MAX: usize = 50;
/// Characters in the value of an attribute.
const VALUE_MAX: usize = 200;

/// What an event that Pinpoint takes has at least.
#[derive(Debug)]
pub(super) struct Checked<'a> {
    /// Its type.
    pub(super) kind: &'a str,
    /// When it happened.
    pub(super) at: Timestamp,
}

/// Checks an event; `bytes` is what it takes in the request.
///
/// # Errors
/// The message of its status code 400.
pub(super) fn check(event: &Object, bytes: usize) -> Result<Checked<'_>, String> {
    if bytes > BYTES_MAX {
        return Err("The event is larger than 1,000 KB".to_owned());
    }
    let kind = event.get("EventType").and_then(Value::as_str).filter(|kind| !kind.is_empty());
    let kind = kind.ok_or("EventType is required")?;
    let at = event.get("Timestamp").ok_or("Timestamp is required")?;
    let at = timestamp(at).ok_or("Timestamp must be in ISO 8601 format")?;
    let attributes = members(event, "Attributes")?;
    let metrics = members(event, "Metrics")?;
    if attributes.map_or(0, Object::len) + metrics.map_or(0, Object::len) > KEYS_MAX {
        return Err(format!("An event has at most {KEYS_MAX} attributes and metrics"));
    }
    for (name, value) in attributes.into_iter().flatten() {
        let Some(value) = value.as_str() else { return Err("Attributes must hold strings".to_owned()) };
        if name.chars().count() > NAME_MAX || value.chars().count() > VALUE_MAX {
            return Err(format!(
                "An attribute has a name of at most {NAME_MAX} and a value of at most {VALUE_MAX} characters"
            ));
        }
    }
    for (name, value) in metrics.into_iter().flatten() {
        if !value.is_number() {
            return Err("Metrics must hold numbers".to_owned());
        }
        if name.chars().count() > NAME_MAX {
            return Err(format!("A metric has a name of at most {NAME_MAX} characters"));
        }
    }
    for name in ["AppPackageName", "AppTitle", "AppVersionCode", "ClientSdkVersion", "SdkName"] {
        if event.get(name).is_some_and(|value| !value.is_null() && !value.is_string()) {
            return Err(format!("{name} must be a string"));
        }
    }
    if let Some(session) = members(event, "Session")? {
        check_session(session)?;
    }
    Ok(Checked { kind, at })
}

fn check_session(session: &Object) -> Result<(), String> {
    if session.get("Id").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err("Session.Id is required".to_owned());
    }
    let start = session.get("StartTimestamp").ok_or("Session.StartTimestamp is required")?;
    timestamp(start).ok_or("Session.StartTimestamp must be in ISO 8601 format")?;
    let stop = session.get("StopTimestamp").filter(|stop| !stop.is_null());
    if stop.is_some_and(|stop| timestamp(stop).is_none()) {
        return Err("Session.StopTimestamp must be in ISO 8601 format".to_owned());
    }
    if session.get("Duration").is_some_and(|duration| !duration.is_null() && !duration.is_i64()) {
        return Err("Session.Duration must be an integer".to_owned());
    }
    Ok(())
}

/// The members of an object that may be absent.
pub(super) fn members<'a>(event: &'a Object, name: &str) -> Result<Option<&'a Object>, String> {
    match event.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(format!("{name} must be an object")),
    }
}

/// ISO 8601; without an offset it is UTC.
pub(super) fn timestamp(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    text.parse().ok().or_else(|| {
        let at: civil::DateTime = text.parse().ok()?;
        at.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp())
    })
}
