//! What an answer of Braze means for each record of its request.

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tidegate_model::{Error, ErrorKind, Outcome, Reason, Receipt, Result};

use super::client::{self, VENDOR};
use tidegate_transport::http::answer;

/// The response of `/users/track`, also if it is an error.
///
/// Source: Braze docs, POST /users/track, "Response".
#[derive(Deserialize)]
struct TrackAnswer {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    errors: Value,
    #[serde(default)]
    attributes_processed: Option<usize>,
    #[serde(default)]
    events_processed: Option<usize>,
    #[serde(default)]
    purchases_processed: Option<usize>,
}

/// An error of a response. The documented ones are objects that name what they are about;
/// texts and objects without an index occur too.
struct TrackError {
    what: String,
    input_array: Option<String>,
    index: Option<usize>,
}

impl TrackError {
    fn of(error: &Value) -> TrackError {
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
        TrackError {
            what: error.as_str().map(str::to_owned).or_else(|| text("type")).unwrap_or_default(),
            input_array: text("input_array"),
            index: error.get("index").and_then(Value::as_u64).and_then(|index| index.try_into().ok()),
        }
    }

    fn all(errors: &Value) -> Vec<TrackError> {
        match errors {
            Value::Null => Vec::new(),
            Value::Array(errors) => errors.iter().map(TrackError::of).collect(),
            error => vec![TrackError::of(error)],
        }
    }
}

/// The outcomes of a `/users/track` request with `items` objects in `array`.
///
/// A success may hold errors of single objects; the rest took effect. A 400
/// that names bad objects had no effect: those that it does not name go again.
pub(super) fn of_track(
    answer: &Response<Bytes>,
    array: &str,
    items: usize,
    now: Timestamp,
) -> Result<Receipt> {
    let status = answer.status();
    if !status.is_success() && status != StatusCode::BAD_REQUEST {
        return client::request_error(answer, "users.track", now).into_receipt(items);
    }
    let said = serde_json::from_slice::<TrackAnswer>(answer.body()).ok();
    let mut receipt = Receipt { outcomes: Vec::new(), rate_limit: client::rate_limit(answer.headers(), now) };

    let Some(said) = said.filter(|said| said.message.is_some()) else {
        if status.is_success() {
            return answer::unreadable(VENDOR, answer).into_receipt(items);
        }
        return client::request_error(answer, "users.track", now).into_receipt(items);
    };

    let mut rejected: Vec<Option<Reason>> = vec![None; items];
    let mut unplaced = None;
    for error in TrackError::all(&said.errors) {
        let here = error.input_array.as_deref().is_none_or(|name| name == array);
        match error.index.filter(|_| here).and_then(|index| rejected.get_mut(index)) {
            Some(slot) => *slot = Some(reason(&error.what)),
            None => unplaced = Some(reason(&error.what)),
        }
    }
    let rejections = rejected.iter().flatten().count();

    if status == StatusCode::BAD_REQUEST {
        if rejections == 0 {
            return client::request_error(answer, "users.track", now).into_receipt(items);
        }
        let again =
            Outcome::Deferred(Reason::new("rejected_with_others", "refused with others of its request"));
        receipt.outcomes.extend(rejected.into_iter().map(|it| it.map_or(again.clone(), Outcome::Rejected)));
        return Ok(receipt);
    }

    // An error without an index could be any of the others', unless the count says otherwise.
    let processed = match array {
        "events" => said.events_processed,
        "purchases" => said.purchases_processed,
        _ => said.attributes_processed,
    };
    let others = match unplaced {
        Some(reason) if items == 1 => Outcome::Rejected(reason),
        Some(reason) if processed == Some(0) && rejections == 0 => {
            let message = format!("Braze processed none of the objects: {}", reason.message);
            return Err(Error::new(ErrorKind::Rejected, message));
        }
        Some(reason) if processed != Some(items - rejections) => Outcome::Unnamed(reason),
        _ => Outcome::Delivered,
    };
    receipt.outcomes.extend(rejected.into_iter().map(|it| it.map_or(others.clone(), Outcome::Rejected)));
    Ok(receipt)
}

/// Braze's sentence about one object, with a name to group by: of
/// `'quantity' is not valid` it is `invalid_quantity`.
fn reason(what: &str) -> Reason {
    let quoted: Vec<&str> = what.split('\'').skip(1).step_by(2).collect();
    let code = match quoted.as_slice() {
        [name] if what.ends_with("is not valid") => format!("invalid_{name}"),
        [name] if what.ends_with("is required") => format!("missing_{name}"),
        [_, _, ..] if what.ends_with("is required") => "no_identifier".to_owned(),
        [] if !what.is_empty() && what.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') => {
            what.to_ascii_lowercase()
        }
        _ => "rejected_by_braze".to_owned(),
    };
    Reason::new(code, if what.is_empty() { "Braze gave no reason" } else { what })
}

/// The receipt of a request that holds as a whole or not at all: deletions, catalog items.
pub(super) fn of_whole(
    answer: &Response<Bytes>,
    permission: &str,
    items: usize,
    now: Timestamp,
) -> Result<Receipt> {
    if !answer.status().is_success() {
        return match error_response(answer) {
            Some(error) if error.storage_is_full() => Err(storage_is_full()),
            Some(CatalogError { id, message }) if items == 1 => {
                let outcomes = vec![Outcome::Rejected(Reason::new(id, message))];
                Ok(Receipt { outcomes, rate_limit: client::rate_limit(answer.headers(), now) })
            }
            _ => client::request_error(answer, permission, now).into_receipt(items),
        };
    }
    #[derive(Deserialize)]
    struct Whole {
        message: Option<String>,
        deleted: Option<u64>,
        #[serde(default)]
        errors: Value,
    }
    match serde_json::from_slice::<Whole>(answer.body()) {
        Ok(Whole { message: None, deleted: None, .. }) | Err(_) => {
            answer::unreadable(VENDOR, answer).into_receipt(items)
        }
        Ok(Whole { errors, .. }) if !TrackError::all(&errors).is_empty() => {
            let reason = TrackError::all(&errors).first().map(|error| reason(&error.what));
            let outcomes = reason.map_or(Outcome::Delivered, Outcome::Unnamed);
            let rate_limit = client::rate_limit(answer.headers(), now);
            Ok(Receipt { outcomes: vec![outcomes; items], rate_limit })
        }
        Ok(_) => {
            Ok(Receipt { rate_limit: client::rate_limit(answer.headers(), now), ..Receipt::delivered(items) })
        }
    }
}

/// Why Braze refused catalog items. Source: Braze docs, Catalogs, "Error handling".
#[derive(Deserialize)]
struct CatalogError {
    id: String,
    #[serde(default)]
    message: String,
}

impl CatalogError {
    fn storage_is_full(&self) -> bool {
        self.id.starts_with("company-size-limit-already-reached")
    }
}

/// The reason of a 400 about catalog items; the storage of the plan goes before others.
fn error_response(answer: &Response<Bytes>) -> Option<CatalogError> {
    #[derive(Deserialize)]
    struct ErrorResponse {
        errors: Vec<CatalogError>,
    }
    if answer.status() != StatusCode::BAD_REQUEST {
        return None;
    }
    let mut errors = serde_json::from_slice::<ErrorResponse>(answer.body()).ok()?.errors;
    errors.sort_by_key(|error| !error.storage_is_full());
    errors.into_iter().next()
}

/// No row is to blame, so halving would reject all of them.
fn storage_is_full() -> Error {
    Error::new(ErrorKind::Denied, "Braze takes no more catalog items: the storage of the plan is used up")
        .hint("remove items or catalogs, or extend the plan; then resume the sync")
}
