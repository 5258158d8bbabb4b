//! Times as Braze reads them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::strtime};

/// ISO 8601, UTC where it names no zone, or `yyyy-MM-dd'T'HH:mm:ss:SSSZ`.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if let Ok(at) = text.parse::<DateTime>() {
        return at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    }
    // The milliseconds follow a colon here, where `strptime` wants a point.
    let (head, tail) = text.split_at_checked(19)?;
    let dotted = format!("{head}.{}", tail.strip_prefix(':')?);
    strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", dotted).ok()?.to_timestamp().ok()
}
