//! What Databricks says when something does not work, for people.
//!
//! An error class in brackets, an SQLSTATE and a sentence form one text:
//! `[TABLE_OR_VIEW_NOT_FOUND] The table … cannot be found. SQLSTATE: 42P01`. A sentence of class 22
//! may quote a value and is left out.

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::Value;
use tidegate_model::{Error, ErrorKind, HttpFailure};
use tidegate_transport::http::answer::{self, RequestError, excerpt};
use tidegate_transport::http::retry_after::retry_at;

use super::client::VENDOR;
use super::grants;

/// Codes of work that may go better the next time. Source: Databricks SDK, `service/sql.py`,
/// `ServiceErrorCode`.
const TRANSIENT: &[&str] = &[
    "ABORTED",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "INTERNAL_ERROR",
    "IO_ERROR",
    "RESOURCE_EXHAUSTED",
    "SERVICE_UNDER_MAINTENANCE",
    "TEMPORARILY_UNAVAILABLE",
    "WORKSPACE_TEMPORARILY_UNAVAILABLE",
];

/// Returns the code of a refusal: a word, or a number as text.
fn code_of(answered: &Response<Bytes>) -> String {
    let body: Value = serde_json::from_slice(answered.body()).unwrap_or_default();
    match body.get("error_code") {
        Some(Value::String(code)) => code.clone(),
        Some(Value::Number(code)) => code.to_string(),
        _ => String::new(),
    }
}

fn message_of(answered: &Response<Bytes>) -> String {
    let body: Value = serde_json::from_slice(answered.body()).unwrap_or_default();
    body.get("message").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns whether a refusal is about the token, not about what was asked for.
///
/// Source: recorded answers: 401 `Credential was not sent …`, 403 `Invalid access token.`
pub fn is_about_token(answered: &Response<Bytes>) -> bool {
    let said = excerpt(answered.body()).to_lowercase();
    answered.status() == http::StatusCode::UNAUTHORIZED
        || (said.contains("token") && (said.contains("invalid") || said.contains("expired")))
}

/// Converts an unsuccessful answer.
pub fn request_error(answered: &Response<Bytes>, is_principal: bool, now: Timestamp) -> RequestError {
    let error = answer::request_error(VENDOR, answered, retry_at(answered.headers(), now));
    let code = code_of(answered);
    match error {
        RequestError::NoEffect(error) if error.kind() == ErrorKind::Denied && is_about_token(answered) => {
            RequestError::NoEffect(error.hint(match is_principal {
                true => "make a new OAuth secret for the service principal and set `client_secret`",
                false => "the token is wrong, revoked or expired: make a new one and set `token`, or use a service principal",
            }))
        }
        RequestError::NoEffect(error) => RequestError::NoEffect(match code.as_str() {
            "RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND" | "CATALOG_DOES_NOT_EXIST" | "SCHEMA_DOES_NOT_EXIST"
            | "TABLE_DOES_NOT_EXIST" | "VOLUME_DOES_NOT_EXIST" => {
                Error::new(ErrorKind::Missing, error.message())
            }
            "PERMISSION_DENIED" => match grants::refused(&message_of(answered)) {
                Some(refused) => {
                    Error::new(ErrorKind::Denied, refused.sentence()).hint(refused.remedy(None))
                }
                None => error,
            },
            code if error.kind() == ErrorKind::Rejected && !code.is_empty() => {
                let sentence = format!("{}, {code}", error.message());
                Error::new(ErrorKind::Settings, sentence)
                    .words(excerpt(answered.body()))
                    .hint("correct the setting or the query: run the query in the SQL editor of the workspace")
            }
            code if TRANSIENT.contains(&code) => Error::new(ErrorKind::Unavailable, error.message())
                .not_before(error.acceptable_at()),
            _ => error,
        }),
        unknown => unknown,
    }
}

/// Returns the failure to reach the storage that holds results.
pub fn download_lost(host: &str, failure: &HttpFailure) -> Error {
    if let Some(untrusted) = failure.untrusted() {
        return untrusted.context("a part of the result cannot be fetched");
    }
    let why = failure.why();
    Error::new(ErrorKind::Unavailable, format!("a part of the result cannot be fetched from {host}: {why}"))
        .hint(format!(
            "results come from the workspace's cloud storage: let connections to {host} through the firewall"
        ))
}

/// Returns the error for an answer that has not the documented form.
pub fn unreadable(what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("{VENDOR} sent {what} that is not the documented one"))
}

/// Converts the error of a statement that ended without success.
///
/// `doing` starts the sentence; `principal` is who has to be granted something.
pub fn statement(doing: &str, code: &str, message: &str, principal: Option<&str>) -> Error {
    let class = class_of(message);
    let state = sqlstate_of(message);
    let says_values = state.is_some_and(|state| state.starts_with("22"));
    let said = match (says_values, class) {
        (true, Some(class)) => format!("{class}: a value does not fit"),
        (true, None) => "a value does not fit".to_owned(),
        (false, _) => sentence(message),
    };
    let error = |kind| Error::new(kind, format!("{doing}: {said}"));
    if let Some(refused) = grants::refused(message) {
        return Error::new(ErrorKind::Denied, format!("{doing}: {}", refused.sentence()))
            .hint(refused.remedy(principal));
    }
    match (class.unwrap_or_default(), state.unwrap_or_default()) {
        (class, _) if class.starts_with("DELTA_CONCURRENT") || class.starts_with("CONCURRENT") => {
            error(ErrorKind::Unavailable)
        }
        ("INSUFFICIENT_PERMISSIONS" | "PERMISSION_DENIED", _) | (_, "42501") => error(ErrorKind::Denied)
            .hint("grant the privilege that the sentence names, then run `tidegate check`"),
        (class, state)
            if class.ends_with("_NOT_FOUND") || class.starts_with("NO_SUCH") || state == "42P01" =>
        {
            error(ErrorKind::Missing)
        }
        (class, "42703") if class.starts_with("UNRESOLVED_COLUMN") => error(ErrorKind::Missing),
        (_, state) if says_values || state.starts_with("42") => error(ErrorKind::Settings)
            .hint("correct the statement: run it in the SQL editor of the workspace"),
        _ if TRANSIENT.contains(&code) => error(ErrorKind::Unavailable),
        _ if code == "NOT_FOUND" => error(ErrorKind::Missing),
        _ if code == "UNAUTHENTICATED" => error(ErrorKind::Denied),
        _ if code == "BAD_REQUEST" && class.is_some() => error(ErrorKind::Settings),
        _ => error(ErrorKind::Unexpected),
    }
}

/// Returns the error class: `TABLE_OR_VIEW_NOT_FOUND`.
fn class_of(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once('[')?;
    let (class, _) = rest.split_once(']')?;
    let is_class = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_.".contains(&byte);
    let class = class.split('.').next().unwrap_or_default();
    Some(class).filter(|class| !class.is_empty() && class.bytes().all(is_class))
}

fn sqlstate_of(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("SQLSTATE: ")?;
    rest.get(..5)
}

/// Returns the first sentence of a message, without the statement that follows it.
fn sentence(message: &str) -> String {
    let said = message.split("== SQL").next().unwrap_or_default();
    let said = said.split("SQLSTATE: ").next().unwrap_or_default();
    excerpt(said.as_bytes()).trim_end_matches(['(', ' ', ';']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &str, message: &str) -> ErrorKind {
        statement("reading t", code, message, None).kind()
    }

    /// As recorded, but for the names.
    #[test]
    fn a_failed_statement_says_its_kind_by_class_and_state() {
        let syntax = "\n[PARSE_SYNTAX_ERROR] Syntax error at or near 'INSER'. SQLSTATE: 42601 (line 1, pos 0)\n\n== SQL ==\nINSER INTO t\n^^^\n";
        let error = statement("reading t", "BAD_REQUEST", syntax, None);
        assert_eq!(error.kind(), ErrorKind::Settings);
        assert_eq!(error.message(), "reading t: [PARSE_SYNTAX_ERROR] Syntax error at or near 'INSER'.");
        let missing = "[TABLE_OR_VIEW_NOT_FOUND] The table or view `a`.`b` cannot be found. SQLSTATE: 42P01";
        assert_eq!(kind("BAD_REQUEST", missing), ErrorKind::Missing);
        assert_eq!(kind("INTERNAL_ERROR", "warehouse was stopped"), ErrorKind::Unavailable);
        assert_eq!(kind("BAD_REQUEST", "[DELTA_CONCURRENT_APPEND] again"), ErrorKind::Unavailable);
        assert_eq!(kind("UNKNOWN", "?"), ErrorKind::Unexpected);
    }

    #[test]
    fn a_missing_grant_comes_with_its_statement() {
        let message = "[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\nUser does not have USE CATALOG on Catalog 'system'. SQLSTATE: 42501";
        let error = statement("reading t", "BAD_REQUEST", message, Some("app"));
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(error.next_step(), "GRANT USE CATALOG ON CATALOG `system` TO `app`;");
    }

    #[test]
    fn a_value_of_a_row_is_never_quoted() {
        let message = "[CAST_INVALID_INPUT] The value 'zanzibar' of the type \"STRING\" cannot be cast. SQLSTATE: 22018";
        let error = statement("reading t", "BAD_REQUEST", message, None);
        assert_eq!(error.message(), "reading t: CAST_INVALID_INPUT: a value does not fit");
    }

    #[test]
    fn an_error_code_may_be_a_number() {
        let answered = |status: u16, body: &'static str| {
            Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).unwrap()
        };
        let invalid = answered(403, r#"{"error_code":403,"message":"Invalid access token."}"#);
        assert!(is_about_token(&invalid));
        let RequestError::NoEffect(error) = request_error(&invalid, false, Timestamp::UNIX_EPOCH) else {
            panic!()
        };
        assert_eq!(error.kind(), ErrorKind::Denied);
        let gone = answered(400, r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no such warehouse"}"#);
        let RequestError::NoEffect(error) = request_error(&gone, false, Timestamp::UNIX_EPOCH) else {
            panic!()
        };
        assert_eq!(error.kind(), ErrorKind::Missing);
    }
}
