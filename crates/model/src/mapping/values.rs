//! Reading single values: numbers, currencies, truth, times.

use jiff::Timestamp;

use crate::{Reason, Text, Value, json};

/// Returns a JSON number, digit for digit. `field` is its name in messages.
///
/// # Errors
/// `not_a_number`, or the reason of a number that JSON readers would round or refuse.
pub fn number(text: &str, field: &str) -> Result<Text, Reason> {
    if json::is_number(text) {
        json::check_number(text)
            .map_err(|reason| Reason::new(reason.code, format!("`{field}`: {}", reason.message)))?;
        Ok(text.into())
    } else {
        Err(Reason::new("not_a_number", format!("`{field}` is not a number")))
    }
}

/// Returns an ISO 4217 code in capitals. Only its form is checked.
///
/// # Errors
/// `not_a_currency`.
pub fn currency(text: &str) -> Result<Text, Reason> {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Ok(text.to_ascii_uppercase().into())
    } else {
        Err(Reason::new("not_a_currency", "`currency` is not a three-letter ISO 4217 code"))
    }
}

/// Returns how many were bought: 1 if nothing is given.
///
/// # Errors
/// `not_a_quantity` if it is not a whole number greater than 0.
pub fn quantity(text: Option<Text>) -> Result<u32, Reason> {
    match text {
        None => Ok(1),
        // A number of a float column: `2.0` is two.
        Some(text) => text
            .split_once('.')
            .filter(|(_, fraction)| !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0'))
            .map_or(&*text, |(whole, _)| whole)
            .parse()
            .ok()
            .filter(|quantity| *quantity > 0)
            .ok_or_else(|| Reason::new("not_a_quantity", "`quantity` is not a whole number above zero")),
    }
}

/// Returns the truth of a value; `None` if it is neither true nor false. Null and empty text are
/// false.
pub fn truth(value: &Value) -> Option<bool> {
    Some(match value {
        Value::Null | Value::Absent => false,
        Value::Bool(value) => *value,
        Value::Int(0) => false,
        Value::Int(1) => true,
        Value::Text(text) if text.eq_ignore_ascii_case("true") || &**text == "t" || &**text == "1" => true,
        Value::Text(text) if text.eq_ignore_ascii_case("false") || &**text == "f" || &**text == "0" => false,
        Value::Text(text) if text.is_empty() => false,
        _ => return None,
    })
}

/// Returns the point in time of a value; `None` for null and empty text.
///
/// Text is read as ISO 8601, also in the forms that warehouses write; whole numbers
/// as seconds since 1970, or as milliseconds if they are too large for seconds.
///
/// # Errors
/// A clause that follows the name of the column in a message.
pub fn instant(value: &Value, zone: &jiff::tz::TimeZone) -> Result<Option<Timestamp>, String> {
    /// Seconds later than the year 5138 are milliseconds.
    const SECONDS_MAX: u64 = 100_000_000_000;
    match value {
        Value::Null | Value::Absent => Ok(None),
        Value::Timestamp(at) => Ok(Some(*at)),
        Value::DateTime(at) => civil(*at, zone),
        Value::Date(day) => civil(day.to_datetime(jiff::civil::Time::midnight()), zone),
        Value::Int(number) => {
            let at = if number.unsigned_abs() < SECONDS_MAX {
                Timestamp::from_second(*number)
            } else {
                Timestamp::from_millisecond(*number)
            };
            at.map(Some).map_err(|_| "is a time that does not exist".to_owned())
        }
        Value::Text(text) if text.is_empty() => Ok(None),
        Value::Text(text) => match text.parse::<Timestamp>() {
            Ok(at) => Ok(Some(at)),
            Err(_) => instant_of_text(text, zone),
        },
        other => Err(format!("holds {}, not a time", other.type_name())),
    }
}

/// The point in time that a wall clock in `zone` means.
fn civil(at: jiff::civil::DateTime, zone: &jiff::tz::TimeZone) -> Result<Option<Timestamp>, String> {
    match zone.to_ambiguous_zoned(at).compatible() {
        Ok(zoned) => Ok(Some(zoned.timestamp())),
        Err(_) => Err(out_of_reach()),
    }
}

fn out_of_reach() -> String {
    format!("is not a time between {} and {}", Timestamp::MIN, Timestamp::MAX)
}

/// The point in time of a text that is not an instant in ISO 8601 as it stands.
fn instant_of_text(text: &str, zone: &jiff::tz::TimeZone) -> Result<Option<Timestamp>, String> {
    if matches!(text, "infinity" | "-infinity") {
        return Err(format!("is {text}, which is not a point in time"));
    }
    let (local, offset) = split_offset(text);
    if offset.is_empty() {
        if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
            return civil(at, zone);
        }
    } else if let Ok(at) = format!("{local}{offset}").parse::<Timestamp>() {
        return Ok(Some(at));
    }
    let year = local.split_once('-').map_or("", |(year, _)| year);
    match year.parse::<u32>() {
        Ok(year) if year >= 9_999 => Err(out_of_reach()),
        _ => Err("is not a time in ISO 8601, such as `2026-03-01T12:00:00Z`: convert it in the query, for example by \
             `to_timestamp(at, 'DD/MM/YYYY')`, or where the file is made"
            .to_owned()),
    }
}

/// Parts a time from the text after a blank: `UTC`, as BigQuery writes it,
/// `+0000` or `+02:00`, as Snowflake does, or `Z`.
fn split_offset(text: &str) -> (&str, &str) {
    match text.rsplit_once(' ') {
        Some((local, "UTC" | "Z")) => (local, "Z"),
        Some((local, offset)) if offset.starts_with(['+', '-']) => (local, offset),
        _ => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_no_time_is_told_and_stops_nothing() {
        for number in [i64::MIN, i64::MAX] {
            assert!(instant(&Value::Int(number), &jiff::tz::TimeZone::UTC).is_err(), "{number}");
        }
    }

    #[test]
    fn the_time_texts_of_bigquery_and_snowflake_are_read() {
        let berlin = jiff::tz::TimeZone::get("Europe/Berlin").expect("a zone");
        for (text, at) in [
            ("2026-11-22 10:00:00 UTC", "2026-11-22T10:00:00Z"),
            ("2026-11-22 10:00:00.123456 UTC", "2026-11-22T10:00:00.123456Z"),
            ("2026-11-22 10:00:00.000 +0000", "2026-11-22T10:00:00Z"),
            ("2026-11-22 10:00:00.000 +02:00", "2026-11-22T08:00:00Z"),
            ("2026-11-22 10:00:00 -0830", "2026-11-22T18:30:00Z"),
            ("2026-11-22 10:00:00 Z", "2026-11-22T10:00:00Z"),
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            ("2026-11-22 10:00:00+00", "2026-11-22T10:00:00Z"),
            ("2026-11-22 10:00:00", "2026-11-22T09:00:00Z"),
            ("2026-11-22", "2026-11-21T23:00:00Z"),
        ] {
            let expected: Timestamp = at.parse().expect("a time");
            assert_eq!(instant(&Value::Text(text.into()), &berlin), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_told_is_not_called_malformed() {
        let utc = jiff::tz::TimeZone::UTC;
        let why = |value: Value| instant(&value, &utc).expect_err("no point in time");
        for value in [
            Value::Text("9999-12-31T23:59:59Z".into()),
            Value::Text("9999-12-31 23:59:59".into()),
            Value::Text("10000-01-01".into()),
            Value::Date(jiff::civil::date(9999, 12, 31)),
        ] {
            let why = why(value.clone());
            assert!(why.contains("9999-12-30T22:00:00"), "{value:?}: {why}");
        }
        assert!(why(Value::Text("infinity".into())).contains("not a point in time"));
        assert!(why(Value::Text("22/11/2026".into())).contains("ISO 8601"));
    }
}
