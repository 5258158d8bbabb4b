//! Message events: what an event stream sends, as an event. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value};
use tidegate_model::{Event, Json, Text};

use super::repair::{repair_body, requoted};
use super::template::{MEMBERS, Shape, member};
use tidegate_transport::http::ingest::moment;

/// Why a body holds no events: a sentence that names the member.
pub(super) type Bad = String;

/// The events of a body: one, or an array of them.
pub(super) fn read(body: &str, now: Timestamp) -> Result<Vec<Event>, Bad> {
    let value = serde_json::from_str(body).or_else(|cause| {
        repair_body(body).map(Value::Object).or_else(|| requoted(body)).ok_or_else(|| {
            let (line, column) = (cause.line(), cause.column());
            format!("the body is not JSON at line {line}, column {column}")
        })
    })?;
    match value {
        Value::Object(members) => Ok(vec![event(&members, now)?]),
        Value::Array(list) => {
            let numbered = |(at, value): (usize, Value)| match value {
                Value::Object(members) => event(&members, now).map_err(|bad| format!("event {at}: {bad}")),
                _ => Err(format!("event {at} is not an object")),
            };
            list.into_iter().enumerate().map(numbered).collect()
        }
        _ => Err("the body is neither an object nor an array".to_owned()),
    }
}

/// The member of a payload that keeps values which are not of their member's type,
/// as they came.
const UNREADABLE: &str = "unreadable";

fn event(body: &Map<String, Value>, now: Timestamp) -> Result<Event, Bad> {
    let mut given = Map::new();
    collect("", body, &mut given);
    let (mut payload, mut unreadable) = (Map::new(), Map::new());
    for member in MEMBERS {
        let Some(value) = given.remove(member.name) else { continue };
        match typed(member.shape, value) {
            Ok(Some(value)) => {
                payload.insert(member.name.to_owned(), value);
            }
            Ok(None) => {}
            Err(value) => {
                unreadable.insert(member.name.to_owned(), value);
            }
        }
    }
    // Names that we do not know may be tomorrow's.
    for (name, value) in given {
        if !is_empty(&value) {
            payload.insert(name, value);
        }
    }
    localized(&mut payload, "message_title");
    localized(&mut payload, "message_contents");
    if let (None, Some(language)) = (payload.get("language"), payload.get("user_language").cloned()) {
        payload.insert("language".to_owned(), language);
    }
    if let Some(device_type) = text(&payload, "subscription_device_type").and_then(device_type) {
        payload.insert("device_type".to_owned(), device_type.into());
    }

    let required = |name: &str| {
        let variable = member(name).map_or(name, |member| member.variable);
        let missing = || format!("`{name}` is missing or empty: the template fills it from {variable}");
        if unreadable.contains_key(name) {
            return Err(format!("`{name}` must be text"));
        }
        text(&payload, name).map(Text::from).ok_or_else(missing)
    };
    let (id, kind) = (required("event_id")?, required("event_kind")?);
    let at = time(&mut payload, &mut unreadable)?.unwrap_or(now);
    if !unreadable.is_empty() {
        payload.insert(UNREADABLE.to_owned(), Value::Object(unreadable));
    }
    payload.insert("event_timestamp".to_owned(), at.to_string().into());
    let known = |name: &str| text(&payload, name).map(Text::from).unwrap_or_default();
    let user = Some(known("external_id")).filter(|id| !id.is_empty());
    Ok(Event {
        id,
        kind,
        at,
        user: user.unwrap_or_else(|| known("onesignal_id")),
        app: known("app_id"),
        message: known("message_id"),
        template: known("template_id"),
        payload: Json::trusted(Value::Object(payload).to_string()),
    })
}

/// Gathers members by their names here. Bodies as in the examples of the
/// documentation are read too: variables as names, grouped or not.
fn collect(path: &str, members: &Map<String, Value>, out: &mut Map<String, Value>) {
    for (name, value) in members {
        let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let own = Some(name.as_str()).filter(|name| path.is_empty() || name.contains('.'));
        let known = member(&full).or_else(|| own.and_then(member));
        match (known, value) {
            (Some(member), value) => {
                if out.get(member.name).is_none_or(is_empty) {
                    out.insert(member.name.to_owned(), value.clone());
                }
            }
            (None, Value::Object(group)) if is_group(&full) => collect(&full, group, out),
            (None, value) => {
                out.entry(full).or_insert_with(|| value.clone());
            }
        }
    }
}

fn is_group(path: &str) -> bool {
    matches!(path, "event" | "event.data" | "message" | "user" | "user.subscription")
        || path.ends_with(" Data")
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

/// The value in the member's own type, nothing if it is empty, or the value as it
/// came if it is of another type.
fn typed(shape: Shape, value: Value) -> Result<Option<Value>, Value> {
    let word = value.as_str().map(str::trim);
    let nothing = shape != Shape::Text && word.is_some_and(|word| matches!(word, "nil" | "null"));
    if is_empty(&value) || nothing {
        return Ok(None);
    }
    let value = match (shape, value) {
        (Shape::Text, Value::Number(number)) => number.to_string().into(),
        (Shape::Text, Value::Bool(truth)) => truth.to_string().into(),
        (Shape::Text | Shape::Localized, value @ Value::Array(_)) => return Err(value),
        (Shape::Text, value @ Value::Object(_)) => return Err(value),
        (Shape::Localized, value @ (Value::Number(_) | Value::Bool(_))) => return Err(value),
        (Shape::Number, value) => number(&value).ok_or(value)?,
        (Shape::Flag, value) => flag(&value).ok_or(value)?.into(),
        (Shape::Object, Value::Object(members)) if members.is_empty() => return Ok(None),
        (_, value) => value,
    };
    Ok(Some(value))
}

fn number(value: &Value) -> Option<Value> {
    let digits = match value {
        Value::Number(_) => return Some(value.clone()),
        Value::String(digits) => digits.trim(),
        _ => return None,
    };
    let read = |digits: &str| serde_json::from_str(digits).ok().filter(Value::is_number);
    read(digits).or_else(|| read(&format!("0{}", digits.strip_prefix('.').map(|_| digits)?)))
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => number.as_u64().filter(|number| *number < 2).map(|number| number == 1),
        Value::String(word) => match word.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Some(true),
            "false" | "no" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Leaves the English under `name` and keeps all languages beside it.
fn localized(payload: &mut Map<String, Value>, name: &str) {
    let Some(value) = payload.get(name) else { return };
    let languages = match value {
        Value::Object(languages) => Some(languages.clone()),
        Value::String(text) => object_in(text),
        _ => return,
    };
    let Some(languages) = languages else { return };
    match languages.get("en").and_then(Value::as_str) {
        Some(english) => payload.insert(name.to_owned(), english.into()),
        None => payload.shift_remove(name),
    };
    payload.insert(format!("{name}_localized"), Value::Object(languages));
}

/// The object that a text is: as JSON, or as the documentation shows it,
/// `{'en':'Your title'}`.
fn object_in(text: &str) -> Option<Map<String, Value>> {
    if let Ok(Value::Object(languages)) = serde_json::from_str(text) {
        return Some(languages);
    }
    let inner = text.trim().strip_prefix("{'")?.strip_suffix("'}")?;
    let pairs = inner.split("','").map(|pair| pair.split_once("':'"));
    pairs.map(|pair| pair.map(|(language, text)| (language.to_owned(), text.into()))).collect()
}

fn text<'a>(payload: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    payload.get(name).and_then(Value::as_str)
}

/// When it happened: `event_datetime` has milliseconds, `event_timestamp` has seconds.
/// Nothing where both are there and neither can be read.
fn time(
    payload: &mut Map<String, Value>,
    unreadable: &mut Map<String, Value>,
) -> Result<Option<Timestamp>, Bad> {
    let mut found = None;
    let mut given = unreadable.contains_key("event_datetime") || unreadable.contains_key("event_timestamp");
    for name in ["event_datetime", "event_timestamp"] {
        let Some(value) = payload.shift_remove(name) else { continue };
        given = true;
        match value.as_str().and_then(moment) {
            Some(at) => found = found.or(Some(at)),
            None => {
                unreadable.insert(name.to_owned(), value);
            }
        }
    }
    if given {
        return Ok(found);
    }
    Err("`event_timestamp` is missing or empty: the template fills it from event.timestamp".to_owned())
}

/// The number that stands for a type of subscription; `None` for the types
/// whose number is not documented. Source: OneSignal docs, Add a device, `device_type`.
fn device_type(name: &str) -> Option<i64> {
    let number = match name.to_ascii_lowercase().as_str() {
        "ios" => 0,
        "android" => 1,
        "amazon" => 2,
        "chrome" => 5,
        "windows" => 6,
        "safari" => 7,
        "firefox" => 8,
        "macos" => 9,
        "email" => 11,
        "huawei" => 13,
        "sms" => 14,
        _ => return None,
    };
    Some(number)
}
