//! `PutEvents`: events of many endpoints, each with a status code of its own.
//!
//! Source: Amazon Pinpoint API reference, `PutEvents`; developer guide, quotas.

use serde_json::{Value, json};
use tidegate_model::{Error, Event, Json, RowHash, Text, Value as Cell};

use super::answer::ErrorResponse;
use super::app_record::{Context, app_record};
use super::check::check;
use super::endpoints::{self, EndpointKey, Stop};
use super::store::{Object, Session};

/// Bytes of a request: 4 MB.
const BYTES_MAX: usize = 4 << 20;
/// Events of a request.
const EVENTS_MAX: usize = 100;

/// A request, read.
#[derive(Debug)]
pub(super) struct Batch {
    items: Object,
}

impl Batch {
    /// Reads a body.
    pub(super) fn read(body: &[u8]) -> Result<Batch, ErrorResponse> {
        if body.len() > BYTES_MAX {
            return Err(ErrorResponse::too_large("The request is larger than 4 MB"));
        }
        let mut body = object_of(body)?;
        let Some(Value::Object(items)) = body.shift_remove("BatchItem") else {
            return Err(ErrorResponse::bad("BatchItem is required and must be an object"));
        };
        let events = items.values().filter_map(|item| item.get("Events")?.as_object());
        let count: usize = events.map(Object::len).sum();
        if count > EVENTS_MAX {
            return Err(ErrorResponse::bad(format!(
                "A request has at most {EVENTS_MAX} events; this one has {count}"
            )));
        }
        Ok(Batch { items })
    }

    /// Updates the endpoints and makes the events; the results are those of the
    /// answer, item by item.
    pub(super) fn take(
        &self,
        session: &Session<'_>,
        context: Context<'_>,
    ) -> Result<(Vec<Event>, Value), Error> {
        let mut taken = Vec::new();
        let mut results = Object::new();
        for (id, item) in &self.items {
            let key = EndpointKey { app: context.app, id };
            let (endpoint, endpoint_result) = endpoint(session, key, item, context)?;
            let mut event_results = Object::new();
            for (event_id, event) in item.get("Events").and_then(Value::as_object).into_iter().flatten() {
                let made = event_of(context, key, &endpoint, event_id, event);
                event_results.insert(event_id.clone(), result(made.as_ref().err()));
                taken.extend(made);
            }
            results.insert(
                id.clone(),
                json!({ "EndpointItemResponse": endpoint_result, "EventsItemResponse": event_results }),
            );
        }
        Ok((taken, json!({ "Results": results })))
    }
}

/// A JSON object, or 400.
pub(super) fn object_of(body: &[u8]) -> Result<Object, ErrorResponse> {
    serde_json::from_slice(body).map_err(|cause| {
        let (line, column) = (cause.line(), cause.column());
        ErrorResponse::bad(format!("The body is not a JSON object (line {line}, column {column})"))
    })
}

/// The endpoint as it is now. Its events are taken even where its own part is not.
fn endpoint(
    session: &Session<'_>,
    key: EndpointKey<'_>,
    item: &Value,
    context: Context<'_>,
) -> Result<(Object, Value), Error> {
    let as_stored = || -> Result<Object, Error> {
        let stored = session.endpoint(key.app, key.id)?;
        Ok(stored.unwrap_or_else(|| endpoints::blank(key, context.arrival)))
    };
    let bad = match (item.get("Endpoint"), item.get("Events")) {
        (Some(Value::Object(request)), Some(Value::Object(_))) if request.is_empty() => {
            return Ok((as_stored()?, result(None)));
        }
        (Some(Value::Object(request)), Some(Value::Object(_))) => {
            match endpoints::update(session, key, request, context.arrival) {
                Ok(endpoint) => return Ok((endpoint, result(None))),
                Err(Stop::Bad(message)) => message,
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        _ => "Endpoint and Events are required and must be objects".to_owned(),
    };
    Ok((as_stored()?, result(Some(&bad))))
}

fn event_of(
    context: Context<'_>,
    key: EndpointKey<'_>,
    endpoint: &Object,
    event_id: &str,
    event: &Value,
) -> Result<Event, String> {
    let written = event.to_string();
    let Value::Object(event) = event else { return Err("The event must be an object".to_owned()) };
    let checked = check(event, written.len())?;
    let attribute =
        |name: &str| event.get("Attributes").and_then(|attributes| attributes.get(name)?.as_str());
    Ok(Event {
        id: id_of(key, event_id, written).into(),
        kind: checked.kind.into(),
        at: checked.at,
        user: endpoints::user_of(endpoint).unwrap_or(key.id).into(),
        app: key.app.into(),
        message: attribute("campaign_id").or_else(|| attribute("journey_id")).unwrap_or_default().into(),
        template: Text::new(),
        payload: Json::trusted(app_record(context, endpoint, event, checked.at).to_string()),
    })
}

/// The same when the request is repeated. The content counts as well: some
/// clients give every event of an endpoint the same id.
fn id_of(key: EndpointKey<'_>, event_id: &str, written: String) -> String {
    let parts = [key.app, key.id, event_id].map(|part| Cell::Text(part.into()));
    let cells = parts.into_iter().chain([Cell::Text(written.into())]).collect::<Vec<_>>();
    RowHash::of_values(&cells, &mut Vec::new()).to_uuid()
}

fn result(bad: Option<&String>) -> Value {
    match bad {
        None => json!({ "StatusCode": 202, "Message": "Accepted" }),
        Some(message) => json!({ "StatusCode": 400, "Message": message }),
    }
}
