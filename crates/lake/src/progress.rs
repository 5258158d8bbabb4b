//! The progress of an export in one partition of the log.
//!
//! It is written together with the events, in one step, so that a repetition after a crash is
//! recognized.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidegate_model::{LogId, LoggedEvent};

/// What a mark is about: offsets rise in each partition of each log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MarkKey {
    /// The log.
    pub(crate) log: LogId,
    /// Its partition.
    pub(crate) partition: u32,
}

impl fmt::Display for MarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.log.is_known() {
            true => write!(f, "{}.{}", self.partition, self.log),
            false => write!(f, "{}", self.partition),
        }
    }
}

/// The last event that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Its offset.
    pub(crate) at: u64,
    /// The latest time at which a written event was logged, in microseconds.
    pub(crate) logged_us: i64,
}

/// The position of an event, as the progress compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventOffset {
    /// Which mark it is about.
    pub(crate) key: MarkKey,
    at: u64,
    logged_us: i64,
}

impl From<&LoggedEvent> for EventOffset {
    fn from(event: &LoggedEvent) -> EventOffset {
        let offset = event.offset;
        let key = MarkKey { log: offset.log, partition: offset.partition };
        EventOffset { key, at: offset.at, logged_us: event.logged_at.as_microsecond() }
    }
}

impl Progress {
    /// Returns whether an event was written before. The mark is that of its log.
    ///
    /// A log without an id that was started over counts from the beginning again. Its
    /// events were logged later than any event that was written, so they are not taken
    /// for those of the old log.
    pub(crate) fn covers(self, event: impl Into<EventOffset>) -> bool {
        let event = event.into();
        event.at <= self.at && (event.key.log.is_known() || event.logged_us <= self.logged_us)
    }

    /// Returns the progress once this event is written too.
    pub(crate) fn after(progress: Option<Progress>, event: impl Into<EventOffset>) -> Progress {
        let event = event.into();
        let earlier = progress.map_or(event.logged_us, |progress| progress.logged_us);
        Progress { at: event.at, logged_us: earlier.max(event.logged_us) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::logged;

    #[test]
    fn a_written_event_is_covered_and_a_later_one_is_not() {
        let progress = Progress::after(None, &logged(7, "2026-03-01T00:00:00Z"));
        assert!(progress.covers(&logged(7, "2026-03-01T00:00:00Z")));
        assert!(progress.covers(&logged(3, "2026-02-28T00:00:00Z")));
        assert!(!progress.covers(&logged(8, "2026-03-01T00:00:00Z")));
    }

    #[test]
    fn an_event_stays_covered_when_the_clock_was_set_back() {
        let early = Progress::after(None, &logged(1, "2026-03-01T00:00:10Z"));
        let progress = Progress::after(Some(early), &logged(2, "2026-03-01T00:00:00Z"));
        assert!(progress.covers(&logged(1, "2026-03-01T00:00:10Z")));
    }

    #[test]
    fn in_a_log_with_an_id_the_clock_says_nothing() {
        let of_one_log = |at, time| {
            let mut event = logged(at, time);
            event.offset.log = LogId(7);
            event
        };
        let progress = Progress::after(None, &of_one_log(7, "2026-03-01T00:00:00Z"));
        assert!(progress.covers(&of_one_log(7, "2026-03-02T00:00:00Z")));
        assert!(!progress.covers(&of_one_log(8, "2026-02-01T00:00:00Z")));
    }

    #[test]
    fn events_of_a_new_log_are_not_mistaken_for_old_ones() {
        let progress = Progress::after(None, &logged(1000, "2026-03-01T00:00:00Z"));
        assert!(!progress.covers(&logged(1, "2026-03-02T00:00:00Z")));
    }
}
