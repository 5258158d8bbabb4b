//! Times as people write them on a command line.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use tidegate_model::Error;

/// Returns the time that a text means: `7d` or `36h` before now, `today`, `yesterday`, a day
/// (its beginning in UTC) or an RFC 3339 time.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) if it is none of these.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let begin = |day: Date| day.to_zoned(TimeZone::UTC).map(|start| start.timestamp());
    let before =
        |span: Span| now.to_zoned(TimeZone::UTC).checked_sub(span.abs()).map(|then| then.timestamp());
    let time = match text {
        "today" => begin(today),
        "yesterday" => today.yesterday().and_then(begin),
        _ => (text.parse::<Timestamp>())
            .or_else(|_| text.parse::<Date>().and_then(begin))
            .or_else(|_| text.parse::<Span>().and_then(before)),
    };
    time.map_err(|_| {
        Error::settings(format!("`{text}` is not a time"))
            .hint("write for example `7d`, `36h`, `yesterday`, `2026-01-31` or `2026-01-31T12:00:00Z`")
    })
}

/// Checks that rows can be between two times.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) if the first is in the future, or not before the second.
pub(super) fn holds_time(
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(from) = from else { return Ok(()) };
    if from > now {
        return Err(
            Error::settings("`--since` is in the future").hint("name a time before now, such as `7d`")
        );
    }
    match to {
        Some(to) if to <= from => Err(Error::settings("`--until` is not after `--since`")
            .hint("name a later time; a day is its beginning, at 00:00 UTC")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now: Timestamp = "2026-03-10T15:30:00Z".parse().expect("a time");
        for (text, expected) in [
            ("7d", "2026-03-03T15:30:00Z"),
            ("36h", "2026-03-09T03:30:00Z"),
            ("2 weeks", "2026-02-24T15:30:00Z"),
            ("today", "2026-03-10T00:00:00Z"),
            ("yesterday", "2026-03-09T00:00:00Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("2026-01-31T12:00:00+01:00", "2026-01-31T11:00:00Z"),
        ] {
            assert_eq!(super::parse(text, now).expect(text), expected.parse().expect("a time"), "{text}");
        }
        let error = super::parse("soon", now).expect_err("no time");
        assert!(error.next_step().contains("`7d`"));
    }
}
