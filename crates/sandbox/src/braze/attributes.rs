//! What an attributes object does to a user.
//!
//! Source: Braze docs, User attributes object; nested custom attributes; arrays of objects.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use tidegate_model::Identity;

use super::rules;
use super::time::parse_time;
use tidegate_profiles::User;

/// Names that say who is meant or how, and are no attributes.
const NOT_ATTRIBUTES: [&str; 6] =
    ["external_id", "braze_id", "user_alias", "_update_existing_only", "_merge_objects", "push_token_import"];

/// Sets, increments, extends and removes what `object` names.
pub(super) fn apply(user: &mut User, object: &Map<String, Value>, who: &Identity) {
    let merge = object.get("_merge_objects").and_then(Value::as_bool).unwrap_or(false);
    for (name, value) in object {
        match (name.as_str(), value) {
            (name, _) if NOT_ATTRIBUTES.contains(&name) => {}
            ("email", _) if matches!(who, Identity::Email(_)) => {}
            ("phone", _) if matches!(who, Identity::Phone(_)) => {}
            ("email", Value::String(_) | Value::Null) => user.email = value.as_str().map(str::to_owned),
            ("phone", Value::String(_) | Value::Null) => user.phone = value.as_str().map(str::to_owned),
            (name, Value::Null) => {
                user.attributes.shift_remove(name);
            }
            (name, value) if is_dropped(name, value) => {}
            (name, Value::Object(operand)) => operate(&mut user.attributes, name, operand, merge),
            (name, Value::Array(values)) => {
                let values =
                    if values.iter().any(Value::is_object) { values.clone() } else { distinct(values) };
                user.attributes.insert(name.to_owned(), Value::Array(values));
            }
            (name, value) => {
                user.attributes.insert(name.to_owned(), value.clone());
            }
        }
    }
}

/// Whether Braze takes the object and leaves this attribute as it was, without a word.
///
/// Source: Braze docs, POST /users/track, FAQ (nested attributes); Nested custom attributes. Of
/// standard attributes the pages state the format (Standard attributes), and not what becomes of
/// another value: the strict reading is that it is not set.
fn is_dropped(name: &str, value: &Value) -> bool {
    match (name, value) {
        ("gender", Value::String(letter)) => !rules::GENDERS.contains(&letter.as_str()),
        ("dob", Value::String(day)) => day.len() != 10 || day.parse::<Date>().is_err(),
        ("country", Value::String(code)) => {
            code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_uppercase())
        }
        ("time_zone", Value::String(zone)) => TimeZone::get(zone).is_err(),
        ("push_tokens" | "subscription_groups" | "current_location", _) => false,
        (_, Value::Object(_)) => !valid(value) || is_too_large(value),
        (_, Value::Array(values)) if values.iter().any(Value::is_object) => {
            !valid(value) || is_too_large(value)
        }
        _ => false,
    }
}

fn is_too_large(value: &Value) -> bool {
    value.to_string().len() > rules::ATTRIBUTE_BYTES
}

/// An array of plain values holds each once, and the last of too many.
///
/// Source: Braze docs, Data types, Array.
fn distinct(values: &[Value]) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for value in values {
        if !kept.contains(value) {
            kept.push(value.clone());
        }
    }
    kept.split_off(kept.len().saturating_sub(rules::ARRAY_ELEMENTS))
}

/// An object is an operator, or a nested attribute.
fn operate(attributes: &mut Map<String, Value>, name: &str, operand: &Map<String, Value>, merge: bool) {
    let only = |key: &str| operand.get(key).filter(|_| operand.len() == 1);
    let slot = attributes.get(name);
    let next = if let Some(step) = only("inc").filter(|step| step.is_number()) {
        increment(slot, step)
    } else if let Some(Value::Array(added)) = only("add") {
        let mut list = list(slot);
        list.extend(added.iter().cloned());
        Value::Array(distinct(&list))
    } else if let Some(Value::Array(removed)) = only("remove") {
        Value::Array(list(slot).into_iter().filter(|value| !removed.contains(value)).collect())
    } else if ["$add", "$remove", "$update"].iter().any(|key| operand.contains_key(*key)) {
        Value::Array(change_objects(list(slot), operand))
    } else if let (true, Some(Value::Object(known))) = (merge, slot) {
        let mut known = known.clone();
        merge_deep(&mut known, operand);
        Value::Object(known)
    } else {
        Value::Object(operand.clone())
    };
    attributes.insert(name.to_owned(), next);
}

fn increment(slot: Option<&Value>, step: &Value) -> Value {
    let known = slot.filter(|value| value.is_number()).cloned().unwrap_or(Value::from(0));
    match (known.as_i64(), step.as_i64()) {
        (Some(a), Some(b)) => Value::from(a.saturating_add(b)),
        _ => Value::from(known.as_f64().unwrap_or(0.0) + step.as_f64().unwrap_or(0.0)),
    }
}

fn list(slot: Option<&Value>) -> Vec<Value> {
    slot.and_then(Value::as_array).cloned().unwrap_or_default()
}

/// `$add`, then `$remove`, then `$update`, in this order.
fn change_objects(mut list: Vec<Value>, operand: &Map<String, Value>) -> Vec<Value> {
    let each = |name: &str| operand.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let is = |item: &Value, rule: &Value| {
        let key = rule.get("$identifier_key").and_then(Value::as_str);
        key.is_some_and(|key| item.get(key).is_some_and(|value| Some(value) == rule.get("$identifier_value")))
    };
    list.extend(each("$add"));
    for rule in each("$remove") {
        list.retain(|item| !is(item, &rule));
    }
    for rule in each("$update") {
        let Some(Value::Object(new)) = rule.get("$new_object") else { continue };
        let merge = rule.get("_merge_objects").and_then(Value::as_bool).unwrap_or(false);
        for item in list.iter_mut().filter(|item| is(item, &rule)) {
            match item {
                Value::Object(known) if merge => merge_deep(known, new),
                _ => *item = Value::Object(new.clone()),
            }
        }
    }
    list
}

fn merge_deep(known: &mut Map<String, Value>, new: &Map<String, Value>) {
    for (name, value) in new {
        match (known.get_mut(name), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => merge_deep(inner, value),
            _ => {
                known.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Whether a nested attribute has neither a null, nor a `$time` that is none, nor a name that
/// no nested attribute may have. One bad value drops all updates of the attribute.
fn valid(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(values) => values.iter().all(valid),
        Value::Object(members) => members.iter().all(|(name, value)| match value {
            Value::String(text) if name == "$time" => parse_time(text).is_some(),
            value => name != "$time" && is_name(name) && valid(value),
        }),
        _ => true,
    }
}

fn is_name(name: &str) -> bool {
    rules::OPERATORS.contains(&name) || !name.is_empty() && !name.contains([' ', '.', '$'])
}
