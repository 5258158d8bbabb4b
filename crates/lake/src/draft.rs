//! What was prepared of a delivery and waits for its turn.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::progress::Entry;

/// Events that were encoded before it was their turn.
struct Draft<T> {
    events: Vec<Entry>,
    synced: Timestamp,
    content: T,
}

/// The draft of the next delivery, and the time that rows were written with last.
pub(crate) struct Drafts<T>(Mutex<(Option<Draft<T>>, Timestamp)>);

impl<T> Default for Drafts<T> {
    fn default() -> Drafts<T> {
        Drafts(Mutex::new((None, Timestamp::MIN)))
    }
}

impl<T> Drafts<T> {
    /// Keeps what was made of these events, in the place of what was kept before.
    pub(crate) fn keep(&self, events: Vec<Entry>, synced: Timestamp, content: T) {
        self.with(|(draft, _)| *draft = Some(Draft { events, synced, content }));
    }

    /// Takes what was made of exactly these events.
    ///
    /// Nothing where events before them were encoded later, as after a failure: who
    /// reads a table by the time of its rows would pass over them.
    pub(crate) fn take(&self, events: &[Entry]) -> Option<T> {
        self.with(|(draft, latest)| {
            let taken = draft.take_if(|draft| draft.events == events)?;
            if taken.synced < *latest {
                return None;
            }
            *latest = taken.synced;
            Some(taken.content)
        })
    }

    /// Notes that events are encoded now, without a draft.
    pub(crate) fn encoding(&self, synced: Timestamp) {
        self.with(|(_, latest)| *latest = synced.max(*latest));
    }

    fn with<R>(&self, what: impl FnOnce(&mut (Option<Draft<T>>, Timestamp)) -> R) -> R {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::logged;

    fn events(offsets: std::ops::Range<u64>) -> Vec<Entry> {
        offsets.map(|at| Entry::from(&logged(at, "2026-03-01T00:00:00Z"))).collect()
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::constant(second, 0)
    }

    #[test]
    fn a_draft_is_for_its_own_events_and_is_taken_once() {
        let drafts = Drafts::default();
        drafts.keep(events(4..8), second(1), "content");
        assert_eq!(drafts.take(&events(4..6)), None, "a half");
        assert_eq!(drafts.take(&events(0..4)), None, "others");
        assert_eq!(drafts.take(&events(4..8)), Some("content"));
        assert_eq!(drafts.take(&events(4..8)), None, "again");
    }

    #[test]
    fn a_draft_that_is_older_than_what_was_written_before_it_is_not_taken() {
        let drafts = Drafts::default();
        drafts.keep(events(4..8), second(1), "content");
        drafts.encoding(second(2));
        assert_eq!(drafts.take(&events(4..8)), None);
    }
}
