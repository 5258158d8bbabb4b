//! Refusals in Pinpoint's shape.
//!
//! Source: Amazon Pinpoint API reference: every call declares the same seven
//! errors, each with `Message` and `RequestID`; the type is in a header.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use tidegate_model::Error;
use uuid::Uuid;

use tidegate_transport::http::ingest;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

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

/// Our own storage failed: clients try again after 429 and 5xx.
impl From<&Error> for ErrorResponse {
    fn from(error: &Error) -> ErrorResponse {
        let status = ingest::status_of(error);
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => "TooManyRequestsException",
            StatusCode::PAYLOAD_TOO_LARGE => "PayloadTooLargeException",
            _ => "InternalServerErrorException",
        };
        ErrorResponse::of(status, kind, "The request could not be stored; send it again")
    }
}

/// An answer whose body knows the request's id.
pub(super) fn answer(status: StatusCode, body: impl FnOnce(&str) -> Value) -> Response<Bytes> {
    let id = Uuid::new_v4().to_string();
    let mut answer = ingest::json(status, &body(&id));
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    answer
}
