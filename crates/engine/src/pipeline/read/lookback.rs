//! How far before its checkpoint a cursor looks for rows that came late: decided
//! by the type of the column, the setting, and for numbers by what they count.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use tidegate_model::source::Column;
use tidegate_model::{DataType, Error, Lookback, Position, Value};

use super::epoch::EpochUnit;

/// Ten minutes, if no setting says otherwise.
const DEFAULT_TIME: Duration = Duration::from_secs(600);
/// For numbers, if no setting says otherwise.
const DEFAULT_UNITS: u64 = 10_000;

/// What the type of a cursor and the setting say about its lookback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookbackRule {
    /// The cursor is a time: a span.
    Time(Duration),
    /// The cursor is a local time in a zone with clock changes: the span; inside a repeated hour,
    /// counted from the start of that hour.
    WallClock(Duration, TimeZone),
    /// The cursor is a number: a number of units.
    Units(u64),
    /// The cursor is a number, the setting a duration: it has to count time
    /// since 1970.
    SinceEpoch(Duration),
    /// The cursor is a number and there is no setting: ten thousand units, and if
    /// it counts time since 1970, ten minutes where those are more.
    Number,
    /// The cursor is a text: rows with the same value are read again, none before
    /// them.
    TiesOnly,
}

impl LookbackRule {
    /// Returns the rule for a cursor column.
    ///
    /// # Errors
    /// If the column cannot be a cursor, or the setting does not go with its type.
    pub fn of(column: &Column, setting: Option<Lookback>) -> Result<LookbackRule, Error> {
        let Column { name, data_type, type_name } = column;
        match (data_type, setting) {
            (DataType::Timestamp | DataType::DateTime | DataType::Date, setting) => match setting {
                None => Ok(LookbackRule::Time(DEFAULT_TIME)),
                Some(Lookback::Time(span)) => Ok(LookbackRule::Time(span)),
                Some(Lookback::Units(_)) => Err(Error::settings(format!(
                    "`lookback` is a number, but the cursor `{name}` is a time ({type_name})"
                ))
                .hint("write a duration, for example `lookback: 10m`")),
            },
            (DataType::Integer | DataType::Decimal { .. } | DataType::Float, setting) => Ok(match setting {
                None => LookbackRule::Number,
                Some(Lookback::Units(units)) => LookbackRule::Units(units),
                Some(Lookback::Time(span)) => LookbackRule::SinceEpoch(span),
            }),
            (DataType::Text | DataType::Uuid, None) => Ok(LookbackRule::TiesOnly),
            (DataType::Text | DataType::Uuid, Some(_)) => Err(Error::settings(format!(
                "`lookback` is set, but the cursor `{name}` is text ({type_name}): nothing can be subtracted from it"
            ))
            .hint("remove `lookback`, or take a timestamp, a date or a number as the cursor")),
            (
                DataType::Boolean
                | DataType::Bytes
                | DataType::Time
                | DataType::Json
                | DataType::List(_)
                | DataType::Object
                | DataType::Any
                | DataType::Other,
                _,
            ) => Err(Error::settings(format!(
                "column `{name}` of type {type_name} cannot be a cursor: its values do not grow with each change"
            ))
            .hint("take a timestamp, a date, a number, a text or a uuid that only grows, or `mode: mirror` instead of a cursor")),
        }
    }

    /// Returns the rule for a cursor without a zone, whose times are those of `zone`.
    /// A cursor of another type keeps its rule.
    #[must_use]
    pub fn in_zone(self, column: &Column, zone: &TimeZone) -> LookbackRule {
        match (self, &column.data_type) {
            (LookbackRule::Time(span), DataType::DateTime) if zone.to_fixed_offset().is_err() => {
                LookbackRule::WallClock(span, zone.clone())
            }
            (rule, _) => rule,
        }
    }

    /// Returns the lookback in the unit of the cursor, `unit` being what a number
    /// counts; `None` if the rule has none, or not yet.
    pub fn amount(&self, unit: Option<EpochUnit>) -> Option<Lookback> {
        match (self, unit) {
            (LookbackRule::Time(span) | LookbackRule::WallClock(span, _), _) => Some(Lookback::Time(*span)),
            (LookbackRule::Units(units), _) => Some(Lookback::Units(*units)),
            (LookbackRule::SinceEpoch(span), Some(unit)) => Some(Lookback::Units(unit.units(*span))),
            // A sequence may have the magnitude of seconds: a wrong guess must not shorten its lookback.
            (LookbackRule::Number, Some(unit)) => {
                Some(Lookback::Units(unit.units(DEFAULT_TIME).max(DEFAULT_UNITS)))
            }
            (LookbackRule::Number, None) => Some(Lookback::Units(DEFAULT_UNITS)),
            (LookbackRule::SinceEpoch(_), None) | (LookbackRule::TiesOnly, _) => None,
        }
    }

    /// Returns the rule that looks back at least this long; `None` if the cursor counts no time.
    pub(crate) fn at_least(&self, span: Duration) -> Option<LookbackRule> {
        match self {
            LookbackRule::Time(own) => Some(LookbackRule::Time(span.max(*own))),
            LookbackRule::WallClock(own, zone) => Some(LookbackRule::WallClock(span.max(*own), zone.clone())),
            LookbackRule::SinceEpoch(own) => Some(LookbackRule::SinceEpoch(span.max(*own))),
            // More than its default, which is ten minutes if it counts time.
            LookbackRule::Number => Some(LookbackRule::SinceEpoch(span.max(DEFAULT_TIME))),
            LookbackRule::Units(_) | LookbackRule::TiesOnly => None,
        }
    }

    /// Returns the error for a duration whose cursor counts no time. `unit` is what
    /// the numbers of the cursor count since 1970; `None` if there are none.
    pub fn contradicts(&self, column: &Column, unit: Option<Option<EpochUnit>>) -> Option<Error> {
        match (self, unit) {
            (LookbackRule::SinceEpoch(_), Some(None)) => Some(no_epoch(column)),
            _ => None,
        }
    }

    /// Returns the lowest cursor value that is read again after `cursor`; `None`
    /// while every value is, because it is not known what its numbers count.
    ///
    /// # Errors
    /// If the lookback cannot be subtracted from the value.
    pub(crate) fn low(&self, cursor: &Position, unit: Option<EpochUnit>) -> Result<Option<Value>, Error> {
        match (self, self.amount(unit)) {
            (LookbackRule::TiesOnly, _) if matches!(cursor.0, Value::Text(_)) => Ok(Some(cursor.0.clone())),
            (LookbackRule::SinceEpoch(_), None) => Ok(None),
            (_, amount) => match amount.and_then(|amount| self.first(cursor).back(amount)) {
                Some(low) => Ok(Some(low)),
                None => Err(Error::settings(format!(
                    "the cursor holds a value ({}) that its lookback cannot be subtracted from",
                    cursor.0.type_name()
                ))
                .hint("take a timestamp, a date, or a number of at most 38 digits as the cursor")),
            },
        }
    }
}

impl LookbackRule {
    /// Returns where to look back from: the cursor, or the first of the times that
    /// come twice if it is one of them.
    fn first(&self, cursor: &Position) -> Position {
        let again = match (self, &cursor.0) {
            (LookbackRule::WallClock(_, zone), Value::DateTime(at)) => repeated_from(*at, zone),
            _ => None,
        };
        again.map_or_else(|| cursor.clone(), |at| Position(Value::DateTime(at)))
    }
}

/// Returns the first of the times that a wall clock shows twice; `None` if it shows
/// `at` only once.
fn repeated_from(at: DateTime, zone: &TimeZone) -> Option<DateTime> {
    let AmbiguousOffset::Fold { after, .. } = zone.to_ambiguous_timestamp(at).offset() else { return None };
    // A time that is shown for the second time is after the transition.
    let second = after.to_timestamp(at).ok()?;
    let behind = second.checked_add(SignedDuration::from_nanos(1)).ok()?;
    Some(after.to_datetime(zone.preceding(behind).next()?.timestamp()))
}

/// The error for a duration as the lookback of numbers that count no time.
fn no_epoch(column: &Column) -> Error {
    Error::settings(format!(
        "`lookback` is a duration, but the cursor `{}` ({}) holds numbers that are not \
         seconds, milliseconds, microseconds or nanoseconds since 1970",
        column.name, column.type_name
    ))
    .hint("write a number of units, for example `lookback: 10000`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(data_type: DataType, type_name: &str) -> Column {
        Column { name: "at".to_owned(), data_type, type_name: type_name.to_owned() }
    }

    fn low(rule: &LookbackRule, value: Value) -> Option<Value> {
        let unit = EpochUnit::of(&value);
        rule.low(&Position(value), unit).expect("a lookback")
    }

    #[test]
    fn a_numeric_38_0_cursor_gets_a_lookback_in_units() {
        let number = DataType::Decimal { precision: Some(38), scale: Some(0) };
        let rule = LookbackRule::of(&column(number, "NUMBER(38,0)"), None).expect("a cursor");
        assert_eq!(low(&rule, Value::Int(50_000)), Some(Value::Int(40_000)));
        assert_eq!(low(&rule, Value::Decimal("50000".into())), Some(Value::Decimal("39999".into())));
    }

    #[test]
    fn the_hour_that_comes_twice_in_autumn_is_read_again() {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let column = column(DataType::DateTime, "timestamp without time zone");
        let rule = LookbackRule::of(&column, None).expect("a cursor").in_zone(&column, &zone);
        let at = |text: &str| Value::DateTime(text.parse().expect("a time"));
        for (cursor, expected) in [
            ("2026-10-25T01:59:59.999", "2026-10-25T01:49:59.999"),
            ("2026-10-25T02:00:00", "2026-10-25T01:50:00"),
            ("2026-10-25T02:59:59.999999", "2026-10-25T01:50:00"),
            ("2026-10-25T03:00:00", "2026-10-25T02:50:00"),
            // In spring an hour is missing, and nothing comes twice.
            ("2026-03-29T01:59:00", "2026-03-29T01:49:00"),
            ("2026-03-29T02:30:00", "2026-03-29T02:20:00"),
            ("2026-03-29T03:05:00", "2026-03-29T02:55:00"),
        ] {
            assert_eq!(low(&rule, at(cursor)), Some(at(expected)), "{cursor}");
        }
        // Half an hour, and from midnight into the day before.
        for (zone, cursor, expected) in [
            ("Australia/Lord_Howe", "2026-04-05T01:45:00", "2026-04-05T01:20:00"),
            ("America/Sao_Paulo", "2019-02-16T23:59:00", "2019-02-16T22:50:00"),
        ] {
            let zone = TimeZone::get(zone).expect("a zone");
            let rule = LookbackRule::of(&column, None).expect("a cursor").in_zone(&column, &zone);
            assert_eq!(low(&rule, at(cursor)), Some(at(expected)), "{cursor}");
        }
    }

    #[test]
    fn only_a_wall_clock_that_is_set_back_has_a_rule_of_its_own() {
        let berlin = TimeZone::get("Europe/Berlin").expect("a zone");
        for (data_type, zone) in
            [(DataType::DateTime, &TimeZone::UTC), (DataType::Timestamp, &berlin), (DataType::Date, &berlin)]
        {
            let column = column(data_type, "t");
            let rule = LookbackRule::of(&column, None).expect("a cursor");
            assert_eq!(rule.clone().in_zone(&column, zone), rule, "{column}");
        }
    }

    #[test]
    fn a_timestamp_gets_ten_minutes_whatever_the_source_calls_it() {
        for (data_type, type_name) in [
            (DataType::Timestamp, "timestamp with time zone"),
            (DataType::Timestamp, "TIMESTAMP_LTZ(9)"),
            (DataType::DateTime, "TIMESTAMP_NTZ"),
            (DataType::DateTime, "DATETIME"),
            (DataType::Date, "date"),
        ] {
            let rule = LookbackRule::of(&column(data_type, type_name), None).expect("a cursor");
            assert_eq!(rule, LookbackRule::Time(Duration::from_secs(600)), "{type_name}");
        }
    }

    #[test]
    fn ten_minutes_are_ten_minutes_in_every_unit_since_1970() {
        let span = Some(Lookback::Time(Duration::from_secs(600)));
        let set = LookbackRule::of(&column(DataType::Integer, "bigint"), span).expect("a cursor");
        let unset = LookbackRule::of(&column(DataType::Integer, "bigint"), None).expect("a cursor");
        for (now, units, default) in [
            (1_764_410_400, 600, 10_000),
            (1_764_410_400_000, 600_000, 600_000),
            (1_764_410_400_000_000, 600_000_000, 600_000_000),
        ] {
            assert_eq!(low(&set, Value::Int(now)), Some(Value::Int(now - units)));
            assert_eq!(low(&unset, Value::Int(now)), Some(Value::Int(now - default)));
        }
    }

    #[test]
    fn a_number_that_counts_no_time_gets_no_time_as_its_lookback() {
        assert_eq!(low(&LookbackRule::SinceEpoch(Duration::from_secs(600)), Value::Int(17)), None);
        let error = no_epoch(&column(DataType::Integer, "bigint"));
        assert!(error.to_string().contains("the cursor `at` (bigint)"), "{error}");
        assert_eq!(error.next_step(), "write a number of units, for example `lookback: 10000`");
    }

    #[test]
    fn a_cursor_without_a_lookback_is_an_error() {
        for (data_type, type_name) in [
            (DataType::Boolean, "boolean"),
            (DataType::Bytes, "bytea"),
            (DataType::Time, "time without time zone"),
            (DataType::Json, "jsonb"),
            (DataType::List(Box::new(DataType::Integer)), "integer[]"),
            (DataType::Object, "STRUCT"),
            (DataType::Any, "any"),
            (DataType::Other, "interval"),
        ] {
            let error = LookbackRule::of(&column(data_type, type_name), None).expect_err(type_name);
            let told = error.to_string();
            assert!(told.contains(&format!("`at` of type {type_name} cannot be a cursor")), "{told}");
            assert!(error.next_step().contains("take a timestamp"), "{}", error.next_step());
        }
        let rule = LookbackRule::Time(Duration::from_secs(600));
        rule.low(&Position(Value::Text("late".into())), None).expect_err("a text is no time");
        rule.low(&Position(Value::Int(5)), None).expect_err("a number is no time");
        LookbackRule::Units(5).low(&Position(Value::Decimal("NaN".into())), None).expect_err("no number");
        LookbackRule::TiesOnly.low(&Position(Value::Int(5)), None).expect_err("no text");
    }

    #[test]
    fn a_text_cursor_reads_ties_again_and_takes_no_lookback() {
        let code = column(DataType::Text, "character varying(26)");
        let rule = LookbackRule::of(&code, None).expect("a cursor");
        assert_eq!(low(&rule, Value::Text("01J".into())), Some(Value::Text("01J".into())));
        for setting in [Lookback::Time(Duration::from_secs(600)), Lookback::Units(5)] {
            let error = LookbackRule::of(&code, Some(setting)).expect_err("no lookback");
            assert!(error.to_string().contains("the cursor `at` is text (character varying(26))"), "{error}");
        }
    }

    #[test]
    fn a_number_is_no_lookback_for_a_time() {
        let column = column(DataType::Timestamp, "timestamp with time zone");
        let error = LookbackRule::of(&column, Some(Lookback::Units(5))).expect_err("a number");
        assert_eq!(error.next_step(), "write a duration, for example `lookback: 10m`");
    }
}
