//! The position of a cursor, and the lookback before it.

use std::cmp::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, civil};
use serde::{Deserialize, Serialize};

use crate::Value;
use crate::decimal::whole_part;

/// How far before the cursor a run reads again, for rows that were committed late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lookback {
    /// For cursors that are times.
    Time(Duration),
    /// For cursors that are numbers.
    Units(u64),
}

/// The highest committed cursor value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub Value);

impl Position {
    /// Returns the lowest cursor value that the next run must look at again.
    ///
    /// Returns `None` if `lookback` cannot be taken from the value: the unit is
    /// not that of its type, its type knows no subtraction (text), or it is a
    /// number of more than 39 digits, or none (`NaN`). There is no lookback
    /// then, and it is for the caller to say so.
    pub fn back(&self, lookback: Lookback) -> Option<Value> {
        Some(match (&self.0, lookback) {
            (Value::Timestamp(at), Lookback::Time(span)) => {
                Value::Timestamp(at.checked_sub(signed(span)).unwrap_or(Timestamp::MIN))
            }
            (Value::DateTime(at), Lookback::Time(span)) => {
                Value::DateTime(at.checked_sub(signed(span)).unwrap_or(civil::DateTime::MIN))
            }
            (Value::Date(day), Lookback::Time(span)) => {
                let days = i64::try_from(span.as_secs().div_ceil(86_400)).unwrap_or(i64::MAX);
                let back = SignedDuration::from_hours(days.saturating_mul(24).min(1 << 40));
                Value::Date(day.checked_sub(back).unwrap_or(civil::Date::MIN))
            }
            (Value::Int(number), Lookback::Units(units)) => {
                Value::Int(number.saturating_sub(i64::try_from(units).unwrap_or(i64::MAX)))
            }
            (Value::Decimal(number), Lookback::Units(units)) => {
                // One more than asked for, so that the fraction need not be looked at.
                let back = whole_part(number)?.saturating_sub(i128::from(units) + 1);
                Value::Decimal(back.to_string().into())
            }
            // As precise as the cursor itself: beyond 2^53 a step of one is no step for it either.
            #[expect(clippy::cast_precision_loss, reason = "the value is a float: it has no more digits")]
            (Value::Float(number), Lookback::Units(units)) if number.is_finite() => {
                Value::Float(number - units as f64)
            }
            _ => return None,
        })
    }

    /// Moves on to `value` if that is higher.
    pub fn advance(&mut self, value: &Value) {
        if value.compare(&self.0) == Some(Ordering::Greater) {
            self.0 = value.clone();
        }
    }
}

fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_MINUTES: Lookback = Lookback::Time(Duration::from_secs(600));
    const UNITS: Lookback = Lookback::Units(10_000);

    #[test]
    fn the_lookback_reaches_back_in_the_cursors_own_unit() {
        let at: Timestamp = "2026-03-01T00:05:00Z".parse().expect("timestamp");
        let back = Position(Value::Timestamp(at)).back(TEN_MINUTES);
        assert_eq!(back, Some(Value::Timestamp("2026-02-28T23:55:00Z".parse().expect("timestamp"))));
        assert_eq!(Position(Value::Int(5)).back(UNITS), Some(Value::Int(-9_995)));
        let decimal = Position(Value::Decimal("100.75".into())).back(Lookback::Units(10));
        assert_eq!(decimal, Some(Value::Decimal("89".into())));
        for (cursor, low) in [("-1.5e5", "-150011"), ("1.5e5", "149989"), ("15e4", "149989")] {
            let back = Position(Value::Decimal(cursor.into())).back(Lookback::Units(10));
            assert_eq!(back, Some(Value::Decimal(low.into())), "{cursor}");
        }
        let float = Position(Value::Float(100.75)).back(Lookback::Units(10));
        assert_eq!(float, Some(Value::Float(90.75)));
        let day = Position(Value::Date(civil::date(2026, 3, 1))).back(TEN_MINUTES);
        assert_eq!(day, Some(Value::Date(civil::date(2026, 2, 28))));
    }

    #[test]
    fn a_value_without_a_lookback_is_never_taken_for_one() {
        for (value, lookback) in [
            (Value::Text("b".into()), TEN_MINUTES),
            (Value::Text("b".into()), UNITS),
            (Value::Int(5), TEN_MINUTES),
            (Value::Timestamp(Timestamp::UNIX_EPOCH), UNITS),
            (Value::Decimal("NaN".into()), UNITS),
            (Value::Decimal("1".repeat(40).into()), UNITS),
            (Value::Float(f64::NAN), UNITS),
        ] {
            assert_eq!(Position(value.clone()).back(lookback), None, "{value:?} and {lookback:?}");
        }
    }

    #[test]
    fn the_lowest_number_is_not_passed() {
        let lowest = Value::Decimal(i128::MIN.to_string().into());
        assert_eq!(Position(lowest.clone()).back(UNITS), Some(lowest));
    }

    #[test]
    fn the_beginning_of_time_is_not_passed() {
        let back = Position(Value::Timestamp(Timestamp::MIN)).back(TEN_MINUTES);
        assert_eq!(back, Some(Value::Timestamp(Timestamp::MIN)));
    }
}
