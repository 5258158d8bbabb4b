//! Times as text.

use std::io::Write as _;

use jiff::civil::{self, Date};
use jiff::{SignedDuration, Span, Timestamp};
use tidegate_model::print::Printed;

/// The logical types that are times, each a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// Days since 1970.
    Date,
    /// Milliseconds since midnight.
    OfDayMillis,
    /// Microseconds since midnight.
    OfDayMicros,
    /// Milliseconds since 1970 in UTC.
    Millis,
    /// Microseconds since 1970 in UTC.
    Micros,
    /// Nanoseconds since 1970 in UTC.
    Nanos,
    /// Milliseconds since 1970 on a wall clock somewhere.
    LocalMillis,
    /// Microseconds since 1970 on a wall clock somewhere.
    LocalMicros,
    /// Nanoseconds since 1970 on a wall clock somewhere.
    LocalNanos,
}

impl Time {
    /// Whether it is written as an `int` and not as a `long`.
    pub(super) fn is_int(self) -> bool {
        matches!(self, Time::Date | Time::OfDayMillis)
    }

    /// Appends the time as ISO 8601 text; returns the instant if it is one that can be
    /// counted with. What lies outside the years -9999 to 9999 (some use the largest
    /// number for "never") stays the number it is.
    pub(super) fn write(self, number: i64, out: &mut Vec<u8>) -> Option<Timestamp> {
        const EPOCH: Date = civil::date(1970, 1, 1);
        // Writing to memory cannot fail.
        let _ = match self {
            Time::Date => match Span::new().try_days(number).and_then(|days| EPOCH.checked_add(days)) {
                Ok(day) => write!(out, "\"{day}\""),
                Err(_) => write!(out, "{number}"),
            },
            Time::OfDayMillis | Time::OfDayMicros => {
                let since = match self {
                    Time::OfDayMillis => SignedDuration::from_millis(number),
                    _ => SignedDuration::from_micros(number),
                };
                match civil::Time::midnight().checked_add(since) {
                    Ok(time) => write!(out, "\"{time}\""),
                    Err(_) if since.as_secs() == 86_400 && since.subsec_nanos() == 0 => {
                        write!(out, "\"24:00:00\"")
                    }
                    Err(_) => write!(out, "{number}"),
                }
            }
            Time::Millis | Time::Micros | Time::Nanos => match self.instant(number) {
                Ok(at) => {
                    out.push(b'"');
                    out.extend_from_slice(Printed::moment(at).as_bytes());
                    out.push(b'"');
                    return Some(at);
                }
                Err(_) => match self.wall_clock(number) {
                    Ok(at) => write!(out, "\"{at}Z\""),
                    Err(_) => write!(out, "{number}"),
                },
            },
            Time::LocalMillis | Time::LocalMicros | Time::LocalNanos => match self.wall_clock(number) {
                Ok(at) => write!(out, "\"{at}\""),
                Err(_) => write!(out, "{number}"),
            },
        };
        None
    }

    /// Returns what a clock in UTC shows; it reaches some hours beyond the instants.
    fn wall_clock(self, number: i64) -> Result<civil::DateTime, jiff::Error> {
        let since = match self {
            Time::Millis | Time::LocalMillis => SignedDuration::from_millis(number),
            Time::Micros | Time::LocalMicros => SignedDuration::from_micros(number),
            _ => SignedDuration::from_nanos(number),
        };
        civil::date(1970, 1, 1).at(0, 0, 0, 0).checked_add(since)
    }

    /// Returns the instant.
    fn instant(self, number: i64) -> Result<Timestamp, jiff::Error> {
        match self {
            Time::Millis => Timestamp::from_millisecond(number),
            Time::Micros => Timestamp::from_microsecond(number),
            _ => Timestamp::from_nanosecond(number.into()),
        }
    }
}
