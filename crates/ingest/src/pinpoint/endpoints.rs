//! Endpoints: where users are reached, and what is known of them.
//!
//! Source: Amazon Pinpoint API reference, `UpdateEndpoint`, `EndpointRequest`,
//! `EndpointResponse`; developer guide, quotas.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate_model::{Error, RowHash, Value as Cell};

use super::check::timestamp;
use super::endpoint_check::{check, check_merged};
use super::store::{Object, Session};

/// Endpoints of a user.
const PER_USER_MAX: usize = 15;
/// Channels through which one more endpoint of a user retires the oldest; others refuse it.
///
/// Source: Amazon Pinpoint developer guide, managing the maximum number of endpoints.
const RETIRING: &[&str] = &["ADM", "GCM", "APNS", "APNS_SANDBOX", "APNS_VOIP", "APNS_VOIP_SANDBOX", "BAIDU"];
/// How old the date of an endpoint may be that is seen again and is otherwise the same.
const DATE_KEPT: SignedDuration = SignedDuration::from_hours(1);

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
/// written where nothing changes but dates that are an hour old at most.
pub(super) fn update(
    session: &Session<'_>,
    key: EndpointKey<'_>,
    request: &Object,
    now: Timestamp,
) -> Result<Object, Stop> {
    check(request).map_err(Stop::Bad)?;
    let before = session.endpoint(key.app, key.id)?;
    let after = merged(before.as_ref().unwrap_or(&blank(key, now)), request, now);
    check_merged(before.as_ref(), &after).map_err(Stop::Bad)?;
    let user = user_of(&after).map(str::to_owned);
    if let Some(user) = &user
        && before.as_ref().and_then(user_of) != Some(user)
    {
        make_room(session, key.app, user, &after)?;
    }
    let same = |before: Object| {
        let recent = now.duration_since(effective(&before)) < DATE_KEPT;
        recent && undated(before) == undated(after.clone())
    };
    if !before.is_some_and(same) {
        session.save_endpoint(key.app, key.id, user.as_deref(), &after)?;
    }
    Ok(after)
}

/// Makes room for one more endpoint of a user: the one not seen for the longest
/// time becomes inactive and loses its user, if the new one is a device.
fn make_room(session: &Session<'_>, app: &str, user: &str, new: &Object) -> Result<(), Stop> {
    let known = session.endpoints_of(app, user)?;
    if known.len() < PER_USER_MAX {
        return Ok(());
    }
    let channel = new.get("ChannelType").and_then(Value::as_str).unwrap_or_default();
    let oldest = known.into_iter().min_by_key(effective).filter(|_| RETIRING.contains(&channel));
    let Some(mut oldest) = oldest else {
        return Err(Stop::Bad(format!("Exceeded maximum endpoint per user count {PER_USER_MAX}")));
    };
    oldest.insert("EndpointStatus".to_owned(), "INACTIVE".into());
    if let Some(Value::Object(user)) = oldest.get_mut("User") {
        user.shift_remove("UserId");
    }
    let id = oldest.get("Id").and_then(Value::as_str).unwrap_or_default().to_owned();
    session.save_endpoint(app, &id, None, &oldest)?;
    Ok(())
}

/// When an endpoint was last updated; long ago if that cannot be read.
fn effective(endpoint: &Object) -> Timestamp {
    endpoint.get("EffectiveDate").and_then(timestamp).unwrap_or(Timestamp::MIN)
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
