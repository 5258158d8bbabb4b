//! From the texts of cells to values, exact.
//!
//! Source: Snowflake docs, SQL API, "Handling responses". The formats are those that each request asks
//! for; the numbers that come without a format (days, seconds) are read as well.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp, civil};
use tidegate_model::{Json, Reason, Value, json};
use tidegate_transport::arena::Keep;

use super::types::SqlType;

/// What the offset of a numeric `TIMESTAMP_TZ` is counted from, in minutes.
const NO_OFFSET: i64 = 1_440;

/// Returns the value of a cell of a type, whose texts are kept where `keep` says.
///
/// # Errors
/// Why it has none here, without repeating any of it.
pub fn value(sql_type: &SqlType, cell: &str, keep: &mut impl Keep) -> Result<Value, Reason> {
    let found = match sql_type {
        SqlType::Text(_) | SqlType::Geo(_) | SqlType::Other(_) => Some(Value::Text(keep.text(cell))),
        SqlType::Number(_, 0) => cell.parse().map(Value::Int).ok().or_else(|| decimal(cell, keep)),
        SqlType::Number(..) => decimal(cell, keep),
        SqlType::Float => cell.parse().map(Value::Float).ok(),
        SqlType::Boolean => match cell {
            "true" | "TRUE" | "1" => Some(Value::Bool(true)),
            "false" | "FALSE" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        SqlType::Binary => hexadecimal(cell),
        SqlType::Date => date(cell),
        SqlType::Time => time(cell),
        SqlType::TimestampNtz => wall(cell),
        SqlType::TimestampLtz | SqlType::TimestampTz => instant(cell),
        SqlType::Variant | SqlType::Object(_) | SqlType::Array(_) => {
            return Json::parse(keep.text(cell)).map(Value::Json);
        }
    };
    found.ok_or_else(|| Reason::new("unknown_form", format!("a {sql_type} that cannot be read")))
}

/// A number, digit for digit.
fn decimal(cell: &str, keep: &mut impl Keep) -> Option<Value> {
    if json::is_number(cell) {
        return Some(Value::Decimal(keep.text(cell)));
    }
    // `.5` has the same digits as `0.5`, which JSON knows.
    let (sign, digits) = cell.strip_prefix('-').map_or(("", cell), |digits| ("-", digits));
    let whole = format!("{sign}0{digits}");
    (digits.starts_with('.') && json::is_number(&whole)).then(|| Value::Decimal(whole.into()))
}

fn hexadecimal(cell: &str) -> Option<Value> {
    let digit = |sign: u8| char::from(sign).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    };
    cell.as_bytes()
        .chunks(2)
        .map(byte)
        .collect::<Option<Vec<u8>>>()
        .map(|bytes| Value::Bytes(Bytes::from(bytes)))
}

/// A number of seconds with nine decimals, its sign that of the whole number.
fn seconds(cell: &str) -> Option<SignedDuration> {
    let (sign, digits) = cell.strip_prefix('-').map_or((1, cell), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let nanoseconds: i32 = format!("{fraction:0<9}").parse().ok()?;
    Some(SignedDuration::new(sign * whole.parse::<i64>().ok()?, i32::try_from(sign).ok()? * nanoseconds))
}

fn date(cell: &str) -> Option<Value> {
    if let Ok(days) = cell.parse::<i32>() {
        let since = SignedDuration::from_hours(24 * i64::from(days));
        return civil::date(1970, 1, 1).checked_add(since).map(Value::Date).ok();
    }
    cell.parse().map(Value::Date).ok().or_else(|| beyond(cell))
}

fn time(cell: &str) -> Option<Value> {
    if cell.contains(':') {
        return cell.parse().map(Value::Time).ok();
    }
    civil::Time::midnight().checked_add(seconds(cell)?).map(Value::Time).ok()
}

fn wall(cell: &str) -> Option<Value> {
    if cell.contains(':') {
        return cell.parse().map(Value::DateTime).ok().or_else(|| beyond(cell));
    }
    civil::datetime(1970, 1, 1, 0, 0, 0, 0).checked_add(seconds(cell)?).map(Value::DateTime).ok()
}

fn instant(cell: &str) -> Option<Value> {
    if cell.contains(':') {
        return cell.parse().map(Value::Timestamp).ok().or_else(|| beyond(cell));
    }
    let (since, offset) = cell.split_once(' ').map_or((cell, None), |(since, offset)| (since, Some(offset)));
    let is_offset = |minutes: i64| (0..=2 * NO_OFFSET).contains(&minutes);
    if offset.is_some_and(|offset| !offset.parse().is_ok_and(is_offset)) {
        return None;
    }
    Timestamp::UNIX_EPOCH.checked_add(seconds(since)?).map(Value::Timestamp).ok()
}

/// A day or a moment of the year 9999 or a later one, which no calendar here reaches: its text,
/// without what means nothing.
fn beyond(cell: &str) -> Option<Value> {
    let year = cell.split_once('-')?.0.parse::<u32>().ok()?;
    let (moment, zone) = cell.split_once("+00:00").map_or((cell, ""), |(moment, _)| (moment, "Z"));
    let moment = match moment.contains('.') {
        true => moment.trim_end_matches('0').trim_end_matches('.'),
        false => moment,
    };
    (year >= 9_999).then(|| Value::Text(format!("{moment}{zone}").into()))
}

#[cfg(test)]
mod tests {
    use tidegate_transport::arena::Alone;

    use tidegate_transport::sql::table::ColumnSql as _;

    use super::*;

    fn text(sql_type: &SqlType, cell: &str) -> String {
        let mut out = String::new();
        let value = value(sql_type, cell, &mut Alone).unwrap_or_else(|reason| panic!("{cell}: {reason:?}"));
        assert!(sql_type.data_type().holds(&value), "{sql_type}: {value:?}");
        value.write_json(&mut out).unwrap();
        out
    }

    /// As documented without formats, and as the formats of requests have them.
    #[test]
    fn a_cell_says_the_same_with_a_format_and_without() {
        for (sql_type, cells, expected) in [
            (SqlType::Date, ["18262", "2020-01-01"], "\"2020-01-01\""),
            (SqlType::Date, ["-719162", "0001-01-01"], "\"0001-01-01\""),
            (SqlType::Time, ["82919.000000000", "23:01:59.000000000"], "\"23:01:59\""),
            (
                SqlType::TimestampNtz,
                ["1616173619.123456789", "2021-03-19T17:06:59.123456789"],
                "\"2021-03-19T17:06:59.123456789\"",
            ),
            (
                SqlType::TimestampNtz,
                ["-0.500000000", "1969-12-31T23:59:59.500000000"],
                "\"1969-12-31T23:59:59.5\"",
            ),
            (
                SqlType::TimestampLtz,
                ["1616173619.000000001", "2021-03-19T17:06:59.000000001+00:00"],
                "\"2021-03-19T17:06:59.000000001Z\"",
            ),
            (
                SqlType::TimestampTz,
                ["1616173619.000000000 1500", "2021-03-19T18:06:59.000000000+01:00"],
                "\"2021-03-19T17:06:59Z\"",
            ),
            (
                SqlType::TimestampTz,
                ["1616173619.000000000 960", "2021-03-19T09:06:59.000000000-08:00"],
                "\"2021-03-19T17:06:59Z\"",
            ),
        ] {
            for cell in cells {
                assert_eq!(text(&sql_type, cell), expected, "{sql_type} {cell}");
            }
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        for (sql_type, cell, expected) in [
            (SqlType::Number(38, 0), "9007199254740993", "9007199254740993"),
            (
                SqlType::Number(38, 0),
                "-99999999999999999999999999999999999999",
                "-99999999999999999999999999999999999999",
            ),
            (SqlType::Number(4, 2), "719.00", "719.00"),
            (SqlType::Number(38, 37), "-.5", "-0.5"),
            (SqlType::Float, "1.7976931348623157e+308", "1.7976931348623157e308"),
            (SqlType::Binary, "00ff", "\"AP8=\""),
            (SqlType::Variant, "null", "null"),
        ] {
            let shown = text(&sql_type, cell);
            let same = shown == expected || shown.parse::<f64>().ok() == expected.parse::<f64>().ok();
            assert!(same, "{cell}: {shown}");
        }
        assert!(
            matches!(value(&SqlType::Float, "NaN", &mut Alone), Ok(Value::Float(number)) if number.is_nan())
        );
        assert!(matches!(value(&SqlType::Float, "-inf", &mut Alone), Ok(Value::Float(f64::NEG_INFINITY))));
    }

    #[test]
    fn a_moment_that_no_calendar_here_reaches_stays_text() {
        assert_eq!(
            text(&SqlType::TimestampLtz, "9999-12-31T23:59:59.999999000+00:00"),
            "\"9999-12-31T23:59:59.999999Z\""
        );
        assert_eq!(
            text(&SqlType::TimestampNtz, "10000-01-01T00:00:00.000000000"),
            "\"10000-01-01T00:00:00\""
        );
        assert_eq!(text(&SqlType::Date, "10000-01-01"), "\"10000-01-01\"");
    }

    #[test]
    fn what_cannot_be_read_is_told_without_the_cell() {
        for (sql_type, cell) in [
            (SqlType::Number(9, 2), "1,5"),
            (SqlType::Boolean, "yes"),
            (SqlType::Binary, "0f0"),
            (SqlType::Date, "zanzibar"),
            (SqlType::TimestampTz, "1.5 9999"),
            (SqlType::TimestampNtz, "1.0000000001"),
        ] {
            let reason = value(&sql_type, cell, &mut Alone).unwrap_err();
            assert!(!reason.message.contains(cell), "{reason:?}");
        }
    }
}
