//! When a service that refuses a request takes requests again.

use http::{HeaderMap, HeaderValue};
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};

/// The headers that say so. `Retry-After` is HTTP's own; Braze sends
/// `X-Ratelimit-Retry-After`, and older pages of OneSignal spell it `RetryAfter`.
///
/// Source: RFC 9110, 10.2.3; Braze docs, POST /users/track, rate limit headers; OneSignal docs v9.
const HEADERS: [&str; 3] = ["retry-after", "x-ratelimit-retry-after", "retryafter"];
/// The longest wait that is obeyed: no documented window is longer.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// A number of seconds from here on is a time since 1970 (2001), and a wait below it.
const FIRST_EPOCH: f64 = 1e9;

/// Returns when the service takes requests again, if its answer says so: in seconds or as a date.
///
/// Of several headers the latest time counts, and none is later than an hour from `now`.
pub fn retry_at(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let until = HEADERS.iter().filter_map(|name| read(headers.get(*name)?, now)).max()?;
    Some(until.min(now.saturating_add(LONGEST).unwrap_or(Timestamp::MAX)))
}

/// Returns the time that a number in a header stands for: seconds since 1970, or seconds left.
///
/// Some services write one, some the other, under the same name; no wait is 30 years long.
pub fn moment(seconds: f64, now: Timestamp) -> Option<Timestamp> {
    let millis = (seconds * 1000.0).ceil();
    if !(0.0..=1e15).contains(&millis) {
        return None;
    }
    let millis = millis as i64;
    if seconds >= FIRST_EPOCH {
        return Timestamp::from_millisecond(millis).ok();
    }
    now.checked_add(SignedDuration::from_millis(millis)).ok()
}

fn read(value: &HeaderValue, now: Timestamp) -> Option<Timestamp> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return moment(seconds, now);
    }
    rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-01T12:00:00Z.
    const NOW: i64 = 1_772_366_400;

    /// How many seconds from now these headers ask to wait.
    fn wait(headers: &[(&'static str, &'static str)]) -> Option<f64> {
        let now = Timestamp::from_second(NOW).expect("time");
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("name"), HeaderValue::from_static(value)));
        Some(retry_at(&headers.collect(), now)?.duration_since(now).as_secs_f64())
    }

    #[test]
    fn seconds_and_dates_are_read_in_every_spelling() {
        assert_eq!(wait(&[("Retry-After", "2")]), Some(2.0));
        assert_eq!(wait(&[("Retry-After", " 0.25 ")]), Some(0.25));
        assert_eq!(wait(&[("Retry-After", "Sun, 01 Mar 2026 12:00:07 GMT")]), Some(7.0));
        assert_eq!(wait(&[("X-Ratelimit-Retry-After", "60")]), Some(60.0));
        assert_eq!(wait(&[("RetryAfter", "3")]), Some(3.0));
        assert_eq!(wait(&[("Retry-After", "2"), ("X-RateLimit-Retry-After", "60")]), Some(60.0));
    }

    #[test]
    fn a_wait_is_an_hour_at_most_and_nonsense_is_none() {
        assert_eq!(wait(&[("Retry-After", "86400")]), Some(3_600.0));
        assert_eq!(wait(&[("Retry-After", "Mon, 02 Mar 2026 12:00:00 GMT")]), Some(3_600.0));
        assert_eq!(wait(&[("Retry-After", "1772366405")]), Some(5.0), "a time since 1970");
        for nonsense in ["soon", "-1", "NaN", "inf", ""] {
            assert_eq!(wait(&[("Retry-After", nonsense)]), None, "{nonsense:?}");
        }
        assert_eq!(wait(&[]), None);
    }
}
