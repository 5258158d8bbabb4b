//! Responses to requests with many records.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_model::{Error, ErrorKind, Outcome, RateLimitStatus, Reason, Receipt, Result};

use super::errors::{ErrorClass, class_of};
use crate::http::answer;

/// When a throttled record may be sent again: limits of shards are per second, and other shards
/// continue.
const THROTTLED_FOR: Duration = Duration::from_millis(200);

/// `PutRecords` and `PutRecordBatch` answer alike. Source: their API references.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, alias = "RequestResponses", rename = "Records")]
    entries: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default, rename = "ErrorCode")]
    code: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "ErrorMessage")]
    message: Option<Cow<'a, str>>,
}

/// Returns the outcome of each of `items` records, from a successful response.
///
/// # Errors
/// None of the records took effect, and all for a reason that is not theirs.
pub fn receipt(title: &str, answer: &Response<Bytes>, items: usize, now: Timestamp) -> Result<Receipt> {
    let read = serde_json::from_slice::<Answer<'_>>(answer.body()).ok();
    let Some(read) = read.filter(|read| read.entries.len() == items) else {
        return answer::unreadable(title, answer).into_receipt(items);
    };
    let mut receipt = Receipt { outcomes: Vec::with_capacity(items), rate_limit: None };
    let (mut failed, mut worst) = (0, None);
    for entry in read.entries {
        let Some(code) = entry.code else {
            receipt.outcomes.push(Outcome::Delivered);
            continue;
        };
        let reason = reason(title, &code, entry.message.as_deref().unwrap_or_default());
        let outcome = match class_of(&code) {
            // Unknown codes reject the record with its reason rather than being retried forever.
            Some(ErrorClass::Bad) | None => Outcome::Rejected(reason),
            Some(other) => {
                failed += 1;
                // A reason that needs the user takes precedence over a temporary one.
                if worst.as_ref().is_none_or(|(worst, _)| rank(*worst) < rank(other)) {
                    worst = Some((other, reason.clone()));
                }
                Outcome::Deferred(reason)
            }
        };
        receipt.outcomes.push(outcome);
    }
    if let Some((worst, reason)) = worst {
        if failed == items {
            // The service's own words follow the colon.
            return Err(match reason.message.split_once(": ") {
                Some((message, said)) => Error::new(kind(worst), message).words(said),
                None => Error::new(kind(worst), reason.message),
            });
        }
        if worst == ErrorClass::Throttled {
            receipt.rate_limit =
                now.checked_add(THROTTLED_FOR).ok().map(|reset| RateLimitStatus { remaining: 0, reset });
        }
    }
    Ok(receipt)
}

fn reason(title: &str, code: &str, message: &str) -> Reason {
    // The service's own code, if it is a word.
    let word = code.len() < 80 && !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let code = if word { code.to_owned() } else { "rejected".to_owned() };
    let message = match answer::excerpt(message.as_bytes()) {
        said if said.is_empty() => format!("{title} rejected the record: {code}"),
        said => format!("{title} rejected the record: {said}"),
    };
    Reason::new(code, message)
}

fn rank(class: ErrorClass) -> u8 {
    match kind(class) {
        ErrorKind::Denied | ErrorKind::Missing => 2,
        ErrorKind::Throttled(_) => 1,
        _ => 0,
    }
}

fn kind(class: ErrorClass) -> ErrorKind {
    match class {
        ErrorClass::Expired
        | ErrorClass::Credentials
        | ErrorClass::Permission
        | ErrorClass::EncryptionKey => ErrorKind::Denied,
        ErrorClass::Missing => ErrorKind::Missing,
        ErrorClass::Throttled => ErrorKind::Throttled(None),
        ErrorClass::WrongKind => ErrorKind::Settings,
        ErrorClass::Bad => ErrorKind::Rejected,
        ErrorClass::Unavailable | ErrorClass::Broken => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn read(body: &str, items: usize) -> Result<Receipt> {
        receipt("Kinesis", &Response::new(Bytes::from(body.to_owned())), items, NOW)
    }

    const THROTTLED: &str = r#"{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded for shard shardId-000000000001 in stream s under account 111111111111."}"#;
    const DONE: &str = r#"{"SequenceNumber":"49","ShardId":"shardId-000000000000"}"#;

    #[test]
    fn only_what_failed_is_deferred_and_the_pace_slows_down() {
        let body = format!(
            r#"{{"FailedRecordCount":2,"Records":[{DONE},{THROTTLED},{DONE},{{"ErrorCode":"InternalFailure","ErrorMessage":"Internal Service Failure"}}]}}"#
        );

        let receipt = read(&body, 4).expect("a receipt");

        assert_eq!([&receipt.outcomes[0], &receipt.outcomes[2]], [&Outcome::Delivered; 2]);
        let Outcome::Deferred(reason) = &receipt.outcomes[1] else { panic!("{receipt:?}") };
        assert_eq!(reason.code, "ProvisionedThroughputExceededException");
        assert!(reason.message.contains("Rate exceeded for shard"), "{reason:?}");
        assert!(!reason.message.contains("111111111111"), "{reason:?}");
        assert!(
            matches!(&receipt.outcomes[3], Outcome::Deferred(reason) if reason.code == "InternalFailure")
        );
        let reset = NOW.checked_add(THROTTLED_FOR).unwrap();
        assert_eq!(receipt.rate_limit, Some(RateLimitStatus { remaining: 0, reset }));
    }

    #[test]
    fn what_fails_as_a_whole_is_an_error() {
        let all = |code: &str| {
            let entry = format!(r#"{{"ErrorCode":"{code}","ErrorMessage":"no"}}"#);
            read(&format!(r#"{{"FailedPutCount":2,"RequestResponses":[{entry},{entry}]}}"#), 2)
                .map_err(|it| it.kind())
        };
        assert_eq!(all("ServiceUnavailableException"), Err(ErrorKind::Throttled(None)));
        assert_eq!(all("InternalFailure"), Err(ErrorKind::Unavailable));
        assert_eq!(all("KMSDisabledException"), Err(ErrorKind::Denied));
    }

    #[test]
    fn a_record_that_is_itself_the_reason_is_rejected() {
        for code in ["InvalidArgumentException", "SomethingNew"] {
            let body =
                format!(r#"{{"Records":[{DONE},{{"ErrorCode":"{code}","ErrorMessage":"too large"}}]}}"#);
            let receipt = read(&body, 2).expect("a receipt");
            assert!(
                matches!(&receipt.outcomes[1], Outcome::Rejected(reason) if reason.code == code),
                "{receipt:?}"
            );
            assert_eq!(receipt.rate_limit, None);
        }
    }

    #[test]
    fn an_answer_that_does_not_speak_of_every_record_leaves_all_in_doubt() {
        for body in ["", "{}", "[]", r#"{"Records":[]}"#, &format!(r#"{{"Records":[{DONE},{DONE},{DONE}]}}"#)]
        {
            let receipt = read(body, 2).expect("a receipt");
            assert_eq!(receipt.outcomes.len(), 2);
            assert!(
                receipt.outcomes.iter().all(|it| matches!(it, Outcome::Unknown(_))),
                "{body}: {receipt:?}"
            );
        }
    }
}
