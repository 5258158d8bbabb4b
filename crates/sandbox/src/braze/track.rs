//! `POST /users/track`: attributes, then events, then purchases.

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tidegate_model::{Identity, Result};

use super::fault::Fault;
use super::time::parse_time;
use super::{Call, Desk, attributes, identities, message, objects, reply, rules};
use tidegate_profiles::{Event, Purchase, Session, UserId};

/// The arrays in the order in which they are processed.
const ARRAYS: [&str; 3] = ["attributes", "events", "purchases"];
/// An error that names no object. Source: Braze docs, API errors and responses, `errors`.
const UNNAMED: &str = "provided external_id is blacklisted and disallowed";
const NO_VALID_DATA: &str =
    "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.";

impl Desk {
    pub(super) fn track(&self, call: &Call<'_>) -> Result<Response<Bytes>> {
        let mut body = match call.object() {
            Ok(body) => body,
            Err(response) => return Ok(*response),
        };
        let mut arrays: [Vec<Value>; 3] = Default::default();
        for (name, slot) in ARRAYS.iter().zip(&mut arrays) {
            match body.remove(*name) {
                None | Some(Value::Null) => {}
                Some(Value::Array(objects)) => *slot = objects,
                Some(_) => return Ok(message(400, &format!("'{name}' must be an array"))),
            }
        }
        let total: usize = arrays.iter().map(Vec::len).sum();
        let counted =
            if self.packing_total() { total } else { arrays.iter().map(Vec::len).max().unwrap_or(0) };
        if counted > rules::OBJECTS {
            return Ok(message(400, "Max Input Length Exceeded"));
        }
        if total == 0 {
            return Ok(message(400, NO_VALID_DATA));
        }

        let mut answer = Map::from_iter([("message".to_owned(), json!("success"))]);
        let mut errors = Vec::new();
        self.profiles.transact(call.now, |session| {
            let mut number = 0;
            for (name, objects) in ARRAYS.iter().zip(&arrays) {
                let before = errors.len();
                for (index, object) in objects.iter().enumerate() {
                    if call.turn.is_unnamed(&object.to_string()) {
                        errors.push(json!(UNNAMED));
                        number += 1;
                        continue;
                    }
                    let outcome = if call.turn.refuses(number) {
                        Err("rejected, as the faults of this sandbox ask for".to_owned())
                    } else {
                        put(session, name, object)?
                    };
                    number += 1;
                    if let Err(fault) = outcome {
                        errors.push(json!({ "type": fault, "input_array": name, "index": index }));
                    }
                }
                if !objects.is_empty() {
                    let processed = objects.len() - (errors.len() - before);
                    answer.insert(format!("{name}_processed"), json!(processed));
                }
            }
            Ok(())
        })?;

        if errors.len() == total {
            return Ok(reply(400, &json!({ "message": NO_VALID_DATA, "errors": errors })));
        }
        if !errors.is_empty() {
            answer.insert("errors".to_owned(), Value::Array(errors));
        }
        Ok(reply(201, &Value::Object(answer)))
    }
}

/// Applies one object of an array. The inner error is the object's own.
fn put(session: &Session<'_>, array: &str, object: &Value) -> Result<Result<(), Fault>> {
    let Value::Object(object) = object else { return Ok(Err("is not an object".to_owned())) };
    let who = match identities::identity(object) {
        Some(who) => who,
        None => return Ok(Err(identities::REQUIRED.to_owned())),
    };
    if let Err(fault) = objects::check_identity(object) {
        return Ok(Err(fault));
    }
    match array {
        "attributes" => {
            if let Err(fault) = objects::check_attributes(object) {
                return Ok(Err(fault));
            }
            if let Some(id) = user(session, object, &who)?
                && let Some(mut user) = session.user(id)?
            {
                attributes::apply(&mut user, object, &who);
                session.save(&user)?;
            }
            Ok(Ok(()))
        }
        "events" => event(session, object, &who),
        _ => purchase(session, object, &who),
    }
}

/// The user an object is about; `None` if none may be created.
fn user(session: &Session<'_>, object: &Map<String, Value>, who: &Identity) -> Result<Option<UserId>> {
    let by_alias = matches!(who, Identity::Alias { .. });
    let existing_only = object.get("_update_existing_only").and_then(Value::as_bool).unwrap_or(by_alias);
    if existing_only { session.find(who) } else { session.find_or_create(who) }
}

fn event(session: &Session<'_>, object: &Map<String, Value>, who: &Identity) -> Result<Result<(), Fault>> {
    let read = || {
        let (name, time) = (text(object, "name")?, time(object, session.now)?);
        Ok((name, time, properties(object, &rules::EVENT_RESERVED, rules::EVENT_BYTES)?))
    };
    let (name, time, properties) = match read() {
        Ok(parts) => parts,
        Err(fault) => return Ok(Err(fault)),
    };
    let app_id = object.get("app_id").and_then(Value::as_str);
    if let Some(user) = user(session, object, who)? {
        session.record_event(user, &Event { name, time, properties: &properties, app_id, key: None })?;
    }
    Ok(Ok(()))
}

fn purchase(session: &Session<'_>, object: &Map<String, Value>, who: &Identity) -> Result<Result<(), Fault>> {
    let read = || {
        let product_id = text(object, "product_id")?;
        let currency = text(object, "currency")?;
        if !rules::is_currency(currency) {
            return Err(not_valid("currency"));
        }
        let price = match object.get("price") {
            None | Some(Value::Null) => return Err(required("price")),
            Some(Value::Number(price)) => price.to_string(),
            Some(_) => return Err(not_valid("price")),
        };
        let quantity = match object.get("quantity") {
            None | Some(Value::Null) => 1,
            Some(value) => match value.as_u64() {
                Some(quantity @ 1..=rules::QUANTITY) => quantity as u32,
                _ => return Err(not_valid("quantity")),
            },
        };
        let time = time(object, session.now)?;
        let properties = properties(object, &rules::PURCHASE_RESERVED, rules::PURCHASE_BYTES)?;
        Ok((product_id, currency, price, quantity, time, properties))
    };
    let (product_id, currency, price, quantity, time, properties) = match read() {
        Ok(parts) => parts,
        Err(fault) => return Ok(Err(fault)),
    };
    let app_id = object.get("app_id").and_then(Value::as_str);
    if let Some(user) = user(session, object, who)? {
        let (price, properties) = (&*price, &*properties);
        let purchase =
            Purchase { product_id, currency, price, quantity, time, properties, app_id, key: None };
        session.record_purchase(user, &purchase)?;
    }
    Ok(Ok(()))
}

fn required(name: &str) -> Fault {
    format!("'{name}' is required")
}

fn not_valid(name: &str) -> Fault {
    format!("'{name}' is not valid")
}

/// A text that must be there, of at most 255 characters.
fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, Fault> {
    match object.get(name) {
        None | Some(Value::Null) => Err(required(name)),
        Some(Value::String(text)) if !text.is_empty() && text.chars().count() <= rules::TEXT_CHARS => {
            Ok(text)
        }
        Some(_) => Err(not_valid(name)),
    }
}

/// When it happened; the present if its time is in the future.
fn time(object: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, Fault> {
    match object.get("time") {
        None | Some(Value::Null) => Err(required("time")),
        Some(Value::String(text)) => parse_time(text).map(|at| at.min(now)).ok_or_else(|| not_valid("time")),
        Some(_) => Err(not_valid("time")),
    }
}

/// The properties as text.
fn properties(object: &Map<String, Value>, reserved: &[&str], max_bytes: usize) -> Result<String, Fault> {
    match object.get("properties") {
        None | Some(Value::Null) => Ok("{}".to_owned()),
        Some(all @ Value::Object(members)) if objects::properties_fit(members, reserved, max_bytes) => {
            Ok(all.to_string())
        }
        Some(_) => Err(not_valid("properties")),
    }
}
