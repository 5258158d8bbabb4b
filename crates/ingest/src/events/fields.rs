//! What all events have, found in one of them.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::value::RawValue;
use tidegate_model::{Members, Text};
use tidegate_transport::http::ingest::moment;

use super::settings::{Fields, Paths};

/// Why an event cannot be taken.
type Why = String;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The id, if the event has one.
    pub(super) id: Option<Text>,
    /// What happened.
    pub(super) kind: Text,
    /// When it happened, if the event says so.
    pub(super) at: Option<Timestamp>,
    /// Whom it is about, or empty.
    pub(super) user: Text,
    /// The app, or empty.
    pub(super) app: Text,
}

/// Finds them in an event, which is a JSON object.
pub(super) fn find(event: &str, fields: &Fields) -> Result<Found, Why> {
    let Members(members) =
        serde_json::from_str(event).map_err(|_| "it holds text that is not Unicode".to_owned())?;
    let text = |name: &str, paths: &Paths| -> Result<Option<Text>, Why> {
        first(&members, paths)
            .map(|value| scalar(value).ok_or_else(|| wrong(name, "text or a number")))
            .transpose()
    };
    let kind = text("kind", &fields.kind)?.filter(|kind| !kind.is_empty());
    let kind = kind.ok_or_else(|| format!("it has no kind; looked for {}", listed(&fields.kind)))?;
    let at = first(&members, &fields.time).map(time).transpose()?;
    Ok(Found {
        id: text("id", &fields.id)?.filter(|id| !id.is_empty()),
        kind,
        at,
        user: text("user", &fields.user)?.unwrap_or_default(),
        app: text("app", &fields.app)?.unwrap_or_default(),
    })
}

fn wrong(name: &str, expected: &str) -> Why {
    format!("the {name} is not {expected}")
}

fn listed(paths: &Paths) -> String {
    let paths: Vec<String> = paths.0.iter().map(|path| format!("`{}`", path.join("."))).collect();
    paths.join(", ")
}

/// The value at the first path that leads to one other than null.
fn first<'a>(members: &[(Cow<'a, str>, &'a RawValue)], paths: &Paths) -> Option<&'a RawValue> {
    paths.0.iter().find_map(|path| at_path(members, path)).filter(|value| value.get() != "null")
}

fn at_path<'a>(members: &[(Cow<'a, str>, &'a RawValue)], path: &[String]) -> Option<&'a RawValue> {
    let (name, rest) = path.split_first()?;
    let (_, value) = members.iter().find(|(member, _)| member == name)?;
    if value.get() == "null" {
        return None;
    }
    if rest.is_empty() {
        return Some(value);
    }
    let Members(members) = serde_json::from_str(value.get()).ok()?;
    at_path(&members, rest)
}

fn scalar(value: &RawValue) -> Option<Text> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str::<Cow<'_, str>>(text).ok().map(|text| text.as_ref().into()),
        b'-' | b'0'..=b'9' => Some(text.into()),
        _ => None,
    }
}

/// ISO 8601, or seconds or milliseconds since 1970, also as text.
fn time(value: &RawValue) -> Result<Timestamp, Why> {
    let text = scalar(value).ok_or_else(|| wrong("time", "text or a number"))?;
    moment(&text).ok_or_else(|| wrong("time", "ISO 8601, nor seconds or milliseconds since 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(event: &str) -> Result<Found, Why> {
        find(event, &Fields::default())
    }

    #[test]
    fn the_first_member_that_is_there_counts() {
        let event = r#"{"event_id":"e\u0031","id":null,"name":"n","event":"order","user":{"id":1},"user_id":42,"app":"a"}"#;
        let found = found(event).expect("an event");
        assert_eq!(found.id.as_deref(), Some("e1"));
        assert_eq!((&*found.kind, &*found.user, &*found.app), ("order", "42", "a"));
        assert_eq!(found.at, None);
    }

    #[test]
    fn paths_lead_into_objects() {
        let fields: Fields =
            serde_json::from_str(r#"{"id":"meta.id","user":["who.nobody","who.user.id"]}"#).expect("fields");
        let event = r#"{"meta":{"id":7},"kind":"k","who":{"user":{"id":"u"}}}"#;
        let found = find(event, &fields).expect("an event");
        assert_eq!((found.id.as_deref(), &*found.user), (Some("7"), "u"));
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (written, expected) in [
            ("\"2026-03-01T12:00:00Z\"", "2026-03-01T12:00:00Z"),
            ("\"2026-03-01T13:00:00.25+01:00\"", "2026-03-01T12:00:00.25Z"),
            ("\"2026-03-01 12:00:00\"", "2026-03-01T12:00:00Z"),
            ("1772366400", "2026-03-01T12:00:00Z"),
            ("1772366400.5", "2026-03-01T12:00:00.5Z"),
            ("\"1772366400\"", "2026-03-01T12:00:00Z"),
            ("1772366400123", "2026-03-01T12:00:00.123Z"),
            ("\"2026-03-01 12:00:00 UTC\"", "2026-03-01T12:00:00Z"),
            ("-1.5", "1969-12-31T23:59:58.5Z"),
        ] {
            let at =
                found(&format!(r#"{{"kind":"k","time":{written}}}"#)).expect(written).at.expect("a time");
            assert_eq!(at.to_string(), expected, "{written}");
        }
        for written in ["\"soon\"", "true", "1e400", "99999999999999999999", "{}", "\"\"", "1.x"] {
            assert!(found(&format!(r#"{{"kind":"k","time":{written}}}"#)).is_err(), "{written}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (event, said) in [
            ("{}", "it has no kind; looked for `kind`, `event`, `type`, `name`, `event_name`"),
            (r#"{"kind":""}"#, "it has no kind"),
            (r#"{"kind":[]}"#, "the kind is not text or a number"),
            (r#"{"kind":"k","id":{}}"#, "the id is not text or a number"),
            (r#"{"kind":"k","\ud800":1}"#, "not Unicode"),
            (r#"{"kind":"\ud800"}"#, "the kind is not text"),
        ] {
            let bad = found(event).expect_err(event);
            assert!(bad.contains(said), "{event}: {bad}");
        }
    }
}
