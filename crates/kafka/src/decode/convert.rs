//! From a piece of JSON text to a cell.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use tidegate_model::{DataType, Json, Reason, Text, Value, json, mapping};

use super::settings::Reading;

/// In a second.
const NANOSECONDS: i64 = 1_000_000_000;

/// The cell of `raw`, a piece of JSON inside `whole` whose bytes it shares.
#[inline]
pub(super) fn value(raw: &str, whole: &Text, reading: Reading) -> Result<Value, Reason> {
    if raw == "null" {
        return Ok(Value::Null);
    }
    match reading {
        Reading::Auto => scalar(raw, whole),
        Reading::EpochS => instant(raw, whole, 1),
        Reading::EpochMs => instant(raw, whole, 1_000),
        Reading::EpochUs => instant(raw, whole, 1_000_000),
        Reading::Iso => iso(raw, whole),
        Reading::Text => Ok(Value::Text(match raw.starts_with('"') {
            true => unquoted(raw, whole)?,
            false => whole.slice_ref(raw),
        })),
        Reading::Json => Ok(Value::Json(match raw.starts_with('"') {
            true => Json::parse(unquoted(raw, whole)?)?,
            false => Json::trusted(whole.slice_ref(raw)),
        })),
    }
}

/// Scalars as such, objects and arrays as JSON.
#[inline]
pub(super) fn scalar(raw: &str, whole: &Text) -> Result<Value, Reason> {
    Ok(match raw.as_bytes().first() {
        Some(b'"') => Value::Text(unquoted(raw, whole)?),
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'n') | None => Value::Null,
        Some(b'{' | b'[') => Value::Json(Json::trusted(whole.slice_ref(raw))),
        Some(_) => match raw.parse::<i64>() {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Decimal(whole.slice_ref(raw)),
        },
    })
}

/// The content of a JSON string; without escapes it shares the bytes.
#[inline]
fn unquoted(raw: &str, whole: &Text) -> Result<Text, Reason> {
    let inner = &raw[1..raw.len() - 1];
    // In a JSON string only a backslash does: it begins the escape of another character.
    if !json::needs_escape(inner.as_bytes()) {
        return Ok(whole.slice_ref(inner));
    }
    serde_json::from_str::<String>(raw)
        .map(Text::from)
        .map_err(|_| Reason::new("invalid_json", "a text has an escape that means no character"))
}

/// The number or the number in a text, as digits.
fn digits(raw: &str, whole: &Text) -> Result<Text, Reason> {
    match raw.as_bytes().first() {
        Some(b'"') => unquoted(raw, whole),
        _ => Ok(whole.slice_ref(raw)),
    }
}

/// The point in time that is `raw` units after 1970; `a_second` units are one second.
fn instant(raw: &str, whole: &Text, a_second: i64) -> Result<Value, Reason> {
    let text = digits(raw, whole)?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let unit = NANOSECONDS / a_second;
    let at = match text.parse::<i64>() {
        // Nearly every one: needs no number of 128 bits.
        Ok(whole) => {
            let rest = i32::try_from(whole.rem_euclid(a_second) * unit).ok();
            rest.and_then(|rest| Timestamp::new(whole.div_euclid(a_second), rest).ok())
        }
        Err(_) => nanoseconds(&text, unit.into()).and_then(|at| Timestamp::from_nanosecond(at).ok()),
    };
    at.map(Value::Timestamp)
        .ok_or_else(|| Reason::new("not_a_time", "is not a number of seconds or milliseconds since 1970"))
}

/// `text` times `unit`, exact; digits below a nanosecond are dropped.
fn nanoseconds(text: &str, unit: i128) -> Option<i128> {
    if text.contains(['e', 'E']) {
        // Written by a printer of floats: what it means is a float.
        let number: f64 = text.parse().ok()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast of what is out of range ends at the limit"
        )]
        return number.is_finite().then(|| (number * unit as f64).round() as i128);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let mut nanoseconds = whole.parse::<i64>().ok().map(i128::from)? * unit;
    let mut scale = unit;
    for digit in fraction.bytes() {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        scale /= 10;
        nanoseconds += if negative { -digit * scale } else { digit * scale };
    }
    Some(nanoseconds)
}

/// A time in ISO 8601, with or without a zone; also a day alone.
fn iso(raw: &str, whole: &Text) -> Result<Value, Reason> {
    let wrong = || Reason::new("not_a_time", "is not a time in ISO 8601");
    if !raw.starts_with('"') {
        return Err(wrong());
    }
    let text = unquoted(raw, whole)?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Value::Timestamp(at));
    }
    // `2026-01-02T03:04:05Z` never gets here: jiff reads a zone before this.
    let clock = match text.contains(['T', 't', ' ']) {
        true => text.parse::<civil::DateTime>().map(Value::DateTime),
        false => text.parse::<civil::Date>().map(Value::Date),
    };
    if let Ok(clock) = clock {
        return Ok(clock);
    }
    // As warehouses write them: `2026-01-02 03:04:05 UTC`, `… +0000`.
    if let Ok(Some(at)) = mapping::instant(&Value::Text(text.clone()), &TimeZone::UTC) {
        return Ok(Value::Timestamp(at));
    }
    // No instant that can be counted with, as `9999-12-31T23:59:59Z`, is text in every source.
    let text = Value::Text(text);
    if DataType::Timestamp.holds(&text) { Ok(text) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn warehouse_times_and_the_end_of_time_are_times() {
        let read = |text: &str| {
            let raw = Text::from(format!("\"{text}\""));
            value(&raw, &raw, Reading::Iso)
        };
        let at = |text: &str| Ok(Value::Timestamp(text.parse().expect("a time")));
        for text in ["2026-11-22 10:00:00 UTC", "2026-11-22 10:00:00.000 +0000", "2026-11-22 12:00:00 +02:00"]
        {
            assert_eq!(read(text), at("2026-11-22T10:00:00Z"), "{text}");
        }
        assert_eq!(read("9999-12-31T23:59:59Z"), Ok(Value::Text("9999-12-31T23:59:59Z".into())));
        assert_eq!(read("2026-11-22 10:00"), Ok(Value::DateTime(civil::date(2026, 11, 22).at(10, 0, 0, 0))));
        assert_eq!(read("2026-11-22"), Ok(Value::Date(civil::date(2026, 11, 22))));
        for text in ["22.11.2026", "soon", "2026-11-22 10:00:00 noon"] {
            assert_eq!(read(text).expect_err("no time").code, "not_a_time", "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_whole_number_is_the_instant_that_its_nanoseconds_are(number: i64, small in -99_999_i64..99_999) {
            for (number, unit) in
                [number, small, small * 1_000_000_000_000].into_iter().flat_map(|it| [1, 1_000, 1_000_000].map(|unit| (it, unit)))
            {
                let text = Text::from(number.to_string());
                let exact = i128::from(number) * i128::from(NANOSECONDS / unit);
                let expected = Timestamp::from_nanosecond(exact).ok().map(Value::Timestamp);
                prop_assert_eq!(instant(&text, &text, unit).ok(), expected);
            }
        }
    }
}
