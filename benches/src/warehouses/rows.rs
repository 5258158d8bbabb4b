//! The rows of the bench: five columns of an order.

use std::ops::Range;

/// Rows of a part: about 4 MiB before they are compressed, as a warehouse cuts them.
const PART: u64 = 40_000;
/// 2026-01-01T00:00:00Z, in microseconds.
const BEGINNING: i64 = 1_767_225_600_000_000;

/// The columns.
pub(super) const COLUMNS: [&str; 5] = ["id", "event_name", "user_id", "event_timestamp", "event_data"];

/// Returns the numbers of the rows of each part.
pub(super) fn parts(rows: u64) -> impl Iterator<Item = Range<u64>> {
    (0..rows).step_by(PART as usize).map(move |first| first..rows.min(first + PART))
}

/// Returns the name of an event.
pub(super) fn event_name(number: u64) -> String {
    format!("event_{}", number % 20)
}

/// Returns the user of an event.
pub(super) fn user_id(number: u64) -> String {
    format!("user-{}", number % 100_003)
}

/// Returns the time of an event, in microseconds.
pub(super) fn event_timestamp(number: u64) -> i64 {
    BEGINNING + number as i64 * 1_000
}

/// Returns the JSON of an event.
pub(super) fn event_data(number: u64) -> String {
    format!(
        "{{\"order\": {number}, \"total\": {}.{:02}, \"city\": \"Lyon\", \"new\": true}}",
        number % 900,
        number % 100
    )
}
