//! The effect of an unsuccessful response on the items of its request.

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use tidegate_model::{Error, ErrorKind, HttpFailure, Reason, Receipt, Result, Secret};

/// How much of a body is quoted in messages.
const EXCERPT_CHARS_MAX: usize = 200;

/// Shorter keys are those of a sandbox: any word, which answers may hold anyway.
const KEY_BYTES_MIN: usize = 16;

/// Returns the answer without the key of its request, which some proxies repeat: what an answer says
/// ends up in errors and in the history of rows.
pub fn without(key: &Secret, mut answer: Response<Bytes>) -> Response<Bytes> {
    let key = key.expose();
    let body = String::from_utf8_lossy(answer.body());
    if key.len() >= KEY_BYTES_MIN && body.contains(key) {
        let hidden = body.replace(key, "…");
        *answer.body_mut() = hidden.into();
    }
    answer
}

/// A request that did not succeed.
#[derive(Debug)]
pub enum RequestError {
    /// None of the items took effect.
    NoEffect(Error),
    /// Some of the items, or all, may have taken effect.
    Unknown(Reason),
}

impl RequestError {
    /// Returns the result of the delivery: an error, or `items` unknown outcomes.
    pub fn into_receipt(self, items: usize) -> Result<Receipt> {
        match self {
            RequestError::NoEffect(error) => Err(error),
            RequestError::Unknown(reason) => Ok(Receipt::unknown(items, &reason)),
        }
    }

    /// Returns the error, if an effect does not matter: reading, checking.
    pub fn into_error(self) -> Error {
        match self {
            RequestError::NoEffect(error) => error,
            // The other side's own words follow the colon.
            RequestError::Unknown(reason) => match reason.message.split_once(": ") {
                Some((message, said)) => Error::new(ErrorKind::Unavailable, message).words(said),
                None => Error::new(ErrorKind::Unavailable, reason.message),
            },
        }
    }
}

/// Converts an unsuccessful status as HTTP defines it.
///
/// `vendor` starts the sentence; `until` is when the service takes requests again, if
/// its answer says so (see [`super::retry_after`]): after 429 and 503, nothing is sent
/// before. 503 is taken at its word: the service did not process the request. 500, 502,
/// 504 and 408 say nothing about the effect.
pub fn request_error(vendor: &str, answer: &Response<Bytes>, until: Option<Timestamp>) -> RequestError {
    let status = answer.status();
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
        StatusCode::NOT_FOUND => ErrorKind::Missing,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::TooLarge,
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::Throttled(until),
        StatusCode::SERVICE_UNAVAILABLE => ErrorKind::Unavailable,
        StatusCode::REQUEST_TIMEOUT => return RequestError::Unknown(unknown(vendor, answer)),
        status if status.is_server_error() => return RequestError::Unknown(unknown(vendor, answer)),
        status if status.is_client_error() => ErrorKind::Rejected,
        _ => ErrorKind::Unexpected,
    };
    let until = until.filter(|_| matches!(kind, ErrorKind::Throttled(_) | ErrorKind::Unavailable));
    let mut sentence = match status {
        StatusCode::UNAUTHORIZED => format!("{vendor} refused the credentials: it answered 401"),
        StatusCode::FORBIDDEN => format!("{vendor} denied the request: it answered 403"),
        _ => format!("{vendor} answered {}", status.as_u16()),
    };
    if let Some(until) = until {
        sentence.push_str(&until.strftime("; it asks to wait until %F %T UTC").to_string());
    }
    RequestError::NoEffect(Error::new(kind, sentence).words(said(answer)).not_before(until))
}

/// Converts a success with an unreadable body: its effect is unknown.
pub fn unreadable(vendor: &str, answer: &Response<Bytes>) -> RequestError {
    RequestError::Unknown(Reason::new(
        "response_unreadable",
        format!("{vendor} answered {} with a body that is not the documented one", answer.status().as_u16()),
    ))
}

/// Converts the lack of a response.
pub fn lost(vendor: &str, failure: &HttpFailure) -> RequestError {
    match failure {
        HttpFailure::Untrusted { why, remedy } => {
            RequestError::NoEffect(Error::settings(format!("{vendor} cannot be reached: {why}")).hint(remedy))
        }
        HttpFailure::NotSent(why) => RequestError::NoEffect(
            Error::new(ErrorKind::Unavailable, format!("{vendor} cannot be reached: {why}"))
                .hint("check the address, the network and the proxy; it is retried automatically"),
        ),
        HttpFailure::ResponseLost(why) => RequestError::Unknown(Reason::new(
            "response_lost",
            format!("the request was sent to {vendor}, and no response came: {why}"),
        )),
    }
}

fn unknown(vendor: &str, answer: &Response<Bytes>) -> Reason {
    Reason::new("response_uncertain", sentence(vendor, answer))
}

/// `Braze answered 500: Internal Server Error`.
fn sentence(vendor: &str, answer: &Response<Bytes>) -> String {
    format!("{vendor} answered {}: {}", answer.status().as_u16(), said(answer))
        .trim_end_matches([':', ' '])
        .to_owned()
}

/// What the other side says, or else what HTTP calls it.
fn said(answer: &Response<Bytes>) -> String {
    match excerpt(answer.body()) {
        said if said.is_empty() => answer.status().canonical_reason().unwrap_or_default().to_owned(),
        said => said,
    }
}

/// Returns the message of a JSON body, else its first words; at most 200 characters, and nothing that
/// could be a row's value.
pub fn excerpt(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(value) => message_in(&value).unwrap_or_default().to_owned(),
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT_CHARS_MAX)]).into_owned(),
    };
    let mut out = String::new();
    for word in text.split_whitespace() {
        let word = if looks_like_a_value(word) { "…" } else { word };
        if out.chars().count() + 1 + word.chars().count() > EXCERPT_CHARS_MAX {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

fn message_in(value: &serde_json::Value) -> Option<&str> {
    const NAMES: [&str; 5] = ["message", "error", "title", "detail", "errors"];
    match value {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Array(items) => items.first().and_then(message_in),
        serde_json::Value::Object(members) => {
            NAMES.iter().find_map(|name| members.get(*name).and_then(message_in))
        }
        _ => None,
    }
}

/// Addresses and long numbers may be values of rows.
fn looks_like_a_value(word: &str) -> bool {
    word.contains('@') || word.bytes().filter(u8::is_ascii_digit).count() >= 5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Response<Bytes> {
        Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).expect("response")
    }

    fn kind(status: u16) -> Option<ErrorKind> {
        match request_error("Vendor", &answer(status, ""), None) {
            RequestError::NoEffect(error) => Some(error.kind()),
            RequestError::Unknown(_) => None,
        }
    }

    #[test]
    fn a_key_that_is_repeated_is_hidden_and_a_short_one_hides_nothing_else() {
        let key = Secret::new("0123456789abcdef");
        let hidden = without(&key, answer(400, "key 0123456789abcdef, 0123456789abcdef"));
        assert_eq!(hidden.body(), "key …, …");
        assert_eq!(without(&Secret::new("e"), answer(201, "message")).body(), "message");
    }

    #[test]
    fn a_status_decides_the_kind() {
        assert_eq!(kind(401), Some(ErrorKind::Denied));
        assert_eq!(kind(403), Some(ErrorKind::Denied));
        assert_eq!(kind(404), Some(ErrorKind::Missing));
        assert_eq!(kind(413), Some(ErrorKind::TooLarge));
        assert_eq!(kind(422), Some(ErrorKind::Rejected));
        assert_eq!(kind(429), Some(ErrorKind::Throttled(None)));
        assert_eq!(kind(503), Some(ErrorKind::Unavailable));
        assert_eq!(kind(302), Some(ErrorKind::Unexpected));
    }

    #[test]
    fn a_service_that_says_when_it_is_back_is_waited_for() {
        let until = Some("2026-03-01T14:00:00Z".parse().expect("time"));
        for status in [429, 503] {
            let RequestError::NoEffect(error) = request_error("Vendor", &answer(status, ""), until) else {
                panic!("{status}")
            };
            assert_eq!(error.acceptable_at(), until, "{status}");
            assert!(error.message().ends_with("; it asks to wait until 2026-03-01 14:00:00 UTC"), "{error}");
        }
    }

    #[test]
    fn a_server_that_failed_on_its_way_leaves_the_items_in_doubt() {
        for status in [408, 500, 502, 504] {
            assert_eq!(kind(status), None, "{status}");
        }
        let receipt = request_error("Vendor", &answer(502, "<html>Bad gateway</html>"), None)
            .into_receipt(2)
            .expect("receipt");
        assert_eq!(receipt.outcomes.len(), 2);
    }

    #[test]
    fn an_excerpt_has_the_message_and_no_row() {
        assert_eq!(excerpt(br#"{"message":"Invalid API Key"}"#), "Invalid API Key");
        assert_eq!(excerpt(br#"{"errors":[{"title":"no user a@b.example"}]}"#), "no user …");
        assert_eq!(excerpt(b"number 4915112345678 is wrong"), "number … is wrong");
        assert!(excerpt("é ".repeat(900).as_bytes()).chars().count() <= 200);
        assert_eq!(excerpt(br#"{"a":"value"}"#), "");
    }

    #[test]
    fn only_what_never_left_is_without_effect() {
        assert!(matches!(lost("Vendor", &HttpFailure::NotSent("dns".into())), RequestError::NoEffect(_)));
        assert!(matches!(
            lost("Vendor", &HttpFailure::ResponseLost("reset".into())),
            RequestError::Unknown(_)
        ));
    }
}
