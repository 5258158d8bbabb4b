//! What the dialects share whose session has the time zone UTC, and whose wall clock is `SYSDATE`.

use super::{Clock, Number};
use crate::sql::literal;

/// Returns what the clock shows: `instant` is the current instant, `sysdate` the wall clock in UTC.
pub fn now(shown: Clock, time_zone: &str, instant: &str, sysdate: &str) -> String {
    // A backslash is an escape here; no time zone has one.
    let zone = literal(&time_zone.replace('\\', ""));
    let zoned = format!("CONVERT_TIMEZONE('UTC', {zone}, {sysdate})");
    match shown {
        Clock::Timestamp => instant.to_owned(),
        Clock::DateTime => zoned,
        Clock::Date => format!("CAST({zoned} AS DATE)"),
    }
}

/// Returns the condition that a number is one of `values`, which are `NaN` and the infinite ones, or that it is
/// none; decimals have neither.
pub fn endless(expression: &str, values: &str, number: Number, is_endless: bool) -> String {
    let operator = if is_endless { "IN" } else { "NOT IN" };
    match number {
        Number::Float => format!("{expression} {operator} ({values})"),
        Number::Decimal => (!is_endless).to_string(),
    }
}
