//! Numbers that count time since 1970, recognized by their magnitude.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_model::Value;

/// What a number that counts time since 1970 counts, coarsest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl EpochUnit {
    /// Returns the unit in which a number would be a time between September 2001
    /// and November 2286. No number is that in two units.
    ///
    /// A number from a sequence may look so too. It is for the caller that
    /// nothing is lost by a wrong guess.
    pub fn of(value: &Value) -> Option<EpochUnit> {
        // September 2001 in seconds; one digit more is November 2286.
        let bounds = |unit: EpochUnit| {
            let first = 1_000_000_000 * i128::from(unit.per_second());
            first..first * 10
        };
        let number = value.whole_part()?;
        let units =
            [EpochUnit::Seconds, EpochUnit::Milliseconds, EpochUnit::Microseconds, EpochUnit::Nanoseconds];
        units.into_iter().find(|unit| bounds(*unit).contains(&number))
    }

    /// Returns how many units last at least as long as `span`.
    pub fn units(self, span: Duration) -> u64 {
        let one = u128::from(1_000_000_000 / self.per_second());
        u64::try_from(span.as_nanos().div_ceil(one)).unwrap_or(u64::MAX)
    }

    /// Returns how long a number of units lasts.
    pub fn span(self, units: u64) -> Duration {
        let per_second = self.per_second();
        let nanoseconds = units % per_second * (1_000_000_000 / per_second);
        Duration::new(units / per_second, u32::try_from(nanoseconds).unwrap_or(0))
    }

    /// Returns the word for it in messages.
    pub fn name(self) -> &'static str {
        match self {
            EpochUnit::Seconds => "seconds",
            EpochUnit::Milliseconds => "milliseconds",
            EpochUnit::Microseconds => "microseconds",
            EpochUnit::Nanoseconds => "nanoseconds",
        }
    }

    fn per_second(self) -> u64 {
        match self {
            EpochUnit::Seconds => 1,
            EpochUnit::Milliseconds => 1_000,
            EpochUnit::Microseconds => 1_000_000,
            EpochUnit::Nanoseconds => 1_000_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_since_1970_is_recognized_in_each_unit_and_type() {
        for (text, unit) in [
            ("1764410400", Some(EpochUnit::Seconds)),
            ("1764410400123", Some(EpochUnit::Milliseconds)),
            ("1764410400123456", Some(EpochUnit::Microseconds)),
            ("1764410400123456789", Some(EpochUnit::Nanoseconds)),
            ("999999999", None),
            ("10000000000", None),
            ("999999999999", None),
            ("0", None),
            ("-1764410400", None),
        ] {
            let number: i64 = text.parse().expect("a number");
            let decimal = Value::Decimal(format!("{text}.75").into());
            let exponent = Value::Decimal(format!("{text}75E-2").into());
            #[expect(clippy::cast_precision_loss, reason = "the magnitude is all that counts here")]
            let float = Value::Float(number as f64);
            for value in [Value::Int(number), decimal, exponent, float] {
                assert_eq!(EpochUnit::of(&value), unit, "{value:?}");
            }
        }
        assert_eq!(EpochUnit::of(&Value::Text("1764410400".into())), None);
        assert_eq!(EpochUnit::of(&Value::Float(f64::NAN)), None);
    }

    #[test]
    fn a_span_is_never_cut_short() {
        let span = Duration::from_millis(1_500);
        assert_eq!(EpochUnit::Seconds.units(span), 2);
        assert_eq!(EpochUnit::Milliseconds.units(span), 1_500);
        assert_eq!(EpochUnit::Microseconds.units(span), 1_500_000);
        assert_eq!(EpochUnit::Nanoseconds.units(Duration::MAX), u64::MAX);
        assert_eq!(EpochUnit::Milliseconds.span(1_500), span);
    }
}
