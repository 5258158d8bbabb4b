//! How far an export has written one partition of its log.
//!
//! The mark stands beside the events and is written in one step with them, so a
//! repetition after a crash is known by it.

use serde::{Deserialize, Serialize};
use tidegate_model::LoggedEvent;

/// The last event that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Its offset.
    pub(crate) at: u64,
    /// The latest time at which a written event was logged, in microseconds.
    pub(crate) logged_us: i64,
}

/// What of an event a mark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The partition of the log.
    pub(crate) partition: u32,
    at: u64,
    logged_us: i64,
}

impl From<&LoggedEvent> for Entry {
    fn from(event: &LoggedEvent) -> Entry {
        let offset = event.offset;
        Entry { partition: offset.partition, at: offset.at, logged_us: event.logged_at.as_microsecond() }
    }
}

impl Mark {
    /// Whether an event was written before.
    ///
    /// A log that was begun anew counts from the beginning again. Its events were
    /// logged later than any event that was written, so they are not taken for
    /// those of the old log.
    pub(crate) fn covers(self, event: impl Into<Entry>) -> bool {
        let event = event.into();
        event.at <= self.at && event.logged_us <= self.logged_us
    }

    /// The mark once this event is written too.
    pub(crate) fn after(mark: Option<Mark>, event: impl Into<Entry>) -> Mark {
        let event = event.into();
        let earlier = mark.map_or(event.logged_us, |mark| mark.logged_us);
        Mark { at: event.at, logged_us: earlier.max(event.logged_us) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::logged;

    #[test]
    fn a_written_event_is_covered_and_a_later_one_is_not() {
        let mark = Mark::after(None, &logged(7, "2026-03-01T00:00:00Z"));
        assert!(mark.covers(&logged(7, "2026-03-01T00:00:00Z")));
        assert!(mark.covers(&logged(3, "2026-02-28T00:00:00Z")));
        assert!(!mark.covers(&logged(8, "2026-03-01T00:00:00Z")));
    }

    #[test]
    fn an_event_stays_covered_when_the_clock_was_set_back() {
        let early = Mark::after(None, &logged(1, "2026-03-01T00:00:10Z"));
        let mark = Mark::after(Some(early), &logged(2, "2026-03-01T00:00:00Z"));
        assert!(mark.covers(&logged(1, "2026-03-01T00:00:10Z")));
    }

    #[test]
    fn events_of_a_log_that_began_anew_are_not_taken_for_old_ones() {
        let mark = Mark::after(None, &logged(1000, "2026-03-01T00:00:00Z"));
        assert!(!mark.covers(&logged(1, "2026-03-02T00:00:00Z")));
    }
}
