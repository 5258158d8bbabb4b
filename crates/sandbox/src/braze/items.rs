//! Items of a catalog: up to 50 at once (202), or one by its id.

use std::collections::HashSet;

use bytes::Bytes;
use http::{HeaderValue, Response};
use serde_json::{Map, Value, json};
use tidegate_model::Result;

use super::catalogs::{is_name, not_found};
use super::reply::catalog_error;
use super::time::parse_time;
use super::{Call, Desk, ErrorResponse, message, reply};
use tidegate_profiles::{Catalog, Session};

const ITEMS_MAX: usize = 50;
const ITEM_CHARS_MAX: usize = 5_000;
const PAGE: u32 = 50;

/// What happens to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Create,
    Replace,
    Update,
    Remove,
}

impl Change {
    pub(super) fn of(method: &str) -> Option<Change> {
        Some(match method {
            "POST" => Change::Create,
            "PUT" => Change::Replace,
            "PATCH" => Change::Update,
            "DELETE" => Change::Remove,
            _ => return None,
        })
    }
}

type Item = (String, Map<String, Value>);

impl Desk {
    /// The asynchronous calls: all items or none.
    pub(super) fn change_items(
        &self,
        call: &Call<'_>,
        name: &str,
        change: Change,
    ) -> Result<Response<Bytes>> {
        self.profiles.transact(call.now, |session| {
            let Some(catalog) = session.catalog(name)? else { return Ok(not_found(name)) };
            let items = match read_items(call, &catalog) {
                Ok(items) => items,
                Err(response) => return Ok(*response),
            };
            for (id, fields) in &items {
                perform(session, name, id, fields, change)?;
            }
            Ok(message(202, "success"))
        })
    }

    /// The synchronous calls, for one item.
    pub(super) fn change_item(
        &self,
        call: &Call<'_>,
        name: &str,
        id: &str,
        change: Change,
    ) -> Result<Response<Bytes>> {
        self.profiles.transact(call.now, |session| {
            let Some(catalog) = session.catalog(name)? else { return Ok(not_found(name)) };
            let fields = match read_item(call, &catalog, id, change) {
                Ok(fields) => fields,
                Err(response) => return Ok(*response),
            };
            let known = session.item(name, id)?.is_some();
            match change {
                Change::Create if known => {
                    return Ok(catalog_error(409, "item-already-exists", "The item exists", "item_id", id));
                }
                Change::Update | Change::Remove if !known => return Ok(item_not_found(id)),
                _ => {}
            }
            perform(session, name, id, &fields, change)?;
            Ok(message(if change == Change::Create { 201 } else { 200 }, "success"))
        })
    }

    pub(super) fn get_item(&self, call: &Call<'_>, name: &str, id: &str) -> Result<Response<Bytes>> {
        self.profiles.transact(call.now, |session| {
            if session.catalog(name)?.is_none() {
                return Ok(not_found(name));
            }
            Ok(match session.item(name, id)? {
                Some(fields) => reply(200, &json!({ "items": [with_id(id, &fields)], "message": "success" })),
                None => item_not_found(id),
            })
        })
    }

    /// 50 items; the `Link` header leads to the next.
    pub(super) fn list_items(&self, call: &Call<'_>, name: &str) -> Result<Response<Bytes>> {
        let after = call.query.split('&').find_map(|part| part.strip_prefix("cursor=")).unwrap_or_default();
        self.profiles.transact(call.now, |session| {
            if session.catalog(name)?.is_none() {
                return Ok(not_found(name));
            }
            let items = session.items(name, after, PAGE)?;
            let shown: Vec<Value> = items.iter().map(|(id, fields)| with_id(id, fields)).collect();
            let mut response = reply(200, &json!({ "items": shown, "message": "success" }));
            if let Some((last, _)) = items.last()
                && !session.items(name, last, 1)?.is_empty()
                && let Ok(link) =
                    HeaderValue::try_from(format!("</catalogs/{name}/items?cursor={last}>; rel=\"next\""))
            {
                response.headers_mut().insert(http::header::LINK, link);
            }
            Ok(response)
        })
    }
}

fn item_not_found(id: &str) -> Response<Bytes> {
    catalog_error(404, "item-not-found", "Could not find item", "item_id", id)
}

fn with_id(id: &str, fields: &str) -> Value {
    let mut item = Map::from_iter([("id".to_owned(), json!(id))]);
    item.extend(serde_json::from_str::<Map<String, Value>>(fields).unwrap_or_default());
    Value::Object(item)
}

fn perform(
    session: &Session<'_>,
    catalog: &str,
    id: &str,
    fields: &Map<String, Value>,
    change: Change,
) -> Result<()> {
    let known = session.item(catalog, id)?;
    let fields = match (change, known) {
        (Change::Remove, _) => {
            session.remove_item(catalog, id)?;
            return Ok(());
        }
        // What is there already is not created again, and what is not there is not updated.
        (Change::Create, Some(_)) | (Change::Update, None) => return Ok(()),
        (Change::Update, Some(known)) => {
            let mut known: Map<String, Value> = serde_json::from_str(&known).unwrap_or_default();
            for (name, value) in fields {
                update(&mut known, name, value);
            }
            known
        }
        (Change::Create | Change::Replace, _) => fields.clone(),
    };
    session.put_item(catalog, id, &Value::Object(fields).to_string())
}

/// Sets a field; arrays take `$add` and `$remove`.
fn update(known: &mut Map<String, Value>, name: &str, value: &Value) {
    let list = |operator: &str| value.get(operator).and_then(Value::as_array);
    let mut old = known.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let new = match (list("$add"), list("$remove")) {
        (None, None) => value.clone(),
        (added, removed) => {
            old.extend(added.into_iter().flatten().cloned());
            old.retain(|value| removed.is_none_or(|removed| !removed.contains(value)));
            Value::Array(old)
        }
    };
    known.insert(name.to_owned(), new);
}

/// The items of a body, all of them good.
fn read_items(call: &Call<'_>, catalog: &Catalog) -> Result<Vec<Item>, ErrorResponse> {
    let error_response =
        |id: &str, text: &str, value: &str| Err(catalog_error(400, id, text, "items", value).into());
    let Some(Value::Array(items)) = call.object()?.remove("items") else {
        return error_response("item-array-invalid", "items must be an array of objects", "");
    };
    if items.is_empty() || items.iter().any(|item| !item.is_object()) {
        return error_response("item-array-invalid", "items must be an array of objects", "");
    }
    if items.len() > ITEMS_MAX {
        return error_response("request-includes-too-many-items", "A request takes 50 items", "");
    }
    let mut seen = HashSet::new();
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let Value::Object(mut fields) = item else { continue };
        let id = match fields.shift_remove("id") {
            Some(Value::String(id)) => id,
            Some(_) => return error_response("ids-not-strings", "Ids must be strings", ""),
            None => return error_response("items-missing-ids", "Every item needs an id", ""),
        };
        check_item(&id, &fields, catalog)?;
        if !seen.insert(id.clone()) {
            return error_response("ids-not-unique", "Ids must be unique in a request", &id);
        }
        out.push((id, fields));
    }
    Ok(out)
}

/// The fields of the one item of a synchronous call; there the id is in the path.
fn read_item(
    call: &Call<'_>,
    catalog: &Catalog,
    id: &str,
    change: Change,
) -> Result<Map<String, Value>, ErrorResponse> {
    if change == Change::Remove {
        return Ok(Map::new());
    }
    let mut body = call.object()?;
    let Some(Value::Array(items)) = body.get_mut("items") else {
        return Err(
            catalog_error(400, "item-array-invalid", "items must hold one object", "items", "").into()
        );
    };
    let [Value::Object(fields)] = items.as_mut_slice() else {
        return Err(
            catalog_error(400, "item-array-invalid", "items must hold one object", "items", "").into()
        );
    };
    if fields.contains_key("id") {
        return Err(catalog_error(400, "id-in-body", "The id stands in the path", "items", id).into());
    }
    check_item(id, fields, catalog)?;
    Ok(std::mem::take(fields))
}

fn check_item(id: &str, fields: &Map<String, Value>, catalog: &Catalog) -> Result<(), ErrorResponse> {
    let error_response =
        |error: &str, text: &str, value: &str| Err(catalog_error(400, error, text, "items", value).into());
    if id.chars().count() > 250 {
        return error_response("ids-too-large", "Ids have up to 250 characters", "");
    }
    if !is_name(id) {
        return error_response("invalid-ids", "Ids have letters, digits, hyphens and underscores", id);
    }
    if Value::Object(fields.clone()).to_string().chars().count() > ITEM_CHARS_MAX {
        return error_response("items-too-large", "Items have up to 5,000 characters", id);
    }
    let known: Vec<Value> = serde_json::from_str(&catalog.fields).unwrap_or_default();
    for (name, value) in fields {
        let kind = known
            .iter()
            .find(|field| field.get("name").and_then(Value::as_str) == Some(name))
            .and_then(|field| field.get("type").and_then(Value::as_str));
        match kind {
            None => return error_response("fields-do-not-match", "The catalog has no such field", name),
            Some(kind) if !fits(kind, value) => {
                return error_response(
                    "unable-to-coerce-value",
                    "The value does not fit the field's type",
                    name,
                );
            }
            Some(_) => {}
        }
        if !clean(value, 0) {
            return error_response("invalid-keys-in-value-object", "Keys must not have . or $", name);
        }
    }
    Ok(())
}

/// Whether a value can become one of this type.
fn fits(kind: &str, value: &Value) -> bool {
    let operator = value.get("$add").is_some() || value.get("$remove").is_some();
    match (kind, value) {
        (_, Value::Null) => true,
        ("string", value) => !value.is_object() && !value.is_array(),
        ("number", Value::String(text)) => text.parse::<f64>().is_ok(),
        ("number", value) => value.is_number(),
        ("boolean", Value::String(text)) => text == "true" || text == "false",
        ("boolean", value) => value.is_boolean(),
        ("time", Value::String(text)) => parse_time(text).is_some(),
        ("time", value) => value.is_number(),
        ("object", value) => value.is_object(),
        ("array", value) => value.is_array() || operator,
        ("geo", value) => value.as_array().is_some_and(|pair| pair.len() == 2),
        _ => true,
    }
}

/// Whether no name inside has a point or a dollar sign; operators at the top are none.
fn clean(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(members) => members.iter().all(|(name, value)| {
            let operator = depth == 0 && (name == "$add" || name == "$remove");
            (operator || !name.contains(['.', '$'])) && clean(value, depth + 1)
        }),
        Value::Array(list) => list.iter().all(|value| clean(value, depth + 1)),
        _ => true,
    }
}
