//! What an attributes object does to a user.
//!
//! Source: Braze docs, User attributes object; nested custom attributes; arrays of objects.

use serde_json::{Map, Value};
use tidegate_model::Identity;

use super::track::parse_time;
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
            (name, Value::Object(operand)) => operate(&mut user.attributes, name, operand, merge),
            (name, value) => {
                user.attributes.insert(name.to_owned(), value.clone());
            }
        }
    }
}

/// An object is an operator, or a nested attribute.
fn operate(attributes: &mut Map<String, Value>, name: &str, operand: &Map<String, Value>, merge: bool) {
    let only = |key: &str| operand.get(key).filter(|_| operand.len() == 1);
    let slot = attributes.get(name);
    let next = if let Some(step) = only("inc").filter(|step| step.is_number()) {
        increment(slot, step)
    } else if let Some(Value::Array(added)) = only("add") {
        let mut list = list(slot);
        for value in added {
            if !list.contains(value) {
                list.push(value.clone());
            }
        }
        Value::Array(list)
    } else if let Some(Value::Array(removed)) = only("remove") {
        Value::Array(list(slot).into_iter().filter(|value| !removed.contains(value)).collect())
    } else if ["$add", "$remove", "$update"].iter().any(|key| operand.contains_key(*key)) {
        Value::Array(change_objects(list(slot), operand))
    } else if !valid(operand) {
        // One bad nested value drops all nested updates of the attribute.
        return;
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

/// Whether a nested object has neither a null nor a `$time` that is none.
fn valid(object: &Map<String, Value>) -> bool {
    object.iter().all(|(name, value)| match value {
        Value::Null => false,
        Value::Object(inner) => valid(inner),
        Value::String(text) if name == "$time" => parse_time(text).is_some(),
        _ => name != "$time",
    })
}
