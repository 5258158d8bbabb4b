//! What Snowflake says when something does not work, for people.
//!
//! Source: Snowflake docs, SQL API reference: a refusal has a code of six digits and a sentence, a statement
//! that failed an SQLSTATE besides. A sentence of class 22 may quote a value and is left out.

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_model::{Error, ErrorKind};
use tidegate_transport::http::answer::{self, RequestError, excerpt};
use tidegate_transport::http::retry_after::retry_at;
use tidegate_transport::sql::quote;

use super::client::VENDOR;

/// No warehouse is there to run a statement: none was named, it may not be used, or it does not resume
/// automatically.
pub const NO_WAREHOUSE: &str = "000606";
/// Source: Snowflake docs, SQL API reference: the result is too large, and not complete.
pub const INCOMPLETE: &str = "391908";
/// A file of a stage is not there for Snowflake. Source: sentences quoted in snowflakedb/snowflake-connector-python.
const REMOTE_FILE: &str = "091016";
/// The role is not granted to the user. Source: sentences quoted in snowflakedb/snowflake-connector-python.
const NO_ROLE: &[&str] = &["390186", "390189"];
/// The address of this machine is not allowed. Source: Snowflake docs, "Network policies".
const NETWORK: &[&str] = &["390420", "390422", "390432"];
/// The token has ended or does not count any more, whatever the status. Source: `network.py` of
/// snowflakedb/snowflake-connector-python; answers quoted in issues of rinsed-org/rb-snowflake-client.
const NO_TOKEN: &[&str] = &["390144", "390198", "390303", "390318", "394301"];
/// The statement was cancelled, ran out of time, or lost its warehouse.
const TRANSIENT: &[&str] = &["000604", "000630", "000608", "000603", "000625"];

/// What a statement that failed says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failure {
    /// A code of six digits.
    pub code: String,
    /// The sentence.
    pub message: String,
    /// The SQLSTATE.
    pub sql_state: String,
}

/// Returns whether an answer is about a statement, not about the request: 408 and 422.
pub fn is_of_statement(answered: &Response<Bytes>) -> bool {
    matches!(answered.status(), StatusCode::UNPROCESSABLE_ENTITY | StatusCode::REQUEST_TIMEOUT)
}

/// Returns whether an answer refuses the token of its request, which then had no effect.
pub fn is_of_token(answered: &Response<Bytes>) -> bool {
    if answered.status() == StatusCode::UNAUTHORIZED {
        return true;
    }
    let refusal: Failure = match answered.status().is_client_error() && !is_of_statement(answered) {
        true => serde_json::from_slice(answered.body()).unwrap_or_default(),
        false => return false,
    };
    NO_TOKEN.contains(&refusal.code.as_str())
}

/// Converts a refusal. `remedy` is what to do if the login is refused.
pub fn request_error(
    answered: &Response<Bytes>,
    remedy: &str,
    role: Option<&str>,
    now: Timestamp,
) -> RequestError {
    let failure: Failure = serde_json::from_slice(answered.body()).unwrap_or_default();
    let code = failure.code.as_str();
    let error = match answer::request_error(VENDOR, answered, retry_at(answered.headers(), now)) {
        RequestError::NoEffect(error) => error,
        unknown => return unknown,
    };
    let said = |sentence: String| Error::new(ErrorKind::Denied, sentence).words(excerpt(answered.body()));
    RequestError::NoEffect(if NO_ROLE.contains(&code) {
        let role = role.unwrap_or_default();
        said(format!("the role {role} is not granted to the user")).hint(format!(
            "GRANT ROLE {} TO USER <user>; names in lower case have to be quoted in `role`",
            quote(role)
        ))
    } else if NETWORK.contains(&code) {
        said(format!("{VENDOR} does not allow connections from the address of this machine"))
            .hint("add the address to the network policy of the user or of the account")
    } else if is_of_token(answered) {
        said(format!("{VENDOR} refuses the login")).hint(remedy)
    } else if answered.status() == StatusCode::FORBIDDEN {
        error.hint("compare `account`, and the network policies of the user and of the account")
    } else if answered.status() == StatusCode::NOT_FOUND {
        error.hint("compare `account` with Snowsight: your name > Account > View account details")
    } else if error.kind() == ErrorKind::Rejected && !code.is_empty() {
        Error::new(ErrorKind::Settings, format!("{}, {code}", error.message()))
            .words(excerpt(answered.body()))
    } else {
        error
    })
}

/// Returns the error for an answer that has not the documented form.
pub fn unreadable(what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("{VENDOR} sent {what} that is not the documented one"))
}

/// Converts the error of a statement that failed. `doing` starts the sentence.
pub fn statement(doing: &str, failure: &Failure) -> Error {
    let Failure { code, message, sql_state } = failure;
    let says_values = sql_state.starts_with("22");
    let said = if says_values { format!("a value does not fit ({code})") } else { sentence(message) };
    let error = |kind| Error::new(kind, format!("{doing}: {said}"));
    match (code.as_str(), sql_state.as_str()) {
        (NO_WAREHOUSE, _) => Error::new(ErrorKind::Denied, format!("{doing}: no warehouse may be used"))
            .hint("set `warehouse`, and grant USAGE on it to the role: `tidegate check` names what is missing"),
        ("000604", _) => error(ErrorKind::Unavailable).hint("the statement was cancelled; it is retried automatically"),
        ("000630", _) => error(ErrorKind::Unavailable)
            .hint("raise STATEMENT_TIMEOUT_IN_SECONDS of the warehouse, or read less at once"),
        (code, _) if TRANSIENT.contains(&code) => error(ErrorKind::Unavailable),
        ("003001", _) | (_, "42501") => error(ErrorKind::Denied)
            .hint("grant the privilege to the role: `tidegate check` names what is missing"),
        ("002003" | "002043", _) | (_, "42S02") => error(ErrorKind::Missing)
            .hint("compare the name and its case, and the privileges of the role: `tidegate check` tells which it is"),
        ("000904", _) => error(ErrorKind::Missing),
        (REMOTE_FILE, _) => error(ErrorKind::Settings).hint(
            "the `URL` of the stage and `stage.folder.path` have to be the same folder, and its storage integration may read it",
        ),
        ("390201", _) => error(ErrorKind::Missing).hint("compare `database` and `schema`"),
        (_, state) if says_values || state.starts_with("42") => {
            error(ErrorKind::Settings).hint("correct the statement: run it in a worksheet of Snowsight")
        }
        _ => error(ErrorKind::Unexpected),
    }
}

/// Returns what a refusal says does not exist or is not authorized: `SHOP.PUBLIC.ORDERS`.
pub fn unauthorized(message: &str) -> Option<Vec<String>> {
    let (before, _) = message.split_once("' does not exist or not authorized")?;
    let (_, name) = before.rsplit_once('\'')?;
    tidegate_transport::sql::selection::parts(name, '"')
}

/// Returns a message on one line, without what says only that it is one.
fn sentence(message: &str) -> String {
    let said =
        message.trim_start_matches("SQL compilation error:").trim_start_matches("SQL access control error:");
    excerpt(said.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str, state: &str, message: &str) -> Failure {
        Failure { code: code.to_owned(), message: message.to_owned(), sql_state: state.to_owned() }
    }

    /// As documented, and as issues quote them.
    #[test]
    fn a_failed_statement_says_its_kind_by_code_and_state() {
        for (code, state, message, kind) in [
            (
                "000904",
                "42000",
                "SQL compilation error: error line 1 at position 7\ninvalid identifier 'AFAF'",
                ErrorKind::Missing,
            ),
            (
                "002003",
                "42S02",
                "SQL compilation error:\nObject 'A.B.C' does not exist or not authorized.",
                ErrorKind::Missing,
            ),
            (
                "003001",
                "42501",
                "SQL access control error:\nInsufficient privileges to operate on table 'T'",
                ErrorKind::Denied,
            ),
            (
                "001003",
                "42000",
                "SQL compilation error:\nsyntax error line 1 at position 0 unexpected 'SELEC'.",
                ErrorKind::Settings,
            ),
            (
                "000630",
                "57014",
                "Statement reached its statement or warehouse timeout of 5 second(s) and was canceled.",
                ErrorKind::Unavailable,
            ),
            ("000606", "57P03", "No active warehouse selected in the current session.", ErrorKind::Denied),
            ("999999", "XX000", "?", ErrorKind::Unexpected),
        ] {
            let error = statement("reading t", &failure(code, state, message));
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(!error.message().contains("SQL compilation"), "{error}");
        }
    }

    #[test]
    fn a_value_of_a_row_is_never_quoted() {
        let error =
            statement("reading t", &failure("100038", "22018", "Numeric value 'zanzibar' is not recognized"));
        assert_eq!(error.message(), "reading t: a value does not fit (100038)");
    }

    #[test]
    fn a_refusal_says_whether_role_network_or_login_is_the_cause() {
        let said = |status: u16, body: &'static str| {
            let answered =
                Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).unwrap();
            let RequestError::NoEffect(error) =
                request_error(&answered, "renew the key", Some("R"), Timestamp::UNIX_EPOCH)
            else {
                panic!()
            };
            assert_eq!(error.kind(), ErrorKind::Denied);
            format!("{}. {}", error.message(), error.next_step())
        };
        let jwt = said(401, r#"{"code":"390144","message":"JWT token is invalid. [7fb8]"}"#);
        assert_eq!(jwt, "Snowflake refuses the login. renew the key");
        let role = said(
            403,
            r#"{"code":"390189","message":"Role 'R' specified in the connect string is not granted to this user."}"#,
        );
        assert!(
            role.starts_with("the role R is not granted to the user. GRANT ROLE \"R\" TO USER"),
            "{role}"
        );
        let network = said(
            403,
            r#"{"code":"390422","message":"Incoming request with IP/Token 192.0.2.1 is not allowed to access Snowflake."}"#,
        );
        assert!(network.contains("network policy"), "{network}");
    }

    #[test]
    fn what_is_not_authorized_is_found_in_the_sentence() {
        let names = |message| unauthorized(message).map(|names| names.join("/"));
        assert_eq!(
            names("Object 'SHOP.\"a.b\".ORDERS' does not exist or not authorized."),
            Some("SHOP/a.b/ORDERS".into())
        );
        assert_eq!(names("Database 'SHOP' does not exist or not authorized."), Some("SHOP".into()));
        assert_eq!(names("invalid identifier 'A'"), None);
    }
}
