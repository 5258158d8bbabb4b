//! Batches that are encoded ahead of their delivery.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::progress::EventOffset;

/// Events that were encoded before their delivery.
struct PreparedBatch<T> {
    events: Vec<EventOffset>,
    synced: Timestamp,
    content: T,
}

/// The prepared batches of the next deliveries, and the time of the rows that were written last.
pub(crate) struct PreparedBatches<T>(Mutex<(VecDeque<PreparedBatch<T>>, Timestamp)>);

/// One for the current delivery, one for the next.
const KEPT: usize = 2;

impl<T> Default for PreparedBatches<T> {
    fn default() -> PreparedBatches<T> {
        PreparedBatches(Mutex::new((VecDeque::new(), Timestamp::MIN)))
    }
}

impl<T> PreparedBatches<T> {
    /// Keeps the encoded form of these events.
    pub(crate) fn keep(&self, events: Vec<EventOffset>, synced: Timestamp, content: T) {
        self.with(|(prepared_batches, _)| {
            prepared_batches.truncate(KEPT - 1);
            prepared_batches.push_front(PreparedBatch { events, synced, content });
        });
    }

    /// Takes the encoded form of exactly these events.
    ///
    /// Returns nothing if earlier events were encoded later, as after a failure: readers that follow
    /// the time of the rows would skip them.
    pub(crate) fn take(&self, events: &(impl Iterator<Item = EventOffset> + Clone)) -> Option<T> {
        self.with(|(prepared_batches, latest)| {
            let at = prepared_batches
                .iter()
                .position(|prepared| prepared.events.iter().copied().eq(events.clone()))?;
            let taken = prepared_batches.remove(at).filter(|prepared| prepared.synced >= *latest)?;
            *latest = taken.synced;
            Some(taken.content)
        })
    }

    /// Notes that events are encoded now, without a prepared batch.
    pub(crate) fn encoding(&self, synced: Timestamp) {
        self.with(|(_, latest)| *latest = synced.max(*latest));
    }

    fn with<R>(&self, what: impl FnOnce(&mut (VecDeque<PreparedBatch<T>>, Timestamp)) -> R) -> R {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::logged;

    fn events(offsets: std::ops::Range<u64>) -> Vec<EventOffset> {
        offsets.map(|at| EventOffset::from(&logged(at, "2026-03-01T00:00:00Z"))).collect()
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::constant(second, 0)
    }

    #[test]
    fn a_prepared_batch_is_for_its_own_events_and_is_taken_once() {
        let prepared_batches = PreparedBatches::default();
        prepared_batches.keep(events(4..8), second(1), "content");
        assert_eq!(prepared_batches.take(&events(4..6).into_iter()), None, "a half");
        assert_eq!(prepared_batches.take(&events(0..4).into_iter()), None, "others");
        assert_eq!(prepared_batches.take(&events(4..8).into_iter()), Some("content"));
        assert_eq!(prepared_batches.take(&events(4..8).into_iter()), None, "again");
    }

    #[test]
    fn a_prepared_batch_that_is_older_than_the_last_write_is_not_taken() {
        let prepared_batches = PreparedBatches::default();
        prepared_batches.keep(events(4..8), second(1), "content");
        prepared_batches.encoding(second(2));
        assert_eq!(prepared_batches.take(&events(4..8).into_iter()), None);
    }
}
