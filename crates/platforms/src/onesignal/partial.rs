//! Which events of an accepted request failed. The answer lists errors without
//! an index.
//!
//! Source: OneSignal docs, Create custom events, response 202.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tidegate_model::{Error, ErrorKind, Outcome, Reason, Receipt, Record};

use super::client::{Answer, VENDOR, alias};
use super::outcome::{heard, one_reason, refused, vendor_reason};
use tidegate_transport::http::answer::unreadable;

/// Reads the answer to a request with custom events.
///
/// # Errors
/// What concerns the whole request: no event took effect.
pub(super) fn of_events(records: &[Record], answer: Answer, now: Timestamp) -> Result<Receipt, Error> {
    let response = match heard(answer, now) {
        Ok(response) => response,
        Err(request_error) => return request_error.into_receipt(records.len()),
    };
    let status = response.status();
    if status.is_success() {
        return of_accepted(records, &response);
    }
    if status == StatusCode::NOT_FOUND {
        return Err(Error::new(
            ErrorKind::Missing,
            "OneSignal knows no such app, or the app takes no custom events (404)",
        )
        .hint("compare `app_id` with OneSignal → Settings → Keys & IDs; custom events need a paid plan"));
    }
    if let [_] = records {
        let reason = vendor_reason(status, response.body());
        return Ok(Receipt { outcomes: vec![Outcome::Rejected(reason)], rate_limit: None });
    }
    Err(refused(records.len(), "events", status))
}

/// Matches the errors of an accepted request back to its events.
///
/// By `event_id` if the response has it: every event is sent with one. Else by
/// user: an unknown user fails with all of its events; as many errors as the
/// user has events here fail all of them; of fewer it is not known which, and those
/// events are sent again apart, with the same idempotency keys.
fn of_accepted(records: &[Record], response: &Response<Bytes>) -> Result<Receipt, Error> {
    let mut receipt = Receipt::delivered(records.len());
    let body = response.body();
    if body.trim_ascii().is_empty() {
        return Ok(receipt);
    }
    let errors = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(mut members)) => members.remove("errors").unwrap_or_default(),
        Ok(_) | Err(_) => return unreadable(VENDOR, response).into_receipt(records.len()),
    };
    let errors: Vec<EventError> = match errors {
        Value::Null => return Ok(receipt),
        Value::Array(errors) if errors.is_empty() => return Ok(receipt),
        Value::Array(errors) => {
            errors.into_iter().map(|error| serde_json::from_value(error).unwrap_or_default()).collect()
        }
        _ => vec![EventError::default()],
    };
    assign_errors(records, &errors, &mut receipt.outcomes);
    Ok(receipt)
}

/// Assigns each error to its record; records without an error stay delivered.
fn assign_errors(records: &[Record], errors: &[EventError], outcomes: &mut [Outcome]) {
    let mut by_id: HashMap<String, Vec<usize>> = HashMap::with_capacity(records.len());
    let mut by_user: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, record) in records.iter().enumerate() {
        by_id.entry(record.id.to_uuid()).or_default().push(at);
        by_user.entry(alias(&record.identity).1).or_default().push(at);
    }
    let mut of_user: HashMap<&str, Vec<&EventError>> = HashMap::new();
    let mut unassigned = None;
    for error in errors {
        let id = error.event_id.as_str().map(str::to_ascii_lowercase);
        let user = identifier(&error.event_user_id);
        if let Some(indexes) = id.and_then(|id| by_id.get(&id)) {
            for &at in indexes {
                outcomes[at] = Outcome::Rejected(error.reason());
            }
        } else if let Some((user, _)) = user.and_then(|user| by_user.get_key_value(&*user)) {
            of_user.entry(user).or_default().push(error);
        } else {
            unassigned = Some(error.reason());
        }
    }
    for (user, errors) in of_user {
        let open: Vec<usize> =
            by_user[user].iter().copied().filter(|&at| outcomes[at] == Outcome::Delivered).collect();
        let unknown_user = errors.iter().find(|error| error.is_unknown_user());
        for (index, &at) in open.iter().enumerate() {
            outcomes[at] = match (unknown_user, errors.get(index)) {
                (Some(error), _) => Outcome::Rejected(error.reason()),
                (None, Some(error)) if errors.len() >= open.len() => Outcome::Rejected(error.reason()),
                _ => Outcome::Unnamed(errors[0].reason()),
            };
        }
    }
    if let Some(reason) = unassigned {
        for outcome in outcomes.iter_mut().filter(|outcome| **outcome == Outcome::Delivered) {
            *outcome = Outcome::Unnamed(reason.clone());
        }
    }
}

/// One entry of `errors` in an answer to custom events. It has no index.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EventError {
    event_user_id: Value,
    event_id: Value,
    error: Value,
}

impl EventError {
    fn is_unknown_user(&self) -> bool {
        let code = self.error.get("code").and_then(Value::as_str);
        matches!(code, Some("not found" | "not_found" | "not-found"))
    }

    fn reason(&self) -> Reason {
        if self.is_unknown_user() {
            return Reason::new(
                "user_not_found",
                "OneSignal does not know the user; events never create one: sync the users first, then retry",
            );
        }
        match one_reason(&self.error) {
            Some(reason) if !reason.code.is_empty() => reason,
            Some(reason) => Reason::new("event_rejected", reason.message),
            None => Reason::new("event_rejected", "OneSignal refused the event without a reason"),
        }
    }
}

/// An identifier, which the answer may repeat as a number.
fn identifier(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}
