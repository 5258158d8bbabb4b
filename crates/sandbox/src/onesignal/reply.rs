//! The answers of the API in OneSignal's words.
//!
//! The official SDKs need a content type on every answer and a JSON object in
//! every success.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use tidegate_model::Error;

use super::journey::Happened;
use super::route::Route;

/// One answer.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    body: Bytes,
    content_type: &'static str,
    retry_after: Option<u32>,
    happened: Vec<Happened>,
}

/// Why a request ends without effect.
#[derive(Debug)]
pub(super) enum Stop {
    /// The vendor would refuse it.
    Refused(Reply),
    /// Our own storage failed.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl Stop {
    /// 400 in the plain shape: a list of sentences.
    pub(super) fn bad(message: impl Into<String>) -> Stop {
        Stop::Refused(Reply::errors(StatusCode::BAD_REQUEST, &message.into()))
    }

    /// 404 for a user that is not there.
    pub(super) fn no_such_user() -> Stop {
        Stop::Refused(Reply::titled(StatusCode::NOT_FOUND, "user-1", "User not found", &Value::Null))
    }

    /// 409 with the aliases that belong to another user.
    pub(super) fn conflict(label: &str, name: &str) -> Stop {
        let meta = json!({ "conflicting_aliases": { label: name } });
        let title = "One or more Aliases claimed by another User";
        Stop::Refused(Reply::titled(StatusCode::CONFLICT, "user-2", title, &meta))
    }

    /// 409 when something has its documented number of parts already.
    pub(super) fn full(title: &str) -> Stop {
        Stop::Refused(Reply::titled(StatusCode::CONFLICT, "limit-1", title, &Value::Null))
    }

    /// 413.
    pub(super) fn too_large() -> Stop {
        Stop::Refused(Reply::errors(StatusCode::PAYLOAD_TOO_LARGE, "Request body is larger than 1 MB"))
    }
}

impl Reply {
    /// A JSON object.
    pub(super) fn new(status: StatusCode, body: &Value) -> Reply {
        let body = Bytes::from(body.to_string());
        Reply { status, body, content_type: "application/json", retry_after: None, happened: Vec::new() }
    }

    /// Lines of JSON.
    pub(super) fn lines(lines: String) -> Reply {
        Reply {
            status: StatusCode::OK,
            body: lines.into(),
            content_type: "application/x-ndjson",
            retry_after: None,
            happened: Vec::new(),
        }
    }

    /// The answer to custom events of which these took effect.
    pub(super) fn with_happened(self, happened: Vec<Happened>) -> Reply {
        Reply { happened, ..self }
    }

    /// The custom events that took effect.
    pub(super) fn take_happened(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.happened)
    }

    fn errors(status: StatusCode, message: &str) -> Reply {
        Reply::new(status, &json!({ "errors": [message] }))
    }

    fn titled(status: StatusCode, code: &str, title: &str, meta: &Value) -> Reply {
        let mut error = json!({ "code": code, "title": title });
        if !meta.is_null() {
            error["meta"] = meta.clone();
        }
        Reply::new(status, &json!({ "errors": [error] }))
    }

    /// 401: a list of sentences, and by the Users API an error with its code.
    ///
    /// Source: OneSignal SDKs, `INVALID_API_KEY`; OneSignal docs, Update user, response 401.
    pub(super) fn access_denied(route: &Route) -> Reply {
        if route.is_about_a_user() {
            let title = "This operation requires 'Authorization' in the HTTP header";
            return Reply::titled(StatusCode::UNAUTHORIZED, "auth-1", title, &Value::Null);
        }
        Reply::errors(
            StatusCode::UNAUTHORIZED,
            "Access denied.  Please include an 'Authorization: ...' header with a valid API key \
             (https://documentation.onesignal.com/docs/en/keys-and-ids#api-keys).",
        )
    }

    /// 429, acceptable again after a second.
    pub(super) fn slow_down() -> Reply {
        let body = json!({ "errors": ["API rate limit exceeded"], "limit": "App ID" });
        Reply { retry_after: Some(1), ..Reply::new(StatusCode::TOO_MANY_REQUESTS, &body) }
    }

    /// 503.
    pub(super) fn unavailable() -> Reply {
        Reply::errors(StatusCode::SERVICE_UNAVAILABLE, "Service temporarily unavailable")
    }

    /// 500.
    pub(super) fn failed() -> Reply {
        Reply::errors(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    }

    /// 404 for what this API does not have.
    pub(super) fn no_such_path() -> Reply {
        Reply::errors(StatusCode::NOT_FOUND, "Not found")
    }

    /// The answer to a message, which goes nowhere.
    pub(super) fn notified() -> Reply {
        Reply::new(StatusCode::OK, &json!({ "id": uuid::Uuid::new_v4().to_string(), "external_id": null }))
    }

    /// The answer as HTTP has it.
    pub(super) fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
