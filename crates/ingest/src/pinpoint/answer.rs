//! Refusals in Pinpoint's shape.
//!
//! Source: Amazon Pinpoint API reference: every call declares the same seven
//! errors, each with `Message` and `RequestID`; the type is in a header.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use tidegate_model::Error;
use uuid::Uuid;

use tidegate_transport::http::ingest;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// Headers of answers that a page may read.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after,x-amzn-errortype,x-amzn-requestid");
/// Headers of requests that AWS clients send.
const USUAL: HeaderValue = HeaderValue::from_static(
    "amz-sdk-invocation-id,amz-sdk-request,authorization,content-type,x-amz-content-sha256,x-amz-date,\
     x-amz-security-token,x-amz-user-agent",
);

/// Why a request ends without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErrorResponse {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl ErrorResponse {
    /// 400: what is wrong with the request.
    pub(super) fn bad(message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::of(StatusCode::BAD_REQUEST, "BadRequestException", message)
    }

    /// 403 of the kind that the signature calls for.
    pub(super) fn forbidden(kind: &'static str, message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::of(StatusCode::FORBIDDEN, kind, message)
    }

    /// 404.
    pub(super) fn missing(message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::of(StatusCode::NOT_FOUND, "NotFoundException", message)
    }

    /// 405.
    pub(super) fn method() -> ErrorResponse {
        let message = "The method is not allowed for this resource";
        ErrorResponse::of(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowedException", message)
    }

    /// 413.
    pub(super) fn too_large(message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::of(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLargeException", message)
    }

    fn of(status: StatusCode, kind: &'static str, message: impl Into<String>) -> ErrorResponse {
        ErrorResponse { status, kind, message: message.into() }
    }

    /// Returns the HTTP response.
    pub(super) fn into_response(self) -> Response<Bytes> {
        let mut answer = answer(self.status, |id| json!({ "Message": self.message, "RequestID": id }));
        answer.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(self.kind));
        answer
    }
}

/// The request cannot be taken: clients try again after 429 and 5xx.
impl From<&Error> for ErrorResponse {
    fn from(error: &Error) -> ErrorResponse {
        let status = ingest::status_of(error);
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => "TooManyRequestsException",
            StatusCode::PAYLOAD_TOO_LARGE => "PayloadTooLargeException",
            StatusCode::BAD_REQUEST => "BadRequestException",
            _ => "InternalServerErrorException",
        };
        let message = ingest::fault_of(error);
        ErrorResponse::of(
            status,
            kind,
            message.unwrap_or("The request could not be stored; send it again".to_owned()),
        )
    }
}

/// An answer whose body knows the request's id.
pub(super) fn answer(status: StatusCode, body: impl FnOnce(&str) -> Value) -> Response<Bytes> {
    let id = Uuid::new_v4().to_string();
    let mut answer = ingest::json(status, &body(&id));
    let headers = answer.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    answer
}

/// The answer to a browser that asks whether a page may send a request. What the
/// page may do is decided by the request's signature, not by where the page is from.
///
/// Source: Fetch standard, CORS protocol; `*` does not cover `authorization`, so
/// the headers that were asked for are named.
pub(super) fn preflight(asked: &HeaderMap) -> Response<Bytes> {
    let mut answer = answer(StatusCode::OK, |_| json!({}));
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("DELETE,GET,OPTIONS,POST,PUT"));
    let wanted = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.unwrap_or(USUAL));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("172800"));
    answer
}
