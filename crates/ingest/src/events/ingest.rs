//! Where events of any shape come in.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;
use tidegate_model::{
    Clock, ConnectorContext, Error, Event, Ingest, Json, Received, Result, RowHash, Settings, Text, Value,
};

use super::body::{Bad, EventPosition, Form, split};
use super::bucket::Bucket;
use super::fields::find;
use super::settings::EventsSettings;
use tidegate_transport::http::ingest::{bears, fault_of, json, status_of, wait_for};
use uuid::Uuid;

struct EventsIngest {
    settings: EventsSettings,
    bucket: Option<Bucket>,
    clock: Arc<dyn Clock>,
}

/// Opens the receiving end.
pub(super) fn open(settings: &Settings, context: &ConnectorContext) -> Result<Arc<dyn Ingest>> {
    let settings: EventsSettings = settings.parse()?;
    settings.validate()?;
    let bucket = settings.requests_per_second.map(|rate| Bucket::new(rate, context.clock.now()));
    Ok(Arc::new(EventsIngest { settings, bucket, clock: Arc::clone(&context.clock) }))
}

#[async_trait]
impl Ingest for EventsIngest {
    fn answer_head(&self, head: &Parts) -> Option<Response<Bytes>> {
        if !bears(&head.headers, &self.settings.token) {
            let mut answer =
                refused(StatusCode::UNAUTHORIZED, "the request does not carry the connection's token");
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Some(answer);
        }
        // Counted after the token was checked: unauthenticated senders do not use up the rate.
        if let Some(Err(seconds)) = self.bucket.as_ref().map(|bucket| bucket.take(self.clock.now())) {
            let mut answer =
                refused(StatusCode::TOO_MANY_REQUESTS, "more requests than `requests_per_second`");
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            return Some(answer);
        }
        if !matches!(head.uri.path(), "" | "/") {
            return Some(refused(StatusCode::NOT_FOUND, "there is nothing at this path"));
        }
        if head.method != Method::POST {
            let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, "events come by POST");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Some(answer);
        }
        None
    }

    async fn receive(&self, request: &Request<Bytes>) -> Received {
        match self.read(request) {
            Ok(events) => {
                let answer = json(StatusCode::ACCEPTED, &json!({ "accepted": events.len() }));
                Received { events, answer }
            }
            Err(Bad { status, said }) => {
                Received::only(refused(status, &format!("{said}; nothing was accepted")))
            }
        }
    }

    fn error_response(&self, error: &Error) -> Response<Bytes> {
        let said = fault_of(error);
        let said = said.unwrap_or_else(|| "the events could not be stored; send them again".to_owned());
        let mut answer = refused(status_of(error), &said);
        wait_for(&mut answer, error, self.clock.now());
        answer
    }
}

impl EventsIngest {
    /// All of the request's events, or why one of them is none.
    fn read(&self, request: &Request<Bytes>) -> Result<Vec<Event>, Bad> {
        let body = Text::try_from(request.body().clone())
            .map_err(|_| Bad::from("the body is not UTF-8".to_owned()))?;
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let now = self.clock.now();
        let mut twins = HashMap::new();
        let mut scratch = Vec::new();
        let pieces = split(&body, Form::of(content_type.unwrap_or_default()))?;
        let mut event = |(position, piece): (EventPosition, &str)| -> Result<Event, Bad> {
            let found =
                find(piece, &self.settings.fields).map_err(|why| Bad::from(format!("{position}: {why}")))?;
            let payload = body.slice_ref(piece);
            let id = match (found.id, found.at) {
                (Some(id), _) => id,
                (None, Some(_)) => derived(&payload, &mut twins, &mut scratch),
                // Nothing tells it from the same event of another hour: each one counts.
                (None, None) => Uuid::new_v4().to_string().into(),
            };
            Ok(Event {
                id,
                kind: found.kind,
                at: found.at.unwrap_or(now),
                user: found.user,
                app: found.app,
                message: Text::new(),
                template: Text::new(),
                payload: Json::trusted(payload),
            })
        };
        let mut events = Vec::with_capacity(pieces.len());
        for piece in pieces {
            events.push(event(piece)?);
        }
        Ok(events)
    }
}

/// An id from the bytes of an event that has a time and no id: the same when the request is
/// repeated. Equal events in one request are counted, so that none is lost.
fn derived(payload: &Text, twins: &mut HashMap<RowHash, i64>, scratch: &mut Vec<u8>) -> Text {
    let bytes = Value::Text(payload.clone());
    let hash = RowHash::of_values([&bytes], scratch);
    let count = twins.entry(hash).and_modify(|count| *count += 1).or_insert(0);
    let id = RowHash::of_values([&bytes, &Value::Int(*count)], scratch);
    id.to_uuid().into()
}

fn refused(status: StatusCode, error: &str) -> Response<Bytes> {
    json(status, &json!({ "error": error }))
}
