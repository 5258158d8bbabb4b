//! From the texts of cells to values, exact.
//!
//! The session has ISO dates, the time zone UTC and all digits of floats (see `source.rs`). The texts are
//! those of PostgreSQL's output functions, from which Redshift descends; `VARBYTE` is digits alone.

use bytes::Bytes;
use jiff::{Timestamp, civil};
use tidegate_model::{Reason, Text, Value, json};
use tidegate_transport::arena::Arena;

use crate::postgres::decode::Shape;

use super::types::SqlType;

/// Returns the value of a cell of a type. Texts are copied once, into `arena`.
///
/// # Errors
/// Why it has none here, without repeating any of it.
pub fn value(sql_type: &SqlType, cell: &str, arena: &mut Arena) -> Result<Value, Reason> {
    let found = match sql_type {
        SqlType::Varchar(_) | SqlType::Geo(_) | SqlType::Other(_) => {
            return Shape::Text.decode(cell.as_bytes(), arena);
        }
        SqlType::Char(_) => return Shape::Padded.decode(cell.as_bytes(), arena),
        SqlType::Super => return Shape::Json.decode(cell.as_bytes(), arena),
        SqlType::Boolean => match cell {
            "t" | "true" => Some(Value::Bool(true)),
            "f" | "false" => Some(Value::Bool(false)),
            _ => None,
        },
        SqlType::Integer(_) => cell.parse().map(Value::Int).ok(),
        SqlType::Double => cell.parse().map(Value::Float).ok(),
        // Selected as 64 bits, see `SqlType::asked`.
        SqlType::Real => cell.parse().ok().and_then(shortest).map(Value::Float),
        SqlType::Numeric(_) => json::is_number(cell).then(|| Value::Decimal(cell.into())),
        SqlType::Varbyte => hexadecimal(cell),
        SqlType::Date => date(cell),
        SqlType::Time => time(cell),
        SqlType::Timestamp => wall(cell, ""),
        SqlType::TimestampTz => cell.strip_suffix(" BC").map_or_else(
            || cell.strip_suffix("+00").and_then(|at| wall(at, "Z")),
            |at| at.strip_suffix("+00").and_then(|at| wall(&format!("{at} BC"), "Z")),
        ),
    };
    let found = match (sql_type, found) {
        (SqlType::TimestampTz, Some(Value::DateTime(at))) => instant(at),
        (_, found) => found,
    };
    found.ok_or_else(|| Reason::new("unknown_form", format!("a {sql_type} that cannot be read")))
}

/// Returns the value of a cell of an unloaded file, whose text is that of [`SqlType::text`].
///
/// # Errors
/// As [`value`].
pub fn unloaded(sql_type: &SqlType, cell: &str, arena: &mut Arena) -> Result<Value, Reason> {
    match sql_type {
        // The wall clock of UTC.
        SqlType::TimestampTz => match wall(cell, "Z") {
            Some(Value::DateTime(at)) => instant(at),
            beyond => beyond,
        }
        .ok_or_else(|| Reason::new("unknown_form", format!("a {sql_type} that cannot be read"))),
        other => value(other, cell, arena),
    }
}

/// Returns a number that had 32 bits before the server widened it.
pub fn widened(number: f64) -> Value {
    Value::Float(shortest(number).unwrap_or(number))
}

/// The shortest decimal that names the same number of 32 bits: 0.1 stays 0.1.
fn shortest(number: f64) -> Option<f64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number had 32 bits before the server widened it"
    )]
    let narrow = number as f32;
    if narrow.is_finite() { narrow.to_string().parse().ok() } else { Some(number) }
}

fn hexadecimal(cell: &str) -> Option<Value> {
    let digit = |sign: u8| char::from(sign).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    };
    let bytes = cell.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>();
    bytes.map(|bytes| Value::Bytes(Bytes::from(bytes)))
}

/// A day: year, month and day, and whether its text is beyond the calendar of this program.
fn day(text: &str) -> Option<Result<civil::Date, String>> {
    let (text, before_christ) = text.strip_suffix(" BC").map_or((text, false), |text| (text, true));
    let mut parts = text.split('-');
    let mut part = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let (year, month, day) = (part()?.parse::<i32>().ok()?, part()?.parse().ok()?, part()?.parse().ok()?);
    if parts.next().is_some() {
        return None;
    }
    if year > 9_999 && !before_christ {
        return Some(Err(text.to_owned()));
    }
    // The year before 1 is 1 BC.
    let year = if before_christ { 1 - year } else { year };
    civil::Date::new(i16::try_from(year).ok()?, month, day).ok().map(Ok)
}

fn date(cell: &str) -> Option<Value> {
    Some(match day(cell)? {
        Ok(day) => Value::Date(day),
        Err(beyond) => Value::Text(beyond.into()),
    })
}

fn time(cell: &str) -> Option<Value> {
    // A midnight at the end of the day is kept as 24:00.
    if cell == "24:00:00" {
        return Some(Value::Text(Text::from_static("24:00:00")));
    }
    clock(cell).map(Value::Time)
}

fn clock(text: &str) -> Option<civil::Time> {
    text.parse().ok()
}

/// A day and a time of day; `zone` ends the text of one that is beyond the calendar.
fn wall(cell: &str, zone: &str) -> Option<Value> {
    let (text, era) = cell.strip_suffix(" BC").map_or((cell, ""), |text| (text, " BC"));
    let (date, time) = text.split_once(' ')?;
    let clock = clock(time)?;
    Some(match day(&format!("{date}{era}"))? {
        Ok(day) => Value::DateTime(day.to_datetime(clock)),
        Err(beyond) => Value::Text(format!("{beyond}T{time}{zone}").into()),
    })
}

/// An instant of UTC; its text after the last one that this program counts with.
fn instant(at: civil::DateTime) -> Option<Value> {
    Some(match at.to_zoned(jiff::tz::TimeZone::UTC) {
        Ok(at) => Value::Timestamp(Timestamp::from(at)),
        Err(_) => Value::Text(format!("{at}Z").into()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_transport::sql::table::ColumnSql as _;

    use super::*;

    fn shown(sql_type: &SqlType, cell: &str) -> String {
        let value = value(sql_type, cell, &mut Arena::default())
            .unwrap_or_else(|reason| panic!("{cell}: {reason:?}"));
        assert!(matches!(value, Value::Text(_)) || sql_type.data_type().holds(&value), "{cell}: {value:?}");
        value.to_text().map(|text| text.to_string()).unwrap_or_default()
    }

    #[test]
    fn times_are_read_to_the_microsecond_before_christ_and_after_the_year_9999() {
        for (sql_type, cell, text) in [
            (SqlType::Date, "2024-02-29", "2024-02-29"),
            (SqlType::Date, "4713-01-01 BC", "-004712-01-01"),
            (SqlType::Date, "294276-12-31", "294276-12-31"),
            (SqlType::Time, "23:59:59.999999", "23:59:59.999999"),
            (SqlType::Timestamp, "2026-03-29 02:30:00.123456", "2026-03-29T02:30:00.123456"),
            (SqlType::Timestamp, "0044-03-15 00:00:00 BC", "-000043-03-15T00:00:00"),
            (SqlType::TimestampTz, "2026-03-29 00:30:00.5+00", "2026-03-29T00:30:00.5Z"),
            (SqlType::TimestampTz, "0044-03-15 00:00:00+00 BC", "-000043-03-15T00:00:00Z"),
            (SqlType::TimestampTz, "9999-12-31 23:59:59.999999+00", "9999-12-31T23:59:59.999999Z"),
            (SqlType::TimestampTz, "10000-01-01 00:00:00+00", "10000-01-01T00:00:00Z"),
        ] {
            assert_eq!(shown(&sql_type, cell), text, "{cell}");
        }
    }

    #[test]
    fn a_cell_that_is_no_value_of_its_type_is_refused_without_its_text() {
        for (sql_type, cell) in [
            (SqlType::Boolean, "maybe"),
            (SqlType::Integer("bigint"), "9223372036854775808"),
            (SqlType::Numeric(None), "1,5"),
            (SqlType::Varbyte, "0"),
            (SqlType::Date, "2026-02-30"),
            (SqlType::TimestampTz, "2026-03-01 00:00:00+02"),
        ] {
            let reason = value(&sql_type, cell, &mut Arena::default()).unwrap_err();
            assert_eq!(reason.message, format!("a {sql_type} that cannot be read"));
        }
    }

    proptest! {
        #[test]
        fn texts_that_are_no_cell_are_refused_without_a_panic(cell in "[-0-9: .+TZBCé]{0,40}") {
            for sql_type in [SqlType::Date, SqlType::Time, SqlType::Timestamp, SqlType::TimestampTz, SqlType::Real,
                SqlType::Numeric(None), SqlType::Varbyte, SqlType::Boolean] {
                let _ = value(&sql_type, &cell, &mut Arena::default());
            }
        }
    }
}
