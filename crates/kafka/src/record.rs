//! Events as Kafka records, and back.
//!
//! The value is the event's own JSON, untouched; what is needed to find, filter
//! or order it are in the headers. Records of the event log and of the sink
//! have the same form, so that the same code reads both.

use std::str;

use jiff::Timestamp;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use tidegate_model::{Event, Json, LoggedEvent, Offset, Reason, Text};

const ID: &str = "event_id";
const KIND: &str = "event_kind";
const AT: &str = "event_timestamp";
const USER: &str = "user_id";
const APP: &str = "app_id";
const MESSAGE: &str = "message_id";
const TEMPLATE: &str = "template_id";

/// Returns the key that orders an event among others: its user, or its own id if the user is unknown.
pub(crate) fn key(event: &Event) -> &[u8] {
    let key = if event.user.is_empty() { &event.id } else { &event.user };
    key.as_bytes()
}

/// Everything of an event but its payload. What is empty has no header.
pub(crate) fn headers(event: &Event) -> OwnedHeaders {
    let at = event.at.to_string();
    let headers = OwnedHeaders::new_with_capacity(7)
        .insert(header(ID, &event.id))
        .insert(header(KIND, &event.kind))
        .insert(header(AT, &at));
    [(USER, &event.user), (APP, &event.app), (MESSAGE, &event.message), (TEMPLATE, &event.template)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .fold(headers, |headers, (name, text)| headers.insert(header(name, text)))
}

fn header<'a>(key: &'a str, value: &'a str) -> Header<'a, &'a str> {
    Header { key, value: Some(value) }
}

/// Reads what [`headers`] wrote.
///
/// # Errors
/// The reason why the record is not an event: another program wrote it.
pub(crate) fn event(message: &BorrowedMessage<'_>) -> Result<LoggedEvent, Reason> {
    let foreign = |what: &str| Reason::new("no_event", format!("not written by an event log: {what}"));
    let mut texts: [Text; 6] = Default::default();
    let mut at = None;
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        let index = match header.key {
            ID => 0,
            KIND => 1,
            USER => 2,
            APP => 3,
            MESSAGE => 4,
            TEMPLATE => 5,
            AT => {
                at = header.value.and_then(|value| str::from_utf8(value).ok()?.parse::<Timestamp>().ok());
                continue;
            }
            // Proxies and tracers add headers of their own.
            _ => continue,
        };
        let text = str::from_utf8(header.value.unwrap_or_default());
        texts[index] = text.map_err(|_| foreign("a header is not UTF-8"))?.into();
    }
    let [id, kind, user, app, about, template] = texts;
    if id.is_empty() {
        return Err(foreign("it has no header `event_id`"));
    }
    let at = at.ok_or_else(|| foreign("it has no header `event_timestamp`"))?;
    let payload = str::from_utf8(message.payload().unwrap_or_default());
    let payload = payload.map_err(|_| foreign("its value is not UTF-8"))?;
    let payload = Json::parse(payload.into())?;
    let logged_at = (message.timestamp().to_millis())
        .and_then(|at| Timestamp::from_millisecond(at).ok())
        .unwrap_or_default();
    Ok(LoggedEvent {
        offset: Offset::new(
            u32::try_from(message.partition()).unwrap_or_default(),
            u64::try_from(message.offset()).unwrap_or_default(),
        ),
        logged_at,
        event: Event { id, kind, at, user, app, message: about, template, payload },
    })
}
