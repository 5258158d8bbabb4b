//! Custom events. Source: OneSignal docs, Create custom events.

use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tidegate_model::Identity;

use super::journey::Happened;
use super::reply::{Reply, Stop};
use super::rules::{EVENT_BYTES, EVENT_NAME_CHARACTERS};
use crate::faults::Turn;
use tidegate_profiles::{Event, Key, Session, UserId};

/// Bytes of a request.
const REQUEST_BYTES_MAX: usize = 1_000_000;
/// How long a key is remembered.
const KEY_WINDOW: SignedDuration = SignedDuration::from_hours(4);

#[derive(Deserialize)]
struct Creation<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// An event as it arrives. The documentation says `properties`, the SDKs `payload`.
#[derive(Deserialize)]
struct Arrival<'a> {
    name: String,
    external_id: Option<String>,
    onesignal_id: Option<String>,
    timestamp: Option<String>,
    idempotency_key: Option<String>,
    event_id: Option<Value>,
    #[serde(borrow, alias = "payload")]
    properties: Option<&'a RawValue>,
}

/// Records the events of known users and lists those of unknown ones. Where
/// there is a listener, the reply carries those that took effect.
pub(super) fn create(
    session: &Session<'_>,
    body: &Bytes,
    turn: &Turn,
    listening: bool,
) -> Result<Reply, Stop> {
    if body.len() > REQUEST_BYTES_MAX {
        return Err(Stop::too_large());
    }
    let Creation { events } =
        serde_json::from_slice(body).map_err(|_| Stop::bad("events must be an array of objects"))?;
    if events.is_empty() {
        return Err(Stop::bad("events must not be empty"));
    }
    let (mut errors, mut happened) = (Vec::new(), Vec::new());
    for (at, event) in events.iter().enumerate() {
        let arrival = Arrival::read(event).map_err(|why| Stop::bad(format!("events[{at}]: {why}")))?;
        if turn.is_unnamed(event.get()) {
            errors.push(unnamed());
            continue;
        }
        match arrival.take_effect(session, turn.refuses(at))? {
            Effect::Recorded(user) if listening => happened.push(arrival.happened(session, user, event)?),
            Effect::Recorded(_) | Effect::Repeated => {}
            Effect::None(error) => errors.push(error),
        }
    }
    let body = if errors.is_empty() { json!({}) } else { json!({ "errors": errors }) };
    Ok(Reply::new(StatusCode::ACCEPTED, &body).with_happened(happened))
}

/// An error that names no event: its `event_user_id` is empty for an event addressed otherwise, and
/// it has an `event_id` only if the event has one.
///
/// Source: OneSignal docs, Create custom events, response 202.
fn unnamed() -> Value {
    json!({ "event_user_id": "", "error": { "code": "invalid", "title": "the event was not accepted" } })
}

/// What became of an event.
enum Effect {
    Recorded(UserId),
    Repeated,
    None(Value),
}

impl<'a> Arrival<'a> {
    fn read(event: &'a RawValue) -> Result<Arrival<'a>, String> {
        if event.get().len() > EVENT_BYTES {
            return Err(format!("event is larger than {EVENT_BYTES} bytes"));
        }
        let arrival: Arrival<'_> =
            serde_json::from_str(event.get()).map_err(|_| "event is not valid".to_owned())?;
        let characters = arrival.name.chars().count();
        if characters == 0 || characters > EVENT_NAME_CHARACTERS {
            return Err(format!("name must have 1 to {EVENT_NAME_CHARACTERS} characters"));
        }
        if arrival.external_id.is_none() && arrival.onesignal_id.is_none() {
            return Err("external_id or onesignal_id is required".to_owned());
        }
        if arrival.timestamp.as_ref().is_some_and(|at| at.parse::<Timestamp>().is_err()) {
            return Err("timestamp is not in ISO 8601".to_owned());
        }
        if arrival.properties.is_some_and(|properties| !properties.get().starts_with('{')) {
            return Err("properties must be an object".to_owned());
        }
        Ok(arrival)
    }

    fn take_effect(&self, session: &Session<'_>, refused: bool) -> Result<Effect, Stop> {
        if refused {
            let title = "the sandbox refuses this event, as its faults ask for";
            return Ok(Effect::None(self.error("invalid", title)));
        }
        let user = match (&self.external_id, &self.onesignal_id) {
            (Some(id), _) => session.find(&Identity::ExternalId(id.as_str().into()))?,
            (None, Some(id)) => session.find(&Identity::PlatformId(id.as_str().into()))?,
            (None, None) => None,
        };
        let Some(user) = user else {
            let title = format!("failed to find a onesignal_id for user_id {}", self.user_id());
            return Ok(Effect::None(self.error("not found", &title)));
        };
        let time = self.timestamp.as_ref().and_then(|at| at.parse().ok()).unwrap_or(session.now);
        let since = session.now.checked_sub(KEY_WINDOW).ok();
        let recorded = session.record_event(
            user,
            &Event {
                name: &self.name,
                // A time in the future counts as now.
                time: time.min(session.now),
                properties: self.properties.map_or("{}", RawValue::get),
                app_id: None,
                key: self.idempotency_key.as_deref().map(|name| Key { name, since }),
            },
        )?;
        Ok(if recorded { Effect::Recorded(user) } else { Effect::Repeated })
    }

    fn happened(&self, session: &Session<'_>, user: UserId, text: &RawValue) -> Result<Happened, Stop> {
        let user = session.user(user)?.ok_or_else(Stop::no_such_user)?;
        Ok(Happened {
            id: self.idempotency_key.clone().unwrap_or_else(|| text.get().to_owned()),
            name: self.name.clone(),
            onesignal_id: user.platform_id,
            external_id: user.external_id,
            at: session.now,
        })
    }

    fn user_id(&self) -> &str {
        self.external_id.as_deref().or(self.onesignal_id.as_deref()).unwrap_or_default()
    }

    fn error(&self, code: &str, title: &str) -> Value {
        let mut error = json!({
            "event_user_id": self.user_id(),
            "error": { "code": code, "title": title },
        });
        if let Some(id) = self.event_id.clone().or_else(|| self.event_id_in_properties()) {
            error["event_id"] = id;
        }
        error
    }

    /// The documentation leaves open which `event_id` it means, so both count.
    fn event_id_in_properties(&self) -> Option<Value> {
        #[derive(Deserialize)]
        struct Properties {
            event_id: Option<Value>,
        }
        serde_json::from_str::<Properties>(self.properties?.get()).ok()?.event_id
    }
}
