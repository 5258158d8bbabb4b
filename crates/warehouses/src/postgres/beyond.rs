//! Dates and times that no calendar here reaches: infinity, and the days after
//! the year 9999. They stay what they are, as text.
//!
//! The text is the one that PostgreSQL writes into JSON and reads back, with `Z`
//! for an instant: `infinity`, `9999-12-31T23:59:59Z`, `10000-01-01`.

use jiff::{SignedDuration, civil};
use tidegate_model::{Text, Value};

/// Days after which the calendar repeats itself.
const DAYS_OF_400_YEARS: i64 = 146_097;
const MICROS_OF_A_DAY: i64 = 86_400_000_000;

/// Returns an infinity, `negative` or not.
pub fn infinity(negative: bool) -> Value {
    Value::Text(Text::from_static(if negative { "-infinity" } else { "infinity" }))
}

/// Returns the text of a day, counted from 2000-01-01; `None` for one before the
/// year 1. No date is after the year 9999.
pub fn date(days: i64) -> Option<Value> {
    Some(Value::Text(day(days)?.into()))
}

/// Returns the text of a time, in microseconds from 2000-01-01T00:00:00, with
/// `zone` after it; `None` as for [`date`].
pub fn date_time(micros: i64, zone: &str) -> Option<Value> {
    let day = day(micros.div_euclid(MICROS_OF_A_DAY))?;
    let time = SignedDuration::from_micros(micros.rem_euclid(MICROS_OF_A_DAY));
    let time = civil::Time::midnight().checked_add(time).ok()?;
    Some(Value::Text(format!("{day}T{time}{zone}").into()))
}

fn day(days: i64) -> Option<String> {
    let within = SignedDuration::from_hours(days.rem_euclid(DAYS_OF_400_YEARS) * 24);
    let day = civil::date(2000, 1, 1).checked_add(within).ok()?;
    let year = i64::from(day.year()) + days.div_euclid(DAYS_OF_400_YEARS) * 400;
    (year > 0).then(|| format!("{year:04}-{:02}-{:02}", day.month(), day.day()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_of_postgresql_is_told_to_the_microsecond() {
        let text = |value: Option<Value>| value.and_then(|value| value.to_text()).unwrap_or_default();
        assert_eq!(text(date_time(9_223_371_331_199_999_999, "")), "294276-12-31T23:59:59.999999");
        assert_eq!(text(date_time(252_455_615_999_000_000, "Z")), "9999-12-31T23:59:59Z");
        assert_eq!(text(date(2_921_940)), "10000-01-01");
        assert_eq!(text(date(2_145_031_948)), "5874897-12-31");
        assert_eq!(date(i64::from(i32::MIN)), None);
    }
}
