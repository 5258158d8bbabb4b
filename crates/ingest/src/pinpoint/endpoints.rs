//! Endpoints: where users are reached, and what is known of them.
//!
//! Source: Amazon Pinpoint API reference, `UpdateEndpoint`, `EndpointRequest`,
//! `EndpointResponse`; developer guide, quotas.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_model::{Error, RowHash, Value as Cell};

use super::check::members;
use super::store::{Object, Session};

/// Bytes of an endpoint.
const BYTES_MAX: usize = 15_000;
/// Custom attributes of an endpoint.
const ATTRIBUTES_MAX: usize = 250;
/// Characters in the name of an attribute.
const NAME_MAX: usize = 50;
/// Endpoints of a user.
const PER_USER_MAX: usize = 15;

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

/// Members that a request may set as a whole.
const WHOLE: &[&str] = &["Address", "ChannelType", "EffectiveDate", "EndpointStatus", "OptOut"];
/// Members of which a request sets those that it has.
const MERGED: &[&str] = &["Attributes", "Demographic", "Location", "Metrics"];

/// Why an endpoint is not updated.
#[derive(Debug)]
pub(super) enum Stop {
    /// The request is wrong; the sentence for its sender.
    Bad(String),
    /// Our own storage failed.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// One endpoint, by app and id.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndpointKey<'a> {
    /// The application id.
    pub(super) app: &'a str,
    /// The endpoint id.
    pub(super) id: &'a str,
}

/// Creates or updates an endpoint and returns it as it is now. Nothing is
/// written where nothing changes but dates.
pub(super) fn update(
    session: &Session<'_>,
    key: EndpointKey<'_>,
    request: &Object,
    now: Timestamp,
) -> Result<Object, Stop> {
    check(request).map_err(Stop::Bad)?;
    let before = session.endpoint(key.app, key.id)?;
    let after = merged(before.as_ref().unwrap_or(&blank(key, now)), request, now);
    let user = user_of(&after).map(str::to_owned);
    if let Some(user) = &user
        && before.as_ref().and_then(user_of) != Some(user)
        && session.endpoints_of(key.app, user)?.len() >= PER_USER_MAX
    {
        return Err(Stop::Bad(format!("Exceeded maximum endpoint per user count {PER_USER_MAX}")));
    }
    if before.is_none_or(|before| undated(before) != undated(after.clone())) {
        session.save_endpoint(key.app, key.id, user.as_deref(), &after)?;
    }
    Ok(after)
}

/// An endpoint of which nothing is known.
pub(super) fn blank(key: EndpointKey<'_>, now: Timestamp) -> Object {
    let cells = [Cell::Text(key.app.into()), Cell::Text(key.id.into())];
    let cohort = RowHash::of_values(&cells, &mut Vec::new()).0 % 100;
    object(json!({
        "ApplicationId": key.app,
        "Attributes": {},
        "CohortId": cohort.to_string(),
        "CreationDate": date(now),
        "Demographic": {},
        "EffectiveDate": date(now),
        "EndpointStatus": "ACTIVE",
        "Id": key.id,
        "Location": {},
        "Metrics": {},
        "OptOut": "NONE",
        "RequestId": uuid::Uuid::new_v4().to_string(),
        "User": {},
    }))
}

/// The user whose endpoint it is.
pub(super) fn user_of(endpoint: &Object) -> Option<&str> {
    endpoint.get("User")?.get("UserId")?.as_str().filter(|user| !user.is_empty())
}

/// A time as the API writes it.
pub(super) fn date(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(members) => members,
        _ => Object::new(),
    }
}

fn undated(mut endpoint: Object) -> Object {
    endpoint.shift_remove("EffectiveDate");
    endpoint.shift_remove("RequestId");
    endpoint
}

fn merged(before: &Object, request: &Object, now: Timestamp) -> Object {
    let mut after = before.clone();
    after.insert("EffectiveDate".to_owned(), date(now).into());
    after.insert("RequestId".to_owned(), uuid::Uuid::new_v4().to_string().into());
    for name in WHOLE {
        if let Some(value) = request.get(*name).filter(|value| !value.is_null()) {
            after.insert((*name).to_owned(), value.clone());
        }
    }
    for name in MERGED {
        merge(&mut after, name, request.get(*name));
    }
    let Some(Value::Object(user)) = request.get("User") else { return after };
    let mut known = after.get("User").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(id) = user.get("UserId").filter(|id| !id.is_null()) {
        known.insert("UserId".to_owned(), id.clone());
    }
    merge(&mut known, "UserAttributes", user.get("UserAttributes"));
    after.insert("User".to_owned(), Value::Object(known));
    after
}

/// Sets the given members of a member; an empty list removes one.
fn merge(endpoint: &mut Object, name: &str, given: Option<&Value>) {
    let Some(Value::Object(given)) = given else { return };
    let mut known = endpoint.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    for (member, value) in given {
        let emptied = value.as_array().is_some_and(Vec::is_empty);
        if emptied {
            known.shift_remove(member);
        } else if !value.is_null() {
            known.insert(member.clone(), value.clone());
        }
    }
    endpoint.insert(name.to_owned(), Value::Object(known));
}

fn check(request: &Object) -> Result<(), String> {
    // Written once more to be measured: what is stored is written like this.
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
    lists(request, "Attributes")?;
    for (name, value) in members(request, "Metrics")?.into_iter().flatten() {
        if !value.is_number() {
            return Err(format!("Metrics.{name} must be a number"));
        }
    }
    for name in ["Demographic", "Location", "User"] {
        members(request, name)?;
    }
    let Some(Value::Object(user)) = request.get("User") else { return Ok(()) };
    if user.get("UserId").is_some_and(|id| !id.is_null() && !id.is_string()) {
        return Err("User.UserId must be a string".to_owned());
    }
    lists(user, "UserAttributes")
}

fn one_of(request: &Object, name: &str, allowed: &[&str]) -> Result<(), String> {
    match request.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(value)) if allowed.contains(&value.as_str()) => Ok(()),
        Some(_) => Err(format!("{name} must be one of {}", allowed.join(", "))),
    }
}

fn lists(request: &Object, name: &str) -> Result<(), String> {
    let mut count = 0;
    for (member, value) in members(request, name)?.into_iter().flatten() {
        count += 1;
        if member.chars().count() > NAME_MAX {
            return Err(format!("{name} has a name of more than {NAME_MAX} characters"));
        }
        let list = value.as_array().filter(|list| list.iter().all(Value::is_string));
        if list.is_none() && !value.is_null() {
            return Err(format!("{name} must hold lists of strings"));
        }
    }
    if count > ATTRIBUTES_MAX {
        return Err(format!("{name} has more than {ATTRIBUTES_MAX} members"));
    }
    Ok(())
}
