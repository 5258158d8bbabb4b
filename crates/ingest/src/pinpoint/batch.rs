//! `PutEvents`: events of many endpoints, each with a status code of its own.
//!
//! Source: Amazon Pinpoint API reference, `PutEvents`; developer guide, quotas.

use indexmap::IndexMap;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tidegate_model::json::check_readable;
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

/// The members of an object in their order, each to be read on its own: one that cannot be read
/// spoils no other. Of members of the same name the last one counts.
type Members<'a> = IndexMap<String, &'a RawValue>;

/// A request, split into its items.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    items: IndexMap<String, Item<'a>>,
}

/// An endpoint and its events.
#[derive(Debug, Default)]
struct Item<'a> {
    endpoint: Option<&'a RawValue>,
    events: Option<Members<'a>>,
}

impl<'a> Batch<'a> {
    /// Splits a body.
    pub(super) fn read(body: &'a [u8]) -> Result<Batch<'a>, ErrorResponse> {
        if body.len() > BYTES_MAX {
            return Err(ErrorResponse::too_large("The request is larger than 4 MB"));
        }
        let body: Members<'_> = serde_json::from_slice(body).map_err(|cause| not_an_object(&cause))?;
        let Some(items) = body.get("BatchItem").filter(|items| is_object(items)) else {
            return Err(ErrorResponse::bad("BatchItem is required and must be an object"));
        };
        let items = members(items, "BatchItem")?.into_iter();
        let items: IndexMap<_, _> =
            items.map(|(id, item)| Ok((id, Item::read(item)?))).collect::<Result<_, ErrorResponse>>()?;
        let count: usize = items.values().filter_map(|item| item.events.as_ref()).map(Members::len).sum();
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
            for (event_id, event) in item.events.iter().flatten() {
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

impl<'a> Item<'a> {
    fn read(item: &'a RawValue) -> Result<Item<'a>, ErrorResponse> {
        if !is_object(item) {
            return Ok(Item::default());
        }
        let mut item = members(item, "An item of BatchItem")?;
        let events = item.shift_remove("Events").filter(|events| is_object(events));
        let events = events.map(|events| members(events, "Events")).transpose()?;
        Ok(Item { endpoint: item.shift_remove("Endpoint"), events })
    }
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// The members of an object. Without its name a member cannot be answered: then the request is not taken.
fn members<'a>(object: &'a RawValue, name: &str) -> Result<Members<'a>, ErrorResponse> {
    serde_json::from_str(object.get()).map_err(|_| {
        ErrorResponse::bad(format!("{name} has a member whose name holds half of a surrogate pair"))
    })
}

/// A JSON object, or 400.
pub(super) fn object_of(body: &[u8]) -> Result<Object, ErrorResponse> {
    serde_json::from_slice(body).map_err(|cause| not_an_object(&cause))
}

fn not_an_object(cause: &serde_json::Error) -> ErrorResponse {
    let (line, column) = (cause.line(), cause.column());
    ErrorResponse::bad(format!("The body is not a JSON object (line {line}, column {column})"))
}

/// An endpoint or event, or why it cannot be read.
fn value_of(name: &str, written: &RawValue) -> Result<Value, String> {
    serde_json::from_str(written.get()).map_err(|_| {
        let reason = check_readable(written.get()).err().map(|reason| reason.message);
        format!("{name} cannot be read: {}", reason.as_deref().unwrap_or("it is not valid JSON"))
    })
}

/// The endpoint as it is now. Its events are taken even where its own part is not.
fn endpoint(
    session: &Session<'_>,
    key: EndpointKey<'_>,
    item: &Item<'_>,
    context: Context<'_>,
) -> Result<(Object, Value), Error> {
    let as_stored = || -> Result<Object, Error> {
        let stored = session.endpoint(key.app, key.id)?;
        Ok(stored.unwrap_or_else(|| endpoints::blank(key, context.arrival)))
    };
    let request = match (item.endpoint, &item.events) {
        (Some(endpoint), Some(_)) if is_object(endpoint) => value_of("The endpoint", endpoint),
        _ => Err("Endpoint and Events are required and must be objects".to_owned()),
    };
    let bad = match request {
        Ok(Value::Object(request)) if !request.is_empty() => {
            match endpoints::update(session, key, &request, context.arrival) {
                Ok(endpoint) => return Ok((endpoint, result(None))),
                Err(Stop::Bad(message)) => message,
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        Ok(_) => return Ok((as_stored()?, result(None))),
        Err(message) => message,
    };
    Ok((as_stored()?, result(Some(&bad))))
}

fn event_of(
    context: Context<'_>,
    key: EndpointKey<'_>,
    endpoint: &Object,
    event_id: &str,
    event: &RawValue,
) -> Result<Event, String> {
    let event = value_of("The event", event)?;
    let written = event.to_string();
    let Value::Object(event) = event else { return Err("The event must be an object".to_owned()) };
    let checked = check(&event, written.len())?;
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
        payload: Json::trusted(app_record(context, endpoint, &event, checked.at).to_string()),
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
