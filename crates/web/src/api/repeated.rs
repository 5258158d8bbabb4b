//! `Idempotency-Key`: a write that is sent twice takes effect once, and both get the same answer.
//!
//! By draft-ietf-httpapi-idempotency-key-header: another request under the same key is answered 422, a
//! repetition that comes while the first is being answered 409.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_engine::service::{Engine, Repetition, Visitor, without_row_values};
use tidegate_model::answers::KeptAnswer;

use super::Problem;
use crate::access::NotNoted;

/// The header of a request that may be sent twice.
const KEY: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
pub(super) const KEY_LENGTH_MAX: usize = 255;
/// The largest body of such a request, and of an answer to it.
const BYTES_MAX: usize = 2 << 20;

/// Answers a repetition with what was answered first; passes everything else on.
pub(super) async fn answer_once(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    match once(engine, request, next).await {
        Ok(answer) => answer,
        Err(problem) => problem.into_response(),
    }
}

async fn once(engine: Arc<Engine>, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let key = key_of(&parts)?;
    let body = axum::body::to_bytes(body, BYTES_MAX).await.map_err(|_| {
        let why = "the body is larger than 2 MiB, or ended early";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", why).remedy("send less at once")
    })?;
    let (who, rows) = match parts.extensions.get::<Visitor>() {
        Some(visitor) => (visitor.name.clone(), visitor.rows),
        None => (String::new(), false),
    };
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let asked = [parts.uri.path().as_bytes(), query, &body];
    let name = match engine.begin_request(&who, &key, &asked).await? {
        Repetition::First(name) => name,
        Repetition::Answered(answer) => return Ok(replayed(answer)),
        Repetition::UnderWay => {
            let why = "a request with this `Idempotency-Key` is being answered";
            return Err(Problem::new(StatusCode::CONFLICT, "under_way", why)
                .remedy("send it again in a few seconds: then it gets the answer of the first"));
        }
        Repetition::CutOff => {
            let why =
                "a request with this `Idempotency-Key` began, and the server ended before it was answered";
            return Err(Problem::new(StatusCode::CONFLICT, "cut_off", why)
                .remedy("see what became of it (GET /api/v1/runs), and send what is left under a new key"));
        }
        Repetition::Another => {
            let why = "this `Idempotency-Key` came with another request in the last 24 hours";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key_of_another_request", why)
                .remedy(
                    "make a new key for each request, and send the same one only with the same request",
                ));
        }
    };
    // On its own: the answer is also kept if the program that asked is gone meanwhile.
    let work = async move {
        let request = Request::from_parts(parts, Body::from(body));
        let answer = match rows {
            true => next.run(request).await,
            false => without_row_values(next.run(request)).await,
        };
        let (answer, kept) = read(answer).await;
        engine.keep_answer(&name, kept.as_ref()).await;
        answer
    };
    tokio::spawn(work).await.map_err(|fault| {
        tracing::error!(%fault, "a request ended by a fault of this program");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request ended by an internal error")
    })
}

fn key_of(parts: &Parts) -> Result<String, Problem> {
    let mut keys = parts.headers.get_all(KEY).iter();
    let key = keys.next().and_then(|key| key.to_str().ok()).map(|key| key.trim().trim_matches('"'));
    match (key, keys.next()) {
        (Some(key), None) if !key.is_empty() && key.len() <= KEY_LENGTH_MAX => Ok(key.to_owned()),
        _ => Err(Problem::invalid("`Idempotency-Key` is not one text of 1 to 255 characters of ASCII")
            .remedy("send a new UUID for each request")),
    }
}

/// Reads an answer to keep it. One that says that nothing was done is not kept: its request can be sent again.
async fn read(answer: Response) -> (Response, Option<KeptAnswer>) {
    if !answer.status().is_success() {
        return (answer, None);
    }
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, BYTES_MAX).await.unwrap_or_else(|_| Bytes::new());
    let text =
        |name: &HeaderName| Some((name.to_string(), parts.headers.get(name)?.to_str().ok()?.to_owned()));
    let headers = [header::CONTENT_TYPE, header::LOCATION, header::ETAG].iter().filter_map(text).collect();
    let kept = std::str::from_utf8(&body).ok().map(|body| KeptAnswer {
        status: parts.status.as_u16(),
        headers,
        body: body.to_owned(),
    });
    (Response::from_parts(parts, Body::from(body)), kept)
}

fn replayed(answer: KeptAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    // It was noted when it was done.
    response.extensions_mut().insert(NotNoted);
    response
}
