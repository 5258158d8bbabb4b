//! Shared by all that receive events: authentication and responses.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use serde_json::Value;
use tidegate_model::{Error, ErrorKind, Secret};

/// Returns whether the request carries `Authorization: Bearer` with the secret.
pub fn bears(headers: &HeaderMap, secret: &Secret) -> bool {
    let value = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some((scheme, token)) = value.split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && same(token.trim_ascii(), secret.expose().as_bytes())
}

/// Compares in constant time: only the length can be observed.
pub fn same(given: &[u8], expected: &[u8]) -> bool {
    let difference = given.iter().zip(expected).fold(0, |seen, (a, b)| std::hint::black_box(seen | (a ^ b)));
    given.len() == expected.len() && difference == 0
}

/// Returns an answer with a JSON body.
pub fn json(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Returns what the sender did wrong and should do instead; `None` if the
/// fault is ours.
pub fn fault_of(error: &Error) -> Option<String> {
    let at_fault = matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::Rejected);
    at_fault.then(|| format!("{}; {}", error.message(), error.next_step()))
}

/// Returns the status that says why events could not be taken: those after which senders try again, or
/// one that blames the request.
pub fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Rejected => StatusCode::BAD_REQUEST,
        ErrorKind::Storage | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Asks the sender to wait, where waiting helps.
pub fn wait_for(answer: &mut Response<Bytes>, error: &Error, now: Timestamp) {
    let seconds = match error.kind() {
        ErrorKind::Throttled(Some(until)) => until.duration_since(now).as_secs().saturating_add(1).max(1),
        ErrorKind::Throttled(None) => 1,
        ErrorKind::Storage | ErrorKind::Unavailable => 10,
        _ => return,
    };
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
}

/// Larger numbers are milliseconds: as seconds they would lie beyond the year 5000.
const SECONDS_MAX: i64 = 100_000_000_000;

/// Reads a moment as senders write it: ISO 8601, in UTC where it has no offset, or
/// seconds or milliseconds since 1970.
pub fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse().ok().or_else(|| since_1970(text)).or_else(|| {
        // As Ruby writes it: `2024-02-21 23:45:15 UTC`.
        let at: civil::DateTime = text.strip_suffix(" UTC").unwrap_or(text).parse().ok()?;
        at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
    })
}

fn since_1970(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = whole.parse().ok()?;
    if whole.checked_abs()? > SECONDS_MAX {
        return Timestamp::from_millisecond(whole).ok();
    }
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(whole, if text.starts_with('-') { -nanoseconds } else { nanoseconds }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_is_the_secret() {
        let secret = Secret::new("s3cret-of-24-characters!");
        for (header, proved) in [
            ("Bearer s3cret-of-24-characters!", true),
            ("bearer s3cret-of-24-characters! ", true),
            ("Bearer s3cret-of-24-characters", false),
            ("Bearer s3cret-of-24-characters!!", false),
            ("Bearer S3cret-of-24-characters!", false),
            ("Basic s3cret-of-24-characters!", false),
            ("Bearer ", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(header));
            assert_eq!(bears(&headers, &secret), proved, "{header}");
        }
        assert!(!bears(&HeaderMap::new(), &secret));
    }

    #[test]
    fn senders_are_told_when_to_come_back() {
        let now = Timestamp::UNIX_EPOCH;
        let later = Timestamp::from_millisecond(2_500).expect("time");
        for (kind, status, seconds) in [
            (ErrorKind::Throttled(Some(later)), 429, Some("3")),
            (ErrorKind::Throttled(None), 429, Some("1")),
            (ErrorKind::Storage, 503, Some("10")),
            (ErrorKind::Internal, 500, None),
            (ErrorKind::TooLarge, 413, None),
            (ErrorKind::Rejected, 400, None),
        ] {
            let error = Error::new(kind, "it failed");
            let mut answer = json(status_of(&error), &Value::Null);
            wait_for(&mut answer, &error, now);
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap()), seconds);
        }
    }
}
