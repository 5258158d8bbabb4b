//! When `tidegate serve` runs a sync.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::findings::Misfit;

/// When `tidegate serve` runs a sync.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Schedule {
    /// `continuous`: all the time.
    #[default]
    Continuous,
    /// `{ every: 15m }`: that long after the last run began.
    Every(Duration),
    /// `{ cron: "0 6 * * *" }`: at these times of a zone.
    Cron(Box<CronSchedule>),
}

/// Times of day and days in a time zone.
#[derive(Clone, Debug)]
pub struct CronSchedule {
    pattern: String,
    cron: Cron,
    zone: TimeZone,
}

impl PartialEq for CronSchedule {
    fn eq(&self, other: &CronSchedule) -> bool {
        self.pattern == other.pattern && self.zone == other.zone
    }
}

impl CronSchedule {
    /// Reads the five fields of a cron pattern.
    pub(super) fn new(pattern: &str, zone: TimeZone) -> Result<CronSchedule, Misfit> {
        Ok(CronSchedule { pattern: pattern.to_owned(), cron: cron(pattern)?, zone })
    }

    /// Returns the first time after `after`; `None` if there is none.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.zone.clone());
        self.cron.find_next_occurrence(&after, false).ok().map(|next| next.timestamp())
    }
}

impl Schedule {
    /// Returns when the next run is due: the last one began at `last`, and it has been
    /// waited for since `since`. `None` for `continuous`, or if no time matches.
    ///
    /// A sync that never ran is due at once if it runs every so often, and at its next
    /// time if it has times of day.
    pub fn due(&self, last: Option<Timestamp>, since: Timestamp) -> Option<Timestamp> {
        match (self, last) {
            (Schedule::Continuous, _) => None,
            (Schedule::Every(_), None) => Some(since),
            (Schedule::Every(span), Some(last)) => last.checked_add(*span).ok(),
            (Schedule::Cron(cron), last) => cron.next(last.unwrap_or(since)),
        }
    }
}

/// Shows the schedule as people say it: `every 15m`, `at 0 6 * * * (Europe/Paris)`.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Continuous => f.write_str("continuous"),
            Schedule::Every(span) => match jiff::SignedDuration::try_from(*span) {
                Ok(span) => write!(f, "every {span:#}"),
                Err(_) => write!(f, "every {} s", span.as_secs()),
            },
            Schedule::Cron(cron) => {
                let zone = cron.zone.iana_name().unwrap_or("UTC");
                write!(f, "at {} ({zone})", cron.pattern)
            }
        }
    }
}

/// Reads a cron pattern: minute, hour, day of the month, month, day of the week.
pub(super) fn cron(pattern: &str) -> Result<Cron, Misfit> {
    let wrong = || {
        (
            format!("`{pattern}` is not a cron pattern"),
            "write five fields: minute, hour, day of the month, month, day of the week; `0 6 * * 1-5` is 06:00 from Monday to Friday"
                .to_owned(),
        )
    };
    if pattern.split_whitespace().count() != 5 && !pattern.trim().starts_with('@') {
        return Err(wrong());
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(pattern).map_err(|_| wrong())?;
    let now = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    match cron.find_next_occurrence(&now, false) {
        Ok(_) => Ok(cron),
        Err(_) => Err((format!("`{pattern}` matches no time at all"), wrong().1)),
    }
}

impl JsonSchema for Schedule {
    fn schema_name() -> Cow<'static, str> {
        "Schedule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "When `tidegate serve` runs a sync.",
            "oneOf": [
                { "const": "continuous", "description": "All the time." },
                {
                    "type": "object",
                    "description": "That long after the last run began.",
                    "properties": {
                        "every": { "type": "string", "format": "time-span", "examples": ["15m", "1h"] }
                    },
                    "required": ["every"],
                    "additionalProperties": false
                },
                {
                    "type": "object",
                    "description": "At times of day, as cron has them.",
                    "properties": {
                        "cron": {
                            "type": "string", "format": "cron", "examples": ["0 6 * * *"],
                            "description": "Minute, hour, day of the month, month, day of the week."
                        },
                        "time_zone": {
                            "type": "string", "format": "time-zone",
                            "description": "The zone of these times, an IANA name. Default: the project's `time_zone`."
                        }
                    },
                    "required": ["cron"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn a_pattern_counts_in_its_zone_also_when_clocks_change() {
        let zone = TimeZone::get("America/New_York").expect("a zone");
        let daily = CronSchedule::new("0 6 * * *", zone).expect("a pattern");
        assert_eq!(daily.next(at("2026-03-07T12:00:00Z")), Some(at("2026-03-08T10:00:00Z")));
        assert_eq!(daily.next(at("2026-03-06T12:00:00Z")), Some(at("2026-03-07T11:00:00Z")));
        assert_eq!(daily.next(at("2026-03-08T10:00:00Z")), Some(at("2026-03-09T10:00:00Z")));
    }

    #[test]
    fn a_run_is_due_after_the_last_one_and_a_missed_time_is_made_up_for() {
        let (last, now) = (at("2026-03-01T00:10:00Z"), at("2026-03-05T09:00:00Z"));
        let every = Schedule::Every(Duration::from_secs(900));
        assert_eq!(every.due(None, now), Some(now), "it never ran");
        assert_eq!(every.due(Some(last), now), Some(at("2026-03-01T00:25:00Z")));
        let daily =
            Schedule::Cron(Box::new(CronSchedule::new("0 6 * * *", TimeZone::UTC).expect("a pattern")));
        assert_eq!(
            daily.due(None, now),
            Some(at("2026-03-06T06:00:00Z")),
            "it never ran and waits for its time"
        );
        assert_eq!(
            daily.due(Some(last), now),
            Some(at("2026-03-01T06:00:00Z")),
            "overdue: at once, and once"
        );
        assert_eq!(daily.due(Some(now), now), Some(at("2026-03-06T06:00:00Z")));
        assert_eq!(Schedule::Continuous.due(Some(last), now), None);
    }

    #[test]
    fn five_fields_make_a_pattern() {
        for good in ["*/15 * * * *", "0 6 * * MON-FRI", "0 0 1 1 *", "@daily"] {
            assert!(cron(good).is_ok(), "{good}");
        }
        for wrong in ["", "daily", "* * * *", "0 0 6 * * *", "60 * * * *", "0 6 * * * 2030", "0 0 30 2 *"] {
            assert!(cron(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_schedule_is_shown_as_people_say_it() {
        assert_eq!(Schedule::Every(Duration::from_secs(900)).to_string(), "every 15m");
        let daily = CronSchedule::new("0 6 * * *", TimeZone::UTC).expect("a pattern");
        assert_eq!(Schedule::Cron(Box::new(daily)).to_string(), "at 0 6 * * * (UTC)");
    }
}
