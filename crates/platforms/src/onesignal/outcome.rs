//! What an answer of OneSignal means for the rows that were sent. What an
//! accepted request says about single events is read in `partial`.
//!
//! Source: OneSignal docs, Create custom events, Create user, Update user,
//! Delete user, Rate limits.

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tidegate_model::{Error, ErrorKind, Outcome, Reason};

use super::client::{Answer, VENDOR};
use tidegate_transport::http::answer::{RequestError, excerpt, request_error, unreadable};
use tidegate_transport::http::retry_after::retry_at;

/// What one call did to one user.
pub(super) enum Single {
    /// It took effect.
    Done,
    /// OneSignal has no such user.
    NoSuchUser,
    /// Something is wrong with what was sent.
    Refused(StatusCode, Reason),
    /// It is not known whether it took effect.
    InDoubt(Reason),
}

/// Reads the answer to a call about one user.
///
/// # Errors
/// What concerns more than this user: none of it took effect.
pub(super) fn of_user(answer: Answer, now: Timestamp) -> Result<Single, Error> {
    let response = match heard(answer, now) {
        Ok(response) => response,
        Err(RequestError::Unknown(doubt)) => return Ok(Single::InDoubt(doubt)),
        Err(RequestError::NoEffect(error)) => return Err(error),
    };
    let status = response.status();
    Ok(match (status, is_ours(response.body())) {
        (StatusCode::NOT_FOUND, true) => Single::NoSuchUser,
        // Something else answers there: to believe it would call every deletion done.
        (StatusCode::NOT_FOUND, false) => return Err(no_such_app()),
        (status, true) if status.is_success() => Single::Done,
        (status, false) if status.is_success() => match unreadable(VENDOR, &response) {
            RequestError::Unknown(doubt) => Single::InDoubt(doubt),
            RequestError::NoEffect(error) => return Err(error),
        },
        (status, _) => Single::Refused(status, vendor_reason(status, response.body())),
    })
}

/// Whether the API could have written the body: a JSON object, or nothing.
fn is_ours(body: &Bytes) -> bool {
    body.trim_ascii().is_empty() || serde_json::from_slice::<Map<String, Value>>(body).is_ok()
}

/// The app, or the whole API, is not at this address.
pub(super) fn no_such_app() -> Error {
    Error::new(ErrorKind::Missing, "OneSignal knows no such app (404)")
        .hint("compare `app_id` with OneSignal → Settings → Keys & IDs, and look at `endpoint`")
}

impl From<Single> for Outcome {
    fn from(single: Single) -> Outcome {
        match single {
            Single::Done => Outcome::Delivered,
            Single::NoSuchUser => unknown_user("the user does not exist"),
            Single::Refused(_, reason) => Outcome::Rejected(reason),
            Single::InDoubt(reason) => Outcome::Unknown(reason),
        }
    }
}

/// Rejected because OneSignal has no such user.
pub(super) fn unknown_user(message: &str) -> Outcome {
    Outcome::Rejected(Reason::new("user_not_found", message))
}

/// A request of several rows that was refused as a whole.
pub(super) fn refused(items: usize, what: &str, status: StatusCode) -> Error {
    Error::new(
        ErrorKind::Rejected,
        format!("OneSignal refused a request of {items} {what} ({})", status.as_u16()),
    )
}

/// Handles what concerns every kind of call: no response, credentials, limits, outages.
pub(super) fn heard(answer: Answer, now: Timestamp) -> Result<Response<Bytes>, RequestError> {
    let response = answer?;
    let status = response.status();
    let about_the_rows =
        status.is_client_error() && !matches!(status.as_u16(), 401 | 402 | 403 | 408 | 413 | 429);
    if status.is_success() || about_the_rows {
        return Ok(response);
    }
    let hint = match status.as_u16() {
        code @ (401 | 403) => {
            let message = format!("OneSignal refused the API key: it answered {code}");
            let error = Error::new(ErrorKind::Denied, message).words(excerpt(response.body()));
            return Err(RequestError::NoEffect(error.hint(
                "put a valid app API key of this app into `api_key` (OneSignal → Settings → Keys & IDs), then resume",
            )));
        }
        402 => {
            let message = "OneSignal refuses the request because of the organisation's plan (402)";
            let error = Error::new(ErrorKind::Denied, message);
            return Err(RequestError::NoEffect(
                error.hint("look at OneSignal → Organization → Billing, then resume"),
            ));
        }
        300..=399 => "check `endpoint`: the address answers with a redirect, which the API never does",
        _ => return Err(request_error(VENDOR, &response, retry_at(response.headers(), now))),
    };
    Err(match request_error(VENDOR, &response, None) {
        RequestError::NoEffect(error) => RequestError::NoEffect(error.hint(hint)),
        unknown => unknown,
    })
}

/// The vendor's own words for a refused call.
pub(super) fn vendor_reason(status: StatusCode, body: &Bytes) -> Reason {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = match &body["errors"] {
        Value::Array(errors) => errors.iter().filter_map(one_reason).collect(),
        Value::Null => Vec::new(),
        other => one_reason(other).into_iter().collect::<Vec<Reason>>(),
    };
    let code = status.as_u16();
    let Some(first) = errors.first() else {
        return Reason::new(
            format!("http_{code}"),
            format!("OneSignal refused the row without a reason ({code})"),
        );
    };
    let words: Vec<&str> = errors.iter().map(|reason| reason.message.as_str()).collect();
    let name = if first.code.is_empty() { format!("http_{code}").into() } else { first.code.clone() };
    Reason::new(name, shortened(&words.join("; ")))
}

/// One error in any of the shapes in use: text, or `code` and `title`.
pub(super) fn one_reason(error: &Value) -> Option<Reason> {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    match error {
        Value::String(text) => Some(Reason::new("", shortened(text))),
        Value::Object(_) => {
            let title = if text("title").is_empty() { text("code") } else { text("title") };
            (!title.is_empty()).then(|| Reason::new(shortened(text("code")), shortened(title)))
        }
        _ => None,
    }
}

/// The first 200 characters.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
