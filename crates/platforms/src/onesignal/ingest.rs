//! Where OneSignal's event streams arrive.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;
use tidegate_model::{Clock, ConnectorContext, Error, ErrorKind, Ingest, Received, Result, Secret, Settings};

use super::events;
use super::settings::OneSignalSettings;
use tidegate_transport::http::ingest::{bears, json, status_of, wait_for};

/// The largest body. OneSignal sends one event in a request, of some kilobytes.
const BODY_BYTES_MAX: usize = 1 << 20;

struct EventStream {
    token: Option<Secret>,
    clock: Arc<dyn Clock>,
}

/// Opens the receiving end of the connection's event stream.
pub(super) fn open(settings: &Settings, context: &ConnectorContext) -> Result<Arc<dyn Ingest>> {
    let settings: OneSignalSettings = settings.parse()?;
    settings.validate()?;
    let token = settings.event_stream.map(|stream| stream.token);
    Ok(Arc::new(EventStream { token, clock: Arc::clone(&context.clock) }))
}

#[async_trait]
impl Ingest for EventStream {
    fn answer_head(&self, head: &Parts) -> Option<Response<Bytes>> {
        let Some(token) = &self.token else {
            return Some(refused(
                StatusCode::FORBIDDEN,
                "this connection takes no events",
                "set `event_stream: { token: … }` on it; `tidegate setup` prints the rest",
            ));
        };
        if !bears(&head.headers, token) {
            let mut answer = refused(
                StatusCode::UNAUTHORIZED,
                "the request does not carry the token of this connection",
                "send the header `Authorization: Bearer …` with the value of `event_stream.token`",
            );
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Some(answer);
        }
        if !matches!(head.uri.path(), "" | "/") {
            let hint = "the stream's URL ends with the name of the connection";
            return Some(refused(StatusCode::NOT_FOUND, "there is nothing at this path", hint));
        }
        if head.method != Method::POST {
            let hint = "choose POST as the method of the event stream";
            let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, "events come by POST", hint);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Some(answer);
        }
        None
    }

    async fn receive(&self, request: &Request<Bytes>) -> Received {
        if request.body().len() > BODY_BYTES_MAX {
            let error = Error::new(ErrorKind::TooLarge, "the body is larger than 1 MiB");
            return Received::only(self.error_response(&error.hint("send one event in a request")));
        }
        let read = std::str::from_utf8(request.body()).map_err(|_| "the body is not UTF-8".to_owned());
        match read.and_then(|body| events::read(body, self.clock.now())) {
            Ok(events) => {
                let answer = json(StatusCode::OK, &json!({ "accepted": events.len() }));
                Received { events, answer }
            }
            Err(bad) => Received::only(refused(
                StatusCode::BAD_REQUEST,
                &bad,
                "paste the body that `tidegate setup` prints for this connection",
            )),
        }
    }

    fn error_response(&self, error: &Error) -> Response<Bytes> {
        let mut answer = match error.kind() {
            ErrorKind::TooLarge | ErrorKind::Rejected => {
                refused(status_of(error), error.message(), error.next_step())
            }
            _ => refused(status_of(error), "the events could not be stored", "send them again"),
        };
        wait_for(&mut answer, error, self.clock.now());
        answer
    }
}

fn refused(status: StatusCode, error: &str, hint: &str) -> Response<Bytes> {
    json(status, &json!({ "error": error, "hint": hint }))
}
