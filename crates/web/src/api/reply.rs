//! Answers: JSON with an `ETag`, and pages of lists.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use xxhash_rust::xxh3::xxh3_64;

use super::Problem;
use super::runs::page_size;

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

/// Which part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Part {
    /// The `next` of the page before.
    pub(crate) after: Option<String>,
    /// At most this many: 50 if it is left out, 500 at most.
    pub(crate) limit: Option<u32>,
}

impl<T: ToSchema> Page<T> {
    /// Makes a page of up to `limit` items, of which one more was read if there are more.
    pub(crate) fn of<I: Into<T>>(mut items: Vec<I>, limit: usize, after: impl Fn(&I) -> String) -> Page<T> {
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(after);
        Page { data: items.into_iter().map(Into::into).collect(), next }
    }

    /// Makes a page of a list whose items have names.
    ///
    /// # Errors
    /// If `after` is the name of no item.
    pub(crate) fn named<I: Into<T>>(
        items: Vec<I>,
        part: &Part,
        name: impl Fn(&I) -> &str,
    ) -> Result<Page<T>, Problem> {
        let first = match &part.after {
            None => 0,
            Some(after) => 1 + items.iter().position(|item| name(item) == after).ok_or_else(no_position)?,
        };
        let limit = page_size(part.limit);
        let items: Vec<I> = items.into_iter().skip(first).take(limit + 1).collect();
        Ok(Page::of(items, limit, |item| name(item).to_owned()))
    }
}

/// The answer to an `after` that is no position.
pub(crate) fn no_position() -> Problem {
    Problem::invalid("`after` is not the `next` of a page").remedy("leave it out to get the first page")
}

/// Reads `after`.
///
/// # Errors
/// If it is no position.
pub(crate) fn read_position<T>(
    after: Option<&str>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    after.map(|after| read(after).ok_or_else(no_position)).transpose()
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
