//! Channels that take one POST of JSON.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use http::request::Builder;
use serde_json::Value;
use tidegate_model::{Error, ErrorKind, Http, Secret};

/// How much of an answer is repeated in an error.
const EXCERPT_CHARS_MAX: usize = 200;

/// Posts JSON. Every 2xx counts as accepted. The address is not repeated in errors: it may be a secret.
///
/// # Errors
/// If it is not accepted, or that is not known.
pub(crate) async fn json(
    http: &Arc<dyn Http>,
    receiver: &str,
    request: Builder,
    body: &Value,
) -> Result<(), Error> {
    send(http, receiver, request.header(CONTENT_TYPE, "application/json"), body.to_string().into()).await
}

/// The same for a body that is made already.
pub(crate) async fn send(
    http: &Arc<dyn Http>,
    receiver: &str,
    request: Builder,
    body: Bytes,
) -> Result<(), Error> {
    let request = request.body(body).map_err(|cause| {
        Error::settings(format!("{receiver}: its address or a header cannot be used")).caused_by(cause)
    })?;
    let answer = http.send(request).await.map_err(|failure| match failure.untrusted() {
        Some(error) => error.context(receiver),
        None => {
            Error::new(ErrorKind::Unavailable, format!("{receiver} cannot be reached: {}", failure.why()))
                .hint("check the address of the channel and the network; it is sent again")
        }
    })?;
    if answer.status().is_success() {
        return Ok(());
    }
    let status = answer.status().as_u16();
    let said = String::from_utf8_lossy(answer.body());
    let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let said: String = said.chars().take(EXCERPT_CHARS_MAX).collect();
    let message = match said.is_empty() {
        true => format!("{receiver} answered {status}"),
        false => format!("{receiver} answered {status}: {said}"),
    };
    Err(Error::new(ErrorKind::Unavailable, message).hint("correct the settings of the channel"))
}

/// Checks an address that is a secret, so that no schema judges it.
///
/// # Errors
/// If it is none, with this hint.
pub(crate) fn check_address(url: &Secret, hint: &str) -> Result<(), Error> {
    let address = url.expose().parse::<http::Uri>().ok();
    let is_web = |uri: &http::Uri| matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some();
    match address.as_ref().is_some_and(is_web) {
        true => Ok(()),
        false => Err(Error::settings("`url`: this is not an address").hint(hint)),
    }
}

/// Begins a POST to an address.
pub(crate) fn to(address: &str) -> Builder {
    Request::post(address)
}
