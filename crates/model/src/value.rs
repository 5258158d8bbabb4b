//! One cell of a row, exact.

use std::cmp::Ordering;
use std::fmt::Write as _;

use bytes::Bytes;
use jiff::{Timestamp, civil};
use serde::{Deserialize, Serialize};

use crate::decimal::{Scientific, whole_part};
use crate::print::{self, Printed};
use crate::{Json, Reason, json};

/// Text as a shared slice of the bytes that were read; cloning does not copy.
pub use bytestring::ByteString as Text;

/// One cell of a row.
///
/// Nothing passes through a float that was not a float at the source: decimals
/// stay text, timestamps keep their nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// SQL `NULL`, an empty CSV cell, a JSON `null`.
    #[default]
    Null,
    /// Nothing was written: a member that a JSON line or a message lacks, a column that a file
    /// lacks. It counts as null, except that it need not be sent.
    Absent,
    /// True or false.
    Bool(bool),
    /// A whole number of up to 64 bits.
    Int(i64),
    /// A binary floating-point number, as the source has it.
    Float(f64),
    /// A decimal number, digit for digit as the source writes it.
    Decimal(Text),
    /// Characters; also enums, UUIDs, network addresses and composite types.
    Text(Text),
    /// JSON that was checked once and is carried as it is; also arrays.
    Json(Json),
    /// Raw bytes; in JSON they become base64.
    Bytes(Bytes),
    /// A point in time.
    Timestamp(Timestamp),
    /// A date and time on a wall clock whose time zone the source does not say.
    DateTime(civil::DateTime),
    /// A calendar day.
    Date(civil::Date),
    /// A time of day.
    Time(civil::Time),
}

impl Value {
    /// Returns whether the cell holds nothing: null, or absent.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null | Value::Absent)
    }

    /// Returns the name of the type, as in messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Absent => "absent",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "float",
            Value::Decimal(_) => "decimal",
            Value::Text(_) => "text",
            Value::Json(_) => "JSON",
            Value::Bytes(_) => "bytes",
            Value::Timestamp(_) => "timestamp",
            Value::DateTime(_) => "timestamp without time zone",
            Value::Date(_) => "date",
            Value::Time(_) => "time",
        }
    }

    /// Returns the value as plain text, for an identifier or a name; `None` for null.
    pub fn to_text(&self) -> Option<Text> {
        Some(match self {
            Value::Null | Value::Absent => return None,
            Value::Bool(true) => Text::from_static("true"),
            Value::Bool(false) => Text::from_static("false"),
            Value::Decimal(text) | Value::Text(text) => text.clone(),
            Value::Json(json) => json.text().clone(),
            other => {
                let mut text = String::new();
                other.write_text(&mut text);
                text.into()
            }
        })
    }

    /// Appends the text of [`Value::to_text`]; nothing for null.
    pub fn write_text(&self, out: &mut String) {
        // Writing to a `String` cannot fail.
        let _ = match self {
            Value::Null | Value::Absent => Ok(()),
            Value::Bool(value) => write!(out, "{value}"),
            Value::Int(number) => {
                print::number(*number, out);
                Ok(())
            }
            Value::Float(number) => write!(out, "{number}"),
            Value::Decimal(text) | Value::Text(text) => out.write_str(text),
            Value::Json(json) => out.write_str(json.as_str()),
            Value::Bytes(bytes) => out.write_str(&json::base64(bytes)),
            Value::Timestamp(at) => out.write_str(Printed::moment(*at).as_str()),
            Value::DateTime(at) => write!(out, "{at}"),
            Value::Date(day) => write!(out, "{day}"),
            Value::Time(time) => write!(out, "{time}"),
        };
    }

    /// Returns a number without its fraction; `None` for what is no number, and for one that has more
    /// digits than 128 bits hold.
    pub fn whole_part(&self) -> Option<i128> {
        match self {
            Value::Int(number) => Some((*number).into()),
            Value::Decimal(digits) => whole_part(digits),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the fraction is not wanted; a cast saturates"
            )]
            Value::Float(number) if number.is_finite() => Some(*number as i128),
            _ => None,
        }
    }

    /// Appends the value as JSON.
    ///
    /// # Errors
    /// A float that is not a finite number has no JSON form.
    pub fn write_json(&self, out: &mut String) -> Result<(), Reason> {
        match self {
            Value::Null | Value::Absent => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Int(number) => print::number(*number, out),
            Value::Float(number) if number.is_finite() => {
                let _ = write!(out, "{number}");
            }
            Value::Float(number) => {
                return Err(Reason::new("not_a_number", format!("{number} has no JSON form")));
            }
            Value::Decimal(text) if json::is_number(text) => out.push_str(text),
            Value::Decimal(text) => {
                return Err(Reason::new("not_a_number", format!("{text} has no JSON form")));
            }
            Value::Text(text) => json::write_string(text, out),
            Value::Json(json) => out.push_str(json.as_str()),
            Value::Bytes(bytes) => {
                out.push('"');
                out.push_str(&json::base64(bytes));
                out.push('"');
            }
            Value::Timestamp(at) => json::write_string(Printed::moment(*at).as_str(), out),
            Value::DateTime(at) => {
                let _ = write!(out, "\"{at}\"");
            }
            Value::Date(day) => {
                let _ = write!(out, "\"{day}\"");
            }
            Value::Time(time) => {
                let _ = write!(out, "\"{time}\"");
            }
        }
        Ok(())
    }

    /// Appends bytes that differ for any two different values, for hashing.
    pub(crate) fn write_canonical(&self, out: &mut Vec<u8>) {
        let (tag, bytes): (u8, &[u8]) = match self {
            Value::Null => (0, &[]),
            Value::Absent => (12, &[]),
            Value::Bool(value) => (1, if *value { &[1] } else { &[0] }),
            Value::Int(value) => return canonical(out, 2, &value.to_le_bytes()),
            Value::Float(value) => return canonical(out, 3, &value.to_bits().to_le_bytes()),
            Value::Decimal(text) => (4, text.as_bytes()),
            Value::Text(text) => (5, text.as_bytes()),
            Value::Json(json) => (6, json.as_str().as_bytes()),
            Value::Bytes(bytes) => (7, bytes),
            Value::Timestamp(at) => return canonical(out, 8, &at.as_nanosecond().to_le_bytes()),
            Value::DateTime(at) => {
                let day = civil_day(at.date());
                canonical(out, 9, &day);
                return canonical(out, 9, &nanosecond_of_day(at.time()).to_le_bytes());
            }
            Value::Date(day) => return canonical(out, 10, &civil_day(*day)),
            Value::Time(time) => return canonical(out, 11, &nanosecond_of_day(*time).to_le_bytes()),
        };
        canonical(out, tag, bytes);
    }

    /// Returns the order of two cursor values of the same type; `None` if they do not compare.
    /// Integers also compare with decimals.
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            (Value::DateTime(a), Value::DateTime(b)) => Some(a.cmp(b)),
            (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
            (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Value::Decimal(a), Value::Decimal(b)) => compare_decimals(a, b),
            (Value::Int(a), Value::Decimal(b)) => compare_decimals(&a.to_string(), b),
            (Value::Decimal(a), Value::Int(b)) => compare_decimals(a, &b.to_string()),
            _ => None,
        }
    }
}

fn canonical(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    let [a, b, c, d] = (bytes.len() as u32).to_le_bytes();
    out.extend_from_slice(&[tag, a, b, c, d]);
    out.extend_from_slice(bytes);
}

fn civil_day(day: civil::Date) -> [u8; 4] {
    let [a, b] = day.year().to_le_bytes();
    [a, b, day.month().to_le_bytes()[0], day.day().to_le_bytes()[0]]
}

fn nanosecond_of_day(time: civil::Time) -> i64 {
    let seconds = i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * 1_000_000_000 + i64::from(time.subsec_nanosecond())
}

/// Compares two decimal numbers (`-12.50`, `1.5e3`) without rounding; `None` for a text that is
/// not a number (`NaN`).
fn compare_decimals(a: &str, b: &str) -> Option<Ordering> {
    if !json::is_number(a) || !json::is_number(b) {
        return None;
    }
    if a.contains(['e', 'E']) || b.contains(['e', 'E']) {
        return compare_with_exponents(a, b);
    }
    fn parts(text: &str) -> (bool, &str, &str) {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        (negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction)
    }
    let (a_negative, a_whole, a_fraction) = parts(a);
    let (b_negative, b_whole, b_fraction) = parts(b);
    let magnitude = (a_whole.len().cmp(&b_whole.len()))
        .then_with(|| a_whole.cmp(b_whole))
        .then_with(|| a_fraction.cmp(b_fraction));
    Some(signed(a_negative, b_negative, magnitude))
}

/// Compares two numbers of which at least one has an exponent: by the power of ten of their first
/// digit, then digit by digit. `None` if an exponent is beyond 64 bits.
fn compare_with_exponents(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (Scientific::of(a)?, Scientific::of(b)?);
    let magnitude = a.power.cmp(&b.power).then_with(|| a.digits.cmp(&b.digits));
    Some(signed(a.negative, b.negative, magnitude))
}

/// The order of two numbers with these signs, whose magnitudes have this order.
fn signed(a_negative: bool, b_negative: bool, magnitude: Ordering) -> Ordering {
    match (a_negative, b_negative) {
        (false, false) => magnitude,
        (true, true) => magnitude.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_compare_digit_by_digit() {
        let cases = [
            ("1", "2", Ordering::Less),
            ("10", "9", Ordering::Greater),
            ("-10", "9", Ordering::Less),
            ("-10", "-9", Ordering::Less),
            ("0.30", "0.3", Ordering::Equal),
            ("-0", "0.00", Ordering::Equal),
            ("12345678901234567890.1", "12345678901234567890.10000001", Ordering::Less),
        ];
        for (a, b, expected) in cases {
            assert_eq!(compare_decimals(a, b), Some(expected), "{a} against {b}");
        }
    }

    #[test]
    fn a_cursor_of_decimals_with_exponents_is_ordered_by_value() {
        let cases = [
            ("1e5", "99999", Ordering::Greater),
            ("1e5", "100000", Ordering::Equal),
            ("1.50E+2", "150.0", Ordering::Equal),
            ("2e-3", "0.01", Ordering::Less),
            ("-1e5", "-99999", Ordering::Less),
            ("0e9", "0", Ordering::Equal),
            ("0.0", "1e-300", Ordering::Less),
            ("-1e-300", "0", Ordering::Less),
            ("9e99", "1e100", Ordering::Less),
            ("12e1", "1.3e2", Ordering::Less),
        ];
        for (a, b, expected) in cases {
            let compared = Value::Decimal(a.into()).compare(&Value::Decimal(b.into()));
            assert_eq!(compared, Some(expected), "{a} against {b}");
            let swapped = Value::Decimal(b.into()).compare(&Value::Decimal(a.into()));
            assert_eq!(swapped, Some(expected.reverse()), "{b} against {a}");
        }
        assert_eq!(Value::Int(100_000).compare(&Value::Decimal("1e5".into())), Some(Ordering::Equal));
        assert_eq!(Value::Decimal("1e99999999999999999999".into()).compare(&Value::Int(1)), None);
    }

    #[test]
    fn values_of_different_types_never_share_canonical_bytes() {
        let values = [
            Value::Null,
            Value::Absent,
            Value::Bool(false),
            Value::Int(0),
            Value::Float(0.0),
            Value::Decimal("0".into()),
            Value::Text("0".into()),
            Value::Text("".into()),
            Value::Bytes(Bytes::from_static(b"0")),
        ];
        let mut seen = std::collections::HashSet::new();
        for value in &values {
            let mut out = Vec::new();
            value.write_canonical(&mut out);
            assert!(seen.insert(out), "{value:?}");
        }
    }

    #[test]
    fn json_keeps_every_digit_of_a_decimal() {
        let mut out = String::new();
        Value::Decimal("12345678901234567890.123456789".into()).write_json(&mut out).expect("finite");
        assert_eq!(out, "12345678901234567890.123456789");
        assert!(Value::Decimal("NaN".into()).write_json(&mut out).is_err());
        assert!(Value::Float(f64::INFINITY).write_json(&mut out).is_err());
    }
}
