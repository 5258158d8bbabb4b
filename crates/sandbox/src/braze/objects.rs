//! What Braze refuses in a single object of `/users/track`, with the codes that it publishes.
//!
//! Source: Braze docs, POST /users/track, "Endpoint-specific errors", "Identifier resolution".

use serde_json::{Map, Value};

use super::fault::Fault;
use super::rules;

/// The identifiers of which an object has one at most.
const PRIMARY: [&str; 3] = ["external_id", "user_alias", "braze_id"];

/// Refuses an object, of any array, whose identifier is ambiguous or too long.
pub(super) fn check_identity(object: &Map<String, Value>) -> Result<(), Fault> {
    let given = PRIMARY.iter().filter(|name| object.get(**name).is_some_and(|value| !value.is_null()));
    if given.count() > 1 {
        return Err("only one of 'external_id', 'user_alias' or 'braze_id' is allowed".to_owned());
    }
    let external_id = object.get("external_id").and_then(Value::as_str).unwrap_or_default();
    if external_id.len() > rules::EXTERNAL_ID_BYTES {
        return code("EXTERNAL_USER_ID_TOO_LARGE");
    }
    Ok(())
}

/// Refuses attributes.
pub(super) fn check_attributes(object: &Map<String, Value>) -> Result<(), Fault> {
    for (name, value) in object {
        match name.as_str() {
            _ if value.is_null() => {}
            "email" if !value.as_str().is_some_and(is_email) => return code("EMAIL_BAD_FORMAT"),
            "email_subscribe" if !is_one_of(value, &rules::SUBSCRIPTION_STATES) => {
                return code("BAD_EMAIL_SUBSCRIPTION_STATE");
            }
            "push_subscribe" if !is_one_of(value, &rules::SUBSCRIPTION_STATES) => {
                return code("BAD_PUSH_SUBSCRIPTION_STATE");
            }
            "email_subscription_info" => return code("INVALID_ATTRIBUTE_EMAIL_SUBSCRIPTION_INFO"),
            "current_location" if !is_location(value) => return code("BAD_LOCATION_UPDATE"),
            "push_tokens" => check_tokens(object, value)?,
            "subscription_groups" => check_groups(value)?,
            name if too_long(name) => return Err("the name of an attribute is too long".to_owned()),
            name if value.as_str().is_some_and(too_long) => return Err(format!("'{name}' is not valid")),
            _ => {}
        }
    }
    let imports = object.get("push_token_import").and_then(Value::as_bool).unwrap_or(false);
    if imports && !object.get("push_tokens").is_some_and(Value::is_array) {
        return code("BAD_PUSH_TOKEN_IMPORT");
    }
    Ok(())
}

/// Whether the properties of an event or a purchase can be taken.
///
/// Source: Braze docs, event object, purchase object.
pub(super) fn properties_fit(properties: &Map<String, Value>, reserved: &[&str], max_bytes: usize) -> bool {
    let names = || properties.keys().map(String::as_str);
    let good = |name: &str| !name.is_empty() && !name.starts_with('$') && !reserved.contains(&name);
    names().all(good)
        && properties.iter().all(|(name, value)| texts_fit(name, value))
        && serde_json::to_string(properties).is_ok_and(|text| text.len() <= max_bytes)
}

fn texts_fit(name: &str, value: &Value) -> bool {
    !too_long(name)
        && match value {
            Value::String(text) => !too_long(text),
            Value::Array(values) => values.iter().all(|value| texts_fit("", value)),
            Value::Object(members) => members.iter().all(|(name, value)| texts_fit(name, value)),
            _ => true,
        }
}

fn check_tokens(object: &Map<String, Value>, tokens: &Value) -> Result<(), Fault> {
    let imports = object.get("push_token_import").and_then(Value::as_bool).unwrap_or(false);
    if imports && (object.contains_key("external_id") || object.contains_key("braze_id")) {
        return code("BAD_PUSH_TOKEN_IMPORT");
    }
    let Some(tokens) = tokens.as_array() else { return code("BAD_PUSH_TOKEN_VALUE") };
    for token in tokens {
        let Some(token) = token.as_object() else { return code("BAD_PUSH_TOKEN_VALUE") };
        let text = |name: &str| token.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if text("token").is_none() {
            return code("BAD_PUSH_TOKEN_STRING");
        }
        if text("app_id").is_none() {
            return code("BAD_PUSH_TOKEN_APP_ID");
        }
        let device = token.get("device_id").filter(|device| !device.is_null());
        let fits = |device: &str| rules::DEVICE_ID_BYTES.contains(&device.len());
        if device.is_some_and(|device| !device.as_str().is_some_and(fits)) {
            return code("BAD_DEVICE_ID");
        }
    }
    Ok(())
}

fn check_groups(groups: &Value) -> Result<(), Fault> {
    let Some(groups) = groups.as_array() else { return code("BAD_SUBSCRIPTION_GROUP_ARRAY") };
    for group in groups {
        let (Some(id), Some(state)) = (group.get("subscription_group_id"), group.get("subscription_state"))
        else {
            return code("BAD_SUBSCRIPTION_GROUP_HASH");
        };
        if id.as_str().is_none_or(|id| uuid::Uuid::try_parse(id).is_err()) {
            return code("BAD_SUBSCRIPTION_GROUP_ID");
        }
        if !is_one_of(state, &rules::GROUP_STATES) {
            return code("BAD_SUBSCRIPTION_GROUP_STATE");
        }
    }
    Ok(())
}

fn code(code: &str) -> Result<(), Fault> {
    Err(code.to_owned())
}

fn too_long(text: &str) -> bool {
    text.len() > rules::TEXT_CHARS && text.chars().count() > rules::TEXT_CHARS
}

fn is_one_of(value: &Value, words: &[&str]) -> bool {
    value.as_str().is_some_and(|word| words.contains(&word))
}

/// A name, an `@` and a host with a dot; no blanks.
fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    let blank = text.chars().any(|char| char.is_whitespace() || char.is_control());
    !blank && !name.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
}

fn is_location(value: &Value) -> bool {
    let degrees = |name: &str, most: f64| {
        value.get(name).and_then(Value::as_f64).is_some_and(|degrees| degrees.abs() <= most)
    };
    degrees("longitude", 180.0) && degrees("latitude", 90.0)
}
