//! Where a cursor stands, and how far back a run looks again.

use std::cmp::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, civil};
use serde::{Deserialize, Serialize};

use crate::Value;

/// How far behind the cursor a run looks again for rows that came late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// For cursors that are times.
    Time(Duration),
    /// For cursors that are numbers.
    Units(u64),
}

impl Overlap {
    /// Ten minutes.
    pub const DEFAULT: Overlap = Overlap::Time(Duration::from_secs(600));
    /// Ten thousand, for cursors that are numbers.
    pub const DEFAULT_UNITS: Overlap = Overlap::Units(10_000);
}

/// The highest cursor value that was settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub Value);

impl Position {
    /// The lowest cursor value that the next run must look at again.
    ///
    /// Where the type of the cursor has no subtraction (text), that is the
    /// position itself: ties are seen again, later commits below it are not.
    pub fn back(&self, overlap: Overlap) -> Value {
        match (&self.0, overlap) {
            (Value::Timestamp(at), Overlap::Time(span)) => {
                Value::Timestamp(at.checked_sub(signed(span)).unwrap_or(Timestamp::MIN))
            }
            (Value::DateTime(at), Overlap::Time(span)) => {
                Value::DateTime(at.checked_sub(signed(span)).unwrap_or(civil::DateTime::MIN))
            }
            (Value::Date(day), Overlap::Time(span)) => {
                let days = i64::try_from(span.as_secs().div_ceil(86_400)).unwrap_or(i64::MAX);
                let back = SignedDuration::from_hours(days.saturating_mul(24).min(1 << 40));
                Value::Date(day.checked_sub(back).unwrap_or(civil::Date::MIN))
            }
            (Value::Int(number), Overlap::Units(units)) => {
                Value::Int(number.saturating_sub(i64::try_from(units).unwrap_or(i64::MAX)))
            }
            (Value::Decimal(number), Overlap::Units(units)) => {
                // One more than asked for, so that the fraction need not be looked at.
                let whole = number.split_once('.').map_or(&**number, |(whole, _)| whole).parse::<i128>();
                match whole {
                    Ok(whole) => {
                        Value::Decimal(whole.saturating_sub(i128::from(units) + 1).to_string().into())
                    }
                    Err(_) => self.0.clone(),
                }
            }
            (value, _) => value.clone(),
        }
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

    #[test]
    fn the_overlap_reaches_back_in_the_cursors_own_unit() {
        let at: Timestamp = "2026-03-01T00:05:00Z".parse().expect("timestamp");
        let back = Position(Value::Timestamp(at)).back(Overlap::DEFAULT);
        assert_eq!(back, Value::Timestamp("2026-02-28T23:55:00Z".parse().expect("timestamp")));
        assert_eq!(Position(Value::Int(5)).back(Overlap::DEFAULT_UNITS), Value::Int(-9_995));
        let decimal = Position(Value::Decimal("100.75".into())).back(Overlap::Units(10));
        assert_eq!(decimal, Value::Decimal("89".into()));
        let day = civil::date(2026, 3, 1);
        assert_eq!(Position(Value::Date(day)).back(Overlap::DEFAULT), Value::Date(civil::date(2026, 2, 28)));
        assert_eq!(Position(Value::Text("b".into())).back(Overlap::DEFAULT), Value::Text("b".into()));
    }

    #[test]
    fn the_lowest_number_is_not_passed() {
        let lowest = Value::Decimal(i128::MIN.to_string().into());
        assert_eq!(Position(lowest.clone()).back(Overlap::DEFAULT_UNITS), lowest);
    }

    #[test]
    fn the_beginning_of_time_is_not_passed() {
        let back = Position(Value::Timestamp(Timestamp::MIN)).back(Overlap::DEFAULT);
        assert_eq!(back, Value::Timestamp(Timestamp::MIN));
    }
}
