//! Whether Pinpoint would take an endpoint: what a request gives of it, and what it is then.
//!
//! Source: Amazon Pinpoint API reference, `EndpointRequest`; developer guide, quotas.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::members;
use super::store::Object;

/// Bytes of an endpoint.
const BYTES_MAX: usize = 15_000;
/// Attributes, metrics and attributes of the user of an endpoint together.
const ATTRIBUTES_MAX: usize = 250;
/// Characters in the name of an attribute.
const NAME_MAX: usize = 50;
/// Values of an attribute, and characters in each.
const VALUES_MAX: usize = 50;
const VALUE_MAX: usize = 100;

const CHANNELS: &[&str] = &[
    "PUSH",
    "GCM",
    "APNS",
    "APNS_SANDBOX",
    "APNS_VOIP",
    "APNS_VOIP_SANDBOX",
    "ADM",
    "SMS",
    "VOICE",
    "EMAIL",
    "BAIDU",
    "CUSTOM",
    "IN_APP",
];

/// Checks what a request gives of an endpoint.
///
/// # Errors
/// The message of its status code 400.
pub(super) fn check(request: &Object) -> Result<(), String> {
    // Serialized to be measured, in the form in which it is stored.
    if serde_json::to_string(request).map_or(0, |text| text.len()) > BYTES_MAX {
        return Err(format!("The endpoint is larger than {BYTES_MAX} bytes"));
    }
    one_of(request, "ChannelType", CHANNELS)?;
    one_of(request, "OptOut", &["ALL", "NONE"])?;
    one_of(request, "EndpointStatus", &["ACTIVE", "INACTIVE"])?;
    for name in ["Address", "EffectiveDate"] {
        if request.get(name).is_some_and(|value| !value.is_null() && !value.is_string()) {
            return Err(format!("{name} must be a string"));
        }
    }
    let mut count = lists(request, "Attributes")?;
    for (name, value) in members(request, "Metrics")?.into_iter().flatten() {
        count += 1;
        if !value.is_number() {
            return Err(format!("Metrics.{name} must be a number"));
        }
    }
    for name in ["Demographic", "Location"] {
        for (member, value) in members(request, name)?.into_iter().flatten() {
            let is_nested = match value {
                Value::Array(items) => !items.is_empty(),
                value => value.is_object(),
            };
            if is_nested {
                return Err(format!("{name}.{member} must be a string or a number"));
            }
        }
    }
    members(request, "User")?;
    if let Some(Value::Object(user)) = request.get("User") {
        if user.get("UserId").is_some_and(|id| !id.is_null() && !id.is_string()) {
            return Err("User.UserId must be a string".to_owned());
        }
        count += lists(user, "UserAttributes")?;
    }
    if count > ATTRIBUTES_MAX {
        return Err(format!("The endpoint has more than {ATTRIBUTES_MAX} attributes and metrics"));
    }
    Ok(())
}

/// Checks an endpoint as a request leaves it: many small requests do not make it larger than one could.
/// A larger one that is stored already may stay as large as it is.
///
/// # Errors
/// The message of its status code 400.
pub(super) fn check_merged(before: Option<&Object>, after: &Object) -> Result<(), String> {
    let exceeds = |max: usize, measure: fn(&Object) -> usize| {
        let size = measure(after);
        size > max && before.is_none_or(|before| size > measure(before))
    };
    if exceeds(BYTES_MAX, bytes) {
        return Err(format!(
            "The endpoint would be larger than {BYTES_MAX} bytes with what it has; an empty list removes an attribute"
        ));
    }
    if exceeds(ATTRIBUTES_MAX, attributes) {
        return Err(format!(
            "The endpoint would have more than {ATTRIBUTES_MAX} attributes and metrics with those that it has; \
             an empty list removes an attribute"
        ));
    }
    Ok(())
}

/// Bytes of what senders set, without what every endpoint has.
fn bytes(endpoint: &Object) -> usize {
    const SET: &[&str] = &["Address", "Attributes", "Demographic", "Location", "Metrics", "User"];
    let is_empty = |value: &Value| value.as_object().is_some_and(Object::is_empty);
    let set = SET.iter().filter_map(|name| Some((name, endpoint.get(*name)?)));
    let set: BTreeMap<_, _> = set.filter(|(_, value)| !is_empty(value)).collect();
    serde_json::to_string(&set).map_or(0, |text| text.len())
}

fn attributes(endpoint: &Object) -> usize {
    let count = |value: Option<&Value>| value.and_then(Value::as_object).map_or(0, Object::len);
    let user = endpoint.get("User").and_then(|user| user.get("UserAttributes"));
    count(endpoint.get("Attributes")) + count(endpoint.get("Metrics")) + count(user)
}

fn one_of(request: &Object, name: &str, allowed: &[&str]) -> Result<(), String> {
    match request.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(value)) if allowed.contains(&value.as_str()) => Ok(()),
        Some(_) => Err(format!("{name} must be one of {}", allowed.join(", "))),
    }
}

/// Checks attributes; returns how many there are.
fn lists(request: &Object, name: &str) -> Result<usize, String> {
    let Some(attributes) = members(request, name)? else { return Ok(0) };
    for (member, value) in attributes {
        if member.chars().count() > NAME_MAX {
            return Err(format!("{name} has a name of more than {NAME_MAX} characters"));
        }
        let list = value.as_array().filter(|list| list.iter().all(Value::is_string));
        if list.is_none() && !value.is_null() {
            return Err(format!("{name} must hold lists of strings"));
        }
        let list = list.map(Vec::as_slice).unwrap_or_default();
        let long = |value: &Value| value.as_str().is_some_and(|text| text.chars().count() > VALUE_MAX);
        if list.len() > VALUES_MAX || list.iter().any(long) {
            return Err(format!(
                "{name} has an attribute of more than {VALUES_MAX} values or {VALUE_MAX} characters in one"
            ));
        }
    }
    Ok(attributes.len())
}
