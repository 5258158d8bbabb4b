//! The calls we make, one function per endpoint.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use jiff::Timestamp;
use tidegate_model::{Error, ErrorKind, Http, RateLimitStatus, Result, Secret};

use tidegate_transport::http::answer::{self, RequestError};
use tidegate_transport::http::retry_after::{moment, retry_at};

/// The name in sentences for people.
pub(super) const VENDOR: &str = "Braze";

/// One workspace.
pub(super) struct Client {
    http: Arc<dyn Http>,
    key: Secret,
    authorization: HeaderValue,
    track: Uri,
    delete: Uri,
    items: Option<Uri>,
}

impl Client {
    /// A client for the instance at `base`, and for the items of one catalog.
    pub(super) fn new(
        http: Arc<dyn Http>,
        base: &str,
        key: &Secret,
        catalog: Option<&str>,
    ) -> Result<Client> {
        let uri = |path: &str| {
            format!("{base}{path}")
                .parse::<Uri>()
                .map_err(|cause| Error::settings("`endpoint`: this is not an address").caused_by(cause))
        };
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", key.expose()))
            .map_err(|_| Error::settings("`api_key` has characters that no key has"))?;
        authorization.set_sensitive(true);
        Ok(Client {
            http,
            key: key.clone(),
            authorization,
            track: uri("/users/track")?,
            delete: uri("/users/delete")?,
            items: catalog.map(|name| uri(&format!("/catalogs/{name}/items"))).transpose()?,
        })
    }

    /// `POST /users/track`: attributes, events, purchases.
    pub(super) async fn track(&self, body: Bytes) -> Result<Response<Bytes>, RequestError> {
        self.send(Method::POST, &self.track, body).await
    }

    /// `POST /users/delete`: users by identifiers of one kind.
    pub(super) async fn delete_users(&self, body: Bytes) -> Result<Response<Bytes>, RequestError> {
        self.send(Method::POST, &self.delete, body).await
    }

    /// `PUT /catalogs/{name}/items`: items to create or replace.
    pub(super) async fn put_items(&self, body: Bytes) -> Result<Response<Bytes>, RequestError> {
        self.send(Method::PUT, self.items()?, body).await
    }

    /// `DELETE /catalogs/{name}/items`: items to remove.
    pub(super) async fn delete_items(&self, body: Bytes) -> Result<Response<Bytes>, RequestError> {
        self.send(Method::DELETE, self.items()?, body).await
    }

    fn items(&self) -> Result<&Uri, RequestError> {
        self.items.as_ref().ok_or_else(|| RequestError::NoEffect(Error::internal("no catalog was opened")))
    }

    async fn send(&self, method: Method, uri: &Uri, body: Bytes) -> Result<Response<Bytes>, RequestError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.http.send(request).await.map_err(|failure| answer::lost(VENDOR, &failure))?;
        Ok(answer::without(&self.key, answer))
    }
}

/// Reads `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
pub(super) fn rate_limit(headers: &HeaderMap, now: Timestamp) -> Option<RateLimitStatus> {
    let remaining = number(headers, "x-ratelimit-remaining")?;
    Some(RateLimitStatus { remaining: remaining as u64, reset: reset(headers, now)? })
}

/// Returns when the window of the limit ends. Some instances write a fraction.
///
/// Contracts by monthly active users write the seconds that are left, others the time since
/// 1970. Source: Braze docs, POST /users/track, rate limit headers; API rate limits.
fn reset(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    moment(number(headers, "x-ratelimit-reset")?, now)
}

/// Returns when requests are taken again, if the answer says so. A 429 of contracts by
/// monthly active users has `X-Ratelimit-Retry-After` and no other header of the limit.
fn until(answer: &Response<Bytes>, now: Timestamp) -> Option<Timestamp> {
    let headers = answer.headers();
    let throttled = answer.status() == StatusCode::TOO_MANY_REQUESTS;
    retry_at(headers, now).or_else(|| reset(headers, now).filter(|_| throttled))
}

fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok().filter(|number: &f64| *number >= 0.0)
}

/// Returns the same refusal in other words.
fn said_again(error: &Error, message: String) -> Error {
    Error::new(error.kind(), message).words(error.said().unwrap_or_default())
}

/// Reads an answer that is neither a success nor a list of bad items.
///
/// `permission` is what the key needs for this call.
pub(super) fn request_error(answer: &Response<Bytes>, permission: &str, now: Timestamp) -> RequestError {
    let request_error = answer::request_error(VENDOR, answer, until(answer, now));
    let RequestError::NoEffect(error) = request_error else { return request_error };
    let hint = match (error.kind(), answer.status().as_u16()) {
        (ErrorKind::Denied, 401) => {
            let refused = format!("{VENDOR} refused the API key: it answered 401");
            return RequestError::NoEffect(said_again(&error, refused).hint(
                "enter an API key that is valid at this endpoint as `api_key`, \
                 from Settings → APIs and Identifiers; keys belong to one instance",
            ));
        }
        (ErrorKind::Denied, _) => {
            let denied = format!("{VENDOR} denied the request to the API key: it answered 403");
            return RequestError::NoEffect(said_again(&error, denied).hint(format!(
                "give the API key the permission `{permission}`, \
                 and allow this machine's address if the key has an allow list"
            )));
        }
        (ErrorKind::Missing, _) if permission.starts_with("catalogs") => {
            "create the catalog at Braze (Data Settings → Catalogs), in the sandbox with `POST /catalogs`, \
             or correct `destination.catalog`"
                .to_owned()
        }
        (ErrorKind::Missing, _) => "correct `endpoint`: it is the REST endpoint of your instance".to_owned(),
        _ => return RequestError::NoEffect(error),
    };
    RequestError::NoEffect(error.hint(hint))
}
