//! What BigQuery says when something does not work, for people.
//!
//! Source: BigQuery docs, "Error messages": the reason decides, the HTTP status is often 400 or 403 for
//! what goes better the next time.

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_model::{Error, ErrorKind};
use tidegate_transport::http::answer::{self, RequestError, excerpt};
use tidegate_transport::http::retry_after::retry_at;

use super::client::VENDOR;
use super::grants;

/// One error, as answers and the states of jobs have it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Failure {
    /// A word: `invalidQuery`.
    #[serde(default)]
    pub reason: String,
    /// The sentence.
    #[serde(default)]
    pub message: String,
}

#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    error: Said,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<Failure>,
}

fn failure_of(answered: &Response<Bytes>) -> Option<Failure> {
    let Body { error } = serde_json::from_slice(answered.body()).ok()?;
    let first = error.errors.into_iter().next()?;
    let message = if first.message.is_empty() { error.message } else { first.message };
    Some(Failure { message, ..first })
}

/// Returns whether a job of this id was submitted before.
pub fn is_duplicate(error: &Error) -> bool {
    error.kind() == ErrorKind::Rejected && error.message().starts_with("duplicate: ")
}

/// Converts an unsuccessful answer; `member` is who asks, as IAM policies name it, if it is known.
pub fn request_error(answered: &Response<Bytes>, member: Option<&str>, now: Timestamp) -> RequestError {
    let until = retry_at(answered.headers(), now);
    let plain = answer::request_error(VENDOR, answered, until);
    let Some(failure) = failure_of(answered) else { return plain };
    match plain {
        // 500, 502, 504: a reason says no more than the status.
        RequestError::Unknown(reason) => RequestError::Unknown(reason),
        RequestError::NoEffect(error) => {
            match answered.status().as_u16() {
                429 | 503 => RequestError::NoEffect(error),
                401 => RequestError::NoEffect(error.hint(
                    "the token was refused: check the service account and its key or its configuration",
                )),
                _ => RequestError::NoEffect(explained(&failure, member, until)),
            }
        }
    }
}

/// Returns the error for an answer that has not the documented form.
pub fn unreadable(what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("{VENDOR} sent {what} that is not the documented one"))
}

/// Converts an error of BigQuery.
pub fn explained(failure: &Failure, member: Option<&str>, until: Option<Timestamp>) -> Error {
    let said = sentence(failure);
    let error = |kind| Error::new(kind, said.clone());
    match failure.reason.as_str() {
        "rateLimitExceeded" | "jobRateLimitExceeded" => error(ErrorKind::Throttled(until)).not_before(until),
        "backendError" | "internalError" | "badGateway" | "jobBackendError" | "jobInternalError"
        | "tableUnavailable" => error(ErrorKind::Unavailable),
        "stopped" => Error::new(ErrorKind::Unavailable, "the job was cancelled in BigQuery"),
        "timeout" => error(ErrorKind::Unavailable),
        "accessDenied" => match grants::refused(&failure.message) {
            Some(refused) => Error::new(ErrorKind::Denied, refused.sentence()).hint(refused.remedy(member)),
            None => error(ErrorKind::Denied)
                .hint("grant the role that has the permission, then run `tidegate check`"),
        },
        "billingNotEnabled" | "blocked" => error(ErrorKind::Denied),
        "quotaExceeded" => error(ErrorKind::Denied).hint(
            "quotas of a day start again at midnight in the Pacific time zone; raise it under IAM & Admin > Quotas",
        ),
        "notFound" => error(ErrorKind::Missing),
        "duplicate" => Error::new(ErrorKind::Rejected, format!("duplicate: {said}")),
        "bytesBilledLimitExceeded" => error(ErrorKind::Settings).hint(
            "raise `maximum_bytes_billed`, or read less: a cursor on the column that the table is partitioned by",
        ),
        "responseTooLarge" => error(ErrorKind::TooLarge)
            .hint("a result has at most 10 GB compressed: read by a `cursor`, fewer columns, or a query with a condition"),
        "resourcesExceeded" if failure.message.contains("Too many DML statements") => {
            error(ErrorKind::Unavailable)
        }
        "resourcesExceeded" => error(ErrorKind::TooLarge)
            .hint("the query needs more memory than it gets: read less at once, by a `cursor` or a query with a condition"),
        "invalidQuery" if failure.message.starts_with("Unrecognized name: ") => error(ErrorKind::Missing),
        // Source: BigQuery docs, "DML statements", "Concurrent jobs": it had no effect, and is tried again.
        "invalidQuery" if failure.message.contains("due to concurrent update") => Error::new(
            ErrorKind::Unavailable,
            "another statement changed the table at the same time",
        ),
        "invalidQuery" | "invalid" if failure.message.contains("partition elimination") => {
            error(ErrorKind::Settings).hint(
                "the table asks for a condition on its partition column: set `cursor` to that column, or write a `query` with WHERE",
            )
        }
        "invalidQuery" | "invalid" | "required" | "resourceInUse" => error(ErrorKind::Settings)
            .hint("correct the setting or the query: run the query in the BigQuery console"),
        "authError" => error(ErrorKind::Denied),
        _ => error(ErrorKind::Unexpected),
    }
}

/// Returns a sentence without values of rows. What BigQuery finds in the text of a statement has a place
/// in it, `at [1:8]`; what it finds in a row has none, and the value follows a colon or stands in quotes.
fn sentence(failure: &Failure) -> String {
    let found_in_rows = failure.reason == "invalidQuery" && !failure.message.contains(" at [");
    let said = match found_in_rows && !failure.message.starts_with("Unrecognized name: ") {
        true => failure.message.split([':', '\'', '"', '(', '`']).next().unwrap_or_default(),
        false => &failure.message,
    };
    // Names of tables and numbers of bytes are no values of rows.
    let said = match failure.reason.as_str() {
        "notFound" | "bytesBilledLimitExceeded" => said.chars().take(400).collect(),
        _ => excerpt(serde_json::Value::from(said).to_string().as_bytes()),
    };
    match said.trim_end_matches([' ', ';', '.']) {
        "" => format!("{VENDOR} says {}", failure.reason),
        said => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(reason: &str, message: &str) -> Error {
        explained(&Failure { reason: reason.to_owned(), message: message.to_owned() }, None, None)
    }

    fn answered(status: u16, reason: &str, message: &str) -> Error {
        let one = json!({ "message": message, "domain": "global", "reason": reason });
        let body = json!({ "error": { "code": status, "message": message, "errors": [one], "status": "X" } });
        let answer = Response::builder().status(status).body(Bytes::from(body.to_string())).unwrap();
        request_error(&answer, None, Timestamp::UNIX_EPOCH).into_error()
    }

    #[test]
    fn a_reason_decides_whether_a_refusal_passes_by_itself() {
        for (status, reason, kind) in [
            (403, "rateLimitExceeded", ErrorKind::Throttled(None)),
            (400, "jobRateLimitExceeded", ErrorKind::Throttled(None)),
            (400, "jobBackendError", ErrorKind::Unavailable),
            (400, "jobInternalError", ErrorKind::Unavailable),
            (400, "tableUnavailable", ErrorKind::Unavailable),
            (429, "rateLimitExceeded", ErrorKind::Throttled(None)),
            (503, "backendError", ErrorKind::Unavailable),
            (500, "internalError", ErrorKind::Unavailable),
            (403, "quotaExceeded", ErrorKind::Denied),
            (403, "accessDenied", ErrorKind::Denied),
            (404, "notFound", ErrorKind::Missing),
            (400, "invalidQuery", ErrorKind::Settings),
            (401, "authError", ErrorKind::Denied),
        ] {
            assert_eq!(answered(status, reason, "words").kind(), kind, "{status} {reason}");
        }
    }

    /// In the words of recorded answers.
    #[test]
    fn a_value_of_a_row_is_never_quoted_and_a_place_in_the_query_is() {
        for (said, told) in [
            ("division by zero: 3 / 0", "division by zero"),
            ("Bad int64 value: zanzibar", "Bad int64 value"),
            ("Invalid date: 'zanzibar'", "Invalid date"),
            ("Function not found: none at [1:8]", "Function not found: none at [1:8]"),
            (
                "Syntax error: Unexpected identifier \"SELEC\" at [1:1]",
                "Syntax error: Unexpected identifier \"SELEC\" at [1:1]",
            ),
        ] {
            assert_eq!(error("invalidQuery", said).message(), told);
        }
        let missing = error("notFound", "Not found: Table p:d.t was not found in location US");
        assert_eq!(missing.message(), "Not found: Table p:d.t was not found in location US");
        assert_eq!(error("invalidQuery", "Unrecognized name: no at [1:8]").kind(), ErrorKind::Missing);
        let busy = "Could not serialize access to table p:d.t due to concurrent update";
        assert_eq!(error("invalidQuery", busy).kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn a_table_that_asks_for_a_condition_says_how_to_give_it() {
        let said = "Cannot query over table 'd.t' without a filter over column(s) 'at' that can be used for partition elimination";
        assert!(error("invalidQuery", said).next_step().contains("`cursor`"));
    }
}
