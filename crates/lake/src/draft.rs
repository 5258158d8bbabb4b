//! What was prepared of a delivery and waits for its turn.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::progress::Entry;

/// Events that were encoded before it was their turn.
struct Draft<T> {
    events: Vec<Entry>,
    synced: Timestamp,
    content: T,
}

/// The drafts of the next deliveries, and the time that rows were written with last.
pub(crate) struct Drafts<T>(Mutex<(VecDeque<Draft<T>>, Timestamp)>);

/// One for the delivery whose turn it is, one for that behind it.
const KEPT: usize = 2;

impl<T> Default for Drafts<T> {
    fn default() -> Drafts<T> {
        Drafts(Mutex::new((VecDeque::new(), Timestamp::MIN)))
    }
}

impl<T> Drafts<T> {
    /// Keeps what was made of these events.
    pub(crate) fn keep(&self, events: Vec<Entry>, synced: Timestamp, content: T) {
        self.with(|(drafts, _)| {
            drafts.truncate(KEPT - 1);
            drafts.push_front(Draft { events, synced, content });
        });
    }

    /// Takes what was made of exactly these events.
    ///
    /// Nothing where events before them were encoded later, as after a failure: who
    /// reads a table by the time of its rows would pass over them.
    pub(crate) fn take(&self, events: &(impl Iterator<Item = Entry> + Clone)) -> Option<T> {
        self.with(|(drafts, latest)| {
            let at = drafts.iter().position(|draft| draft.events.iter().copied().eq(events.clone()))?;
            let taken = drafts.remove(at).filter(|draft| draft.synced >= *latest)?;
            *latest = taken.synced;
            Some(taken.content)
        })
    }

    /// Notes that events are encoded now, without a draft.
    pub(crate) fn encoding(&self, synced: Timestamp) {
        self.with(|(_, latest)| *latest = synced.max(*latest));
    }

    fn with<R>(&self, what: impl FnOnce(&mut (VecDeque<Draft<T>>, Timestamp)) -> R) -> R {
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
        assert_eq!(drafts.take(&events(4..6).into_iter()), None, "a half");
        assert_eq!(drafts.take(&events(0..4).into_iter()), None, "others");
        assert_eq!(drafts.take(&events(4..8).into_iter()), Some("content"));
        assert_eq!(drafts.take(&events(4..8).into_iter()), None, "again");
    }

    #[test]
    fn a_draft_that_is_older_than_what_was_written_before_it_is_not_taken() {
        let drafts = Drafts::default();
        drafts.keep(events(4..8), second(1), "content");
        drafts.encoding(second(2));
        assert_eq!(drafts.take(&events(4..8).into_iter()), None);
    }
}
