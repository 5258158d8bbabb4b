//! Values as PostgreSQL reads them: text that is cast to the column's type, so
//! that no digit is lost on the way.

use std::fmt::Write as _;

use jiff::{Timestamp, civil, tz::TimeZone};
use tidegate_model::Value;

use super::array;
use super::decode::Shape;

/// Returns the value as input text; `None` for null.
pub fn input_text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null | Value::Absent => return None,
        // The engine's lowest place; PostgreSQL has no day that early but this one.
        Value::Timestamp(at) if *at == Timestamp::MIN => "-infinity".to_owned(),
        Value::DateTime(at) if *at == civil::DateTime::MIN => "-infinity".to_owned(),
        Value::Date(day) if *day == civil::Date::MIN => "-infinity".to_owned(),
        Value::Timestamp(at) => date_time(TimeZone::UTC.to_datetime(*at), "+00"),
        Value::DateTime(at) => date_time(*at, ""),
        Value::Date(day) => date(*day) + era(*day),
        Value::Bytes(bytes) => bytes.iter().fold("\\x".to_owned(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
        other => return other.to_text().map(|text| text.to_string()),
    })
}

/// Returns the value of a key column as input text; `None` for null. Arrays are JSON here, and have a
/// form of their own there.
pub fn key_text(value: &Value, shape: &Shape) -> Option<String> {
    match (shape, value) {
        (Shape::Array(element), Value::Json(json)) => {
            array::input_text(json.as_str(), matches!(**element, Shape::Json | Shape::Jsonb))
        }
        _ => input_text(value),
    }
}

fn date_time(at: civil::DateTime, zone: &str) -> String {
    format!("{} {}{zone}{}", date(at.date()), at.time(), era(at.date()))
}

/// The day, with the year that precedes the era.
fn date(day: civil::Date) -> String {
    let year = i32::from(day.year());
    let year = if year > 0 { year } else { 1 - year };
    format!("{year:04}-{:02}-{:02}", day.month(), day.day())
}

/// PostgreSQL has no year 0: the year before 1 AD is 1 BC.
fn era(day: civil::Date) -> &'static str {
    if day.year() > 0 { "" } else { " BC" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_last_digit_and_their_era() {
        let cases = [
            (
                Value::Timestamp("2026-03-01T12:00:00.123456Z".parse().unwrap()),
                "2026-03-01 12:00:00.123456+00",
            ),
            (Value::Timestamp(Timestamp::MIN), "-infinity"),
            (Value::Text("infinity".into()), "infinity"),
            (Value::Date(civil::Date::MAX), "9999-12-31"),
            (Value::DateTime(civil::datetime(0, 2, 29, 1, 2, 3, 0)), "0001-02-29 01:02:03 BC"),
            (Value::Date(civil::date(-43, 3, 15)), "0044-03-15 BC"),
            (Value::Bytes(bytes::Bytes::from_static(&[0, 255])), "\\x00ff"),
            (Value::Decimal("10.50".into()), "10.50"),
        ];
        for (value, text) in cases {
            assert_eq!(input_text(&value).as_deref(), Some(text));
        }
        assert_eq!(input_text(&Value::Null), None);
    }

    #[test]
    fn an_array_is_written_as_postgresql_reads_it() {
        let texts = Shape::Array(Box::new(Shape::Text));
        let documents = Shape::Array(Box::new(Shape::Jsonb));
        for (shape, json, expected) in [
            (&texts, r#"["a","b\"\\",null,"null",""]"#, r#"{"a","b\"\\",NULL,"null",""}"#),
            (&texts, "[[1.50,2],[3,null]]", r#"{{"1.50","2"},{"3",NULL}}"#),
            (&texts, "[]", "{}"),
            (&documents, r#"[{"a": "b"},[1]]"#, r#"{"{\"a\": \"b\"}","[1]"}"#),
        ] {
            let value = Value::Json(tidegate_model::Json::trusted(json));
            assert_eq!(key_text(&value, shape).as_deref(), Some(expected), "{json}");
        }
    }
}
