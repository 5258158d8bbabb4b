//! Answers: JSON with an `ETag`, and pages of lists.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use xxhash_rust::xxh3::xxh3_64;

use super::Problem;

/// How an answer of JSON is cached: by its `ETag` alone.
const CACHE: &str = "private, no-cache";

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T: ToSchema> {
    /// What is on the page.
    pub(crate) data: Vec<T>,
    /// The `after` of the next page; null on the last one.
    pub(crate) next: Option<String>,
}

/// Answers with JSON, or with 304 if the client has it already.
pub(super) fn json<T: Serialize>(asked: &HeaderMap, value: &T) -> Result<Response, Problem> {
    let body = serde_json::to_string(value).map_err(|cause| {
        tracing::error!(%cause, "an answer has no JSON form");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer has no JSON form")
    })?;
    let tag = format!("\"{:016x}\"", xxh3_64(body.as_bytes()));
    let known = asked.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    let is_known = known.split(',').any(|known| known.trim() == tag);
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => json_text(body),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Answers with text that is JSON.
pub(super) fn json_text(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
