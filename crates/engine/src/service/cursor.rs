//! What `check` says of a cursor: how far back a run looks, and why.

use std::time::Duration;

use jiff::SignedDuration;
use tidegate_model::source::Column;
use tidegate_model::{Checks, Error, Lookback};

use crate::pipeline::{ChangeTracking, EpochUnit, Import, LookbackRule};

/// What to do about a cursor that is a text.
const TEXT_REMEDY: &str = "take a timestamp, a date or a number as the cursor, or `mode: mirror`; a text or a uuid works \
    only if each new row has a greater value than all before it, and random uuids (version 4) do not";

/// Returns the lookback of a sync with a cursor as a check; none for other syncs.
///
/// # Errors
/// If the source cannot be asked for the highest value of its cursor.
pub(crate) async fn lookback(import: &Import) -> Result<Checks, Error> {
    let mut checks = Checks::default();
    let ChangeTracking::Cursor { column, lookback, .. } = &import.tracking else { return Ok(checks) };
    let unit = match lookback {
        LookbackRule::Number | LookbackRule::Units(_) | LookbackRule::SinceEpoch(_) => {
            import.cursor_unit(column).await?
        }
        LookbackRule::Time(_) | LookbackRule::WallClock(..) | LookbackRule::TiesOnly => None,
    };
    match sentence(lookback, column, unit) {
        Ok(found) if *lookback == LookbackRule::TiesOnly => checks.warn("lookback", found, TEXT_REMEDY),
        Ok(found) => checks.pass("lookback", found),
        Err(error) => checks.fail("lookback", error.chain(), error.next_step()),
    }
    Ok(checks)
}

/// `unit` is what the numbers of the cursor count since 1970, if there are any.
fn sentence(rule: &LookbackRule, column: &Column, unit: Option<Option<EpochUnit>>) -> Result<String, Error> {
    let cursor = format!("`{}` ({})", column.name, column.type_name);
    let recognised = unit.flatten();
    if let Some(error) = rule.contradicts(column, unit) {
        return Err(error);
    }
    Ok(match (rule.amount(recognised), recognised) {
        (None, _) if *rule == LookbackRule::TiesOnly => format!(
            "none: {cursor} is text; rows that come with a lower value than one before them are never read"
        ),
        (None, _) => {
            format!("{cursor} has no values yet: what its numbers count since 1970 is found by the first run")
        }
        (Some(Lookback::Time(span)), _) => {
            format!("{} behind {cursor}{}", shown(span), set_back(rule))
        }
        (Some(Lookback::Units(units)), Some(unit)) => format!(
            "{} behind {cursor}, {units} units: its numbers look like {} since 1970",
            shown(unit.span(units)),
            unit.name()
        ),
        (Some(Lookback::Units(units)), None) => format!("{units} units behind {cursor}"),
    })
}

/// What is read again when a clock is set back.
fn set_back(rule: &LookbackRule) -> String {
    match rule {
        LookbackRule::WallClock(_, zone) => {
            let zone = zone.iana_name().unwrap_or("its time zone");
            format!("; when clocks in {zone} are set back, the time that comes twice is read again")
        }
        _ => String::new(),
    }
}

/// `10m`, `2h 46m 40s`.
fn shown(span: Duration) -> String {
    SignedDuration::try_from(span).map_or_else(|_| format!("{span:?}"), |span| format!("{span:#}"))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use tidegate_model::DataType;

    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    fn reported(rule: &LookbackRule, unit: Option<Option<EpochUnit>>) -> String {
        let column =
            Column { name: "at".to_owned(), data_type: DataType::Integer, type_name: "bigint".to_owned() };
        sentence(rule, &column, unit).unwrap_or_else(|error| format!("{error} → {}", error.next_step()))
    }

    #[test]
    fn a_check_says_what_the_numbers_of_a_cursor_count() {
        let milliseconds = Some(Some(EpochUnit::Milliseconds));
        let seconds = Some(Some(EpochUnit::Seconds));
        for (rule, unit, expected) in [
            (
                LookbackRule::Number,
                milliseconds,
                "10m behind `at` (bigint), 600000 units: its numbers look like milliseconds since 1970",
            ),
            (
                LookbackRule::Number,
                seconds,
                "2h 46m 40s behind `at` (bigint), 10000 units: its numbers look like seconds since 1970",
            ),
            (
                LookbackRule::SinceEpoch(TEN_MINUTES),
                seconds,
                "10m behind `at` (bigint), 600 units: its numbers look like seconds since 1970",
            ),
            (
                LookbackRule::Units(5_000),
                milliseconds,
                "5s behind `at` (bigint), 5000 units: its numbers look like milliseconds since 1970",
            ),
            (LookbackRule::Number, Some(None), "10000 units behind `at` (bigint)"),
            (LookbackRule::Number, None, "10000 units behind `at` (bigint)"),
            (LookbackRule::Time(TEN_MINUTES), None, "10m behind `at` (bigint)"),
            (
                LookbackRule::WallClock(TEN_MINUTES, TimeZone::get("Europe/Berlin").expect("a zone")),
                None,
                "10m behind `at` (bigint); when clocks in Europe/Berlin are set back, the time that comes twice is read again",
            ),
        ] {
            assert_eq!(reported(&rule, unit), expected);
        }
    }

    #[test]
    fn a_check_fails_a_duration_for_numbers_that_count_no_time() {
        let reported = reported(&LookbackRule::SinceEpoch(TEN_MINUTES), Some(None));
        assert!(
            reported.starts_with("`lookback` is a duration, but the cursor `at` (bigint) holds"),
            "{reported}"
        );
        assert!(reported.ends_with("→ write a number of units, for example `lookback: 10000`"), "{reported}");
    }

    #[test]
    fn a_check_says_that_a_text_cursor_has_no_lookback() {
        let reported = reported(&LookbackRule::TiesOnly, None);
        assert!(
            reported.starts_with("none: `at` (bigint) is text; rows that come with a lower value"),
            "{reported}"
        );
    }
}
