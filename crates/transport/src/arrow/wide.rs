//! Dates and moments beyond the years that the program counts with, as text.

use std::fmt::Write as _;

const NANOS_OF_DAY: i128 = 86_400_000_000_000;

/// Returns the day this many days after 1970-01-01 in ISO 8601, on the Gregorian calendar.
/// Years beyond four digits have a sign and six digits or more.
pub fn date(days: i64) -> String {
    // Days of 400 years from a March 1st on: the algorithm of H. Hinnant, "chrono-compatible
    // low-level date algorithms".
    let days = i128::from(days) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    match year {
        0..=9_999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+07}-{month:02}-{day:02}"),
    }
}

/// Returns the moment this many nanoseconds after the beginning of 1970 in ISO 8601, in UTC
/// or without a zone.
pub fn moment(nanoseconds: i128, zoned: bool) -> String {
    let days = i64::try_from(nanoseconds.div_euclid(NANOS_OF_DAY)).unwrap_or(i64::MAX);
    let of_day = nanoseconds.rem_euclid(NANOS_OF_DAY);
    let (seconds, below) = (of_day / 1_000_000_000, of_day % 1_000_000_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let mut text = format!("{}T{hours:02}:{minutes:02}:{:02}", date(days), seconds % 60);
    if below > 0 {
        // Writing to a `String` cannot fail.
        let _ = write!(text, ".{}", format!("{below:09}").trim_end_matches('0'));
    }
    if zoned {
        text.push('Z');
    }
    text
}

/// Returns an interval in ISO 8601.
pub fn interval(months: u32, days: u32, milliseconds: u32) -> String {
    let mut text = String::from("P");
    for (count, unit) in [(months / 12, 'Y'), (months % 12, 'M'), (days, 'D')] {
        if count > 0 {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{count}{unit}");
        }
    }
    let (seconds, below) = (milliseconds / 1_000, milliseconds % 1_000);
    if below > 0 {
        let _ = write!(text, "T{seconds}.{}S", format!("{below:03}").trim_end_matches('0'));
    } else if seconds > 0 || text.len() == 1 {
        let _ = write!(text, "T{seconds}S");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar_and_go_on_behind_it() {
        for days in (-4_371_587..=2_932_896).step_by(997) {
            let known = jiff::civil::date(1970, 1, 1)
                .checked_add(jiff::SignedDuration::from_hours(24 * days))
                .unwrap();
            assert_eq!(date(days), known.to_string());
        }
        assert_eq!(date(2_932_896), "9999-12-31");
        assert_eq!(date(2_932_897), "+010000-01-01");
        assert!(date(i64::MAX).starts_with("+252527"), "{}", date(i64::MAX));
    }

    #[test]
    fn moments_keep_their_digits() {
        assert_eq!(moment(253_402_300_799_000_000_000, true), "9999-12-31T23:59:59Z");
        assert_eq!(moment(-1, false), "1969-12-31T23:59:59.999999999");
        assert_eq!(moment(253_402_300_800_500_000_000, false), "+010000-01-01T00:00:00.5");
    }

    #[test]
    fn an_interval_keeps_months_days_and_time_apart() {
        assert_eq!(interval(14, 3, 4_050), "P1Y2M3DT4.05S");
        assert_eq!(interval(0, 0, 0), "PT0S");
        assert_eq!(interval(0, 30, 60_000), "P30DT60S");
    }
}
