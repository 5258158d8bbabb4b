//! A request's body, split into events. Nothing is copied: each event is a piece
//! of the body.

use std::fmt;

use http::StatusCode;
use serde_json::Deserializer;
use serde_json::value::RawValue;

/// Events in one request, at most. In memory an event of a few bytes takes far more than it does in the body.
pub(super) const EVENTS_MAX: usize = 100_000;

/// What a refused body is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    /// The status.
    pub(super) status: StatusCode,
    /// Which event or line, and why.
    pub(super) said: String,
}

impl From<String> for Bad {
    fn from(said: String) -> Bad {
        Bad { status: StatusCode::BAD_REQUEST, said }
    }
}

/// How the body says that it is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One event a line, as the content type says.
    Lines,
    /// JSON: an object, an array, or several objects one after the other.
    Json,
}

impl Form {
    /// The form that a content type means.
    pub(super) fn of(content_type: &str) -> Form {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let lines =
            ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"];
        if lines.iter().any(|name| essence.eq_ignore_ascii_case(name)) { Form::Lines } else { Form::Json }
    }
}

/// The position of an event, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventPosition {
    /// The line, from 1.
    Line(usize),
    /// The place in the request, from 1.
    Event(usize),
}

impl fmt::Display for EventPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventPosition::Line(number) => write!(f, "line {number}"),
            EventPosition::Event(number) => write!(f, "event {number}"),
        }
    }
}

/// Returns the events in order, each with its position.
pub(super) fn split(body: &str, form: Form) -> Result<Vec<(EventPosition, &str)>, Bad> {
    let mut events = Vec::new();
    if form == Form::Lines {
        for (at, line) in body.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let position = EventPosition::Line(at + 1);
            let event = serde_json::from_str(line)
                .map_err(|cause| format!("{position} is not JSON at column {}", cause.column()))?;
            add(&mut events, object(position, event)?)?;
        }
    } else if body.trim_start().starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(body).map_err(|cause| broken(&cause))?;
        for (at, event) in list.into_iter().enumerate() {
            add(&mut events, object(EventPosition::Event(at + 1), event)?)?;
        }
    } else {
        for (at, event) in Deserializer::from_str(body).into_iter::<&RawValue>().enumerate() {
            let event = event.map_err(|cause| broken(&cause))?;
            add(&mut events, object(EventPosition::Event(at + 1), event)?)?;
        }
        if events.is_empty() {
            return Err("the body is empty".to_owned().into());
        }
    }
    Ok(events)
}

fn add<'a>(events: &mut Vec<(EventPosition, &'a str)>, event: (EventPosition, &'a str)) -> Result<(), Bad> {
    if events.len() == EVENTS_MAX {
        let said = format!("the request has more than {EVENTS_MAX} events: send smaller ones");
        return Err(Bad { status: StatusCode::PAYLOAD_TOO_LARGE, said });
    }
    events.push(event);
    Ok(())
}

fn object(position: EventPosition, event: &RawValue) -> Result<(EventPosition, &str), Bad> {
    if event.get().starts_with('{') {
        Ok((position, event.get()))
    } else {
        Err(format!("{position} is not an object").into())
    }
}

fn broken(cause: &serde_json::Error) -> Bad {
    format!("the body is not JSON at line {}, column {}", cause.line(), cause.column()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(body: &str, form: Form) -> Result<Vec<&str>, Bad> {
        Ok(split(body, form)?.into_iter().map(|(_, event)| event).collect())
    }

    #[test]
    fn a_body_is_an_object_an_array_or_lines() {
        for (body, form, expected) in [
            (" {\n\"a\": 1\n} ", Form::Json, vec!["{\n\"a\": 1\n}"]),
            ("[{\"a\":1}, {}]", Form::Json, vec!["{\"a\":1}", "{}"]),
            ("[]", Form::Json, vec![]),
            ("{\"a\":1}\n{}\n", Form::Json, vec!["{\"a\":1}", "{}"]),
            ("{\"a\":1}\r\n\r\n {}", Form::Lines, vec!["{\"a\":1}", "{}"]),
            ("", Form::Lines, vec![]),
        ] {
            assert_eq!(events(body, form).expect(body), expected);
        }
        assert_eq!(Form::of("application/X-NDJSON; charset=utf-8"), Form::Lines);
        assert_eq!(Form::of("application/json"), Form::Json);
    }

    #[test]
    fn more_events_than_fit_into_memory_are_too_large_a_request() {
        let lines = "{}\n".repeat(EVENTS_MAX + 1);
        let array = format!("[{}{{}}]", "{},".repeat(EVENTS_MAX));
        for (body, form) in [(&lines, Form::Lines), (&lines, Form::Json), (&array, Form::Json)] {
            let bad = events(body, form).expect_err("too many");
            assert_eq!(bad.status, StatusCode::PAYLOAD_TOO_LARGE, "{bad:?}");
            assert_eq!(
                events(&body[3..], form).map(|events| events.len()).ok(),
                (form == Form::Lines || !body.starts_with('[')).then_some(EVENTS_MAX)
            );
        }
    }

    #[test]
    fn a_broken_piece_is_named() {
        for (body, form, said) in [
            ("", Form::Json, "the body is empty"),
            ("{\"a\":1} x", Form::Json, "the body is not JSON at line 1, column 9"),
            ("[{}, 5]", Form::Json, "event 2 is not an object"),
            ("{}\n7", Form::Json, "event 2 is not an object"),
            ("{}\n\n{\"a\":}", Form::Lines, "line 3 is not JSON at column 6"),
            ("{}\n[]", Form::Lines, "line 2 is not an object"),
        ] {
            assert_eq!(events(body, form), Err(Bad::from(said.to_owned())), "{body}");
        }
    }
}
