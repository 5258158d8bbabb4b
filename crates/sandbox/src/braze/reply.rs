//! Answers: every one is JSON and has a `message`, as the official clients expect.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

/// An answer with this body.
pub(super) fn reply(status: u16, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer with nothing but a message.
pub(super) fn message(status: u16, text: &str) -> Response<Bytes> {
    reply(status, &json!({ "message": text }))
}

/// Returns an error response of the catalogs API.
///
/// Source: Braze docs, Catalogs, "Troubleshooting".
pub(super) fn catalog_error(
    status: u16,
    id: &str,
    text: &str,
    parameter: &str,
    value: &str,
) -> Response<Bytes> {
    let error = json!({
        "id": id, "message": text, "parameters": [parameter], "parameter_values": [value],
    });
    reply(status, &json!({ "errors": [error], "message": "Invalid Request" }))
}
