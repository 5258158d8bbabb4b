//! Events that are shared instead of moved.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::{Checks, Destination, Error, Limits, LoggedEvent, Reason, Receipt, Sink};

/// An event among those that were read with it.
///
/// An event takes almost 300 bytes beside its texts, and it changes hands a dozen
/// times between the log and the sink. Only its index changes hands.
#[derive(Clone)]
pub(crate) struct SharedEvent {
    batch: Arc<Vec<LoggedEvent>>,
    at: usize,
}

impl SharedEvent {
    /// Shares all events of a batch.
    pub(crate) fn all(events: Vec<LoggedEvent>) -> Vec<SharedEvent> {
        let batch = Arc::new(events);
        (0..batch.len()).map(|at| SharedEvent { batch: batch.clone(), at }).collect()
    }
}

impl Deref for SharedEvent {
    type Target = LoggedEvent;

    fn deref(&self) -> &LoggedEvent {
        &self.batch[self.at]
    }
}

/// A sink that takes shared events.
pub(crate) struct SharedEventSink(pub(crate) Arc<Sink>);

#[async_trait]
impl Destination<SharedEvent> for SharedEventSink {
    async fn check(&self) -> Result<Checks, Error> {
        self.0.check().await
    }

    fn limits(&self) -> Limits {
        self.0.limits()
    }

    fn estimated_size(&self, item: &SharedEvent) -> usize {
        self.0.estimated_size(item)
    }

    fn validate(&self, item: &SharedEvent) -> Result<(), Reason> {
        self.0.validate(item)
    }

    fn prepare(&self, items: &[SharedEvent]) {
        match side_by_side(items) {
            Some(events) => self.0.prepare(events),
            None => self.0.prepare(&cloned(items)),
        }
    }

    async fn deliver(&self, items: &[SharedEvent]) -> Result<Receipt, Error> {
        match side_by_side(items) {
            Some(events) => self.0.deliver(events).await,
            None => self.0.deliver(&cloned(items)).await,
        }
    }
}

/// A clone shares the texts.
fn cloned(items: &[SharedEvent]) -> Vec<LoggedEvent> {
    items.iter().map(|shared| LoggedEvent::clone(shared)).collect()
}

/// The events as a slice of their batch, if they are neighbors there.
fn side_by_side(items: &[SharedEvent]) -> Option<&[LoggedEvent]> {
    let first = items.first()?;
    let neighbours = (first.at..)
        .zip(items)
        .all(|(at, shared)| shared.at == at && Arc::ptr_eq(&shared.batch, &first.batch));
    neighbours.then(|| &first.batch[first.at..first.at + items.len()])
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::Timestamp;
    use tidegate_model::{Event, Json, Offset, Text};

    use super::*;

    /// Events of one batch, told apart by their offsets.
    pub(in crate::pipeline) fn shared(offsets: std::ops::Range<u64>) -> Vec<SharedEvent> {
        let event = Event {
            id: "e".into(),
            kind: "order_placed".into(),
            at: Timestamp::UNIX_EPOCH,
            user: Text::new(),
            app: Text::new(),
            message: Text::new(),
            template: Text::new(),
            payload: Json::parse("{}".into()).expect("JSON"),
        };
        let logged = |at| LoggedEvent {
            offset: Offset::new(0, at),
            logged_at: Timestamp::UNIX_EPOCH,
            event: event.clone(),
        };
        SharedEvent::all(offsets.map(logged).collect())
    }

    #[test]
    fn only_neighbours_of_one_batch_are_offered_where_they_lie() {
        let (first, second) = (shared(0..4), shared(4..6));
        let offered = |items: &[SharedEvent]| {
            side_by_side(items).map(|events| events.iter().map(|event| event.offset.at).collect::<Vec<_>>())
        };
        assert_eq!(offered(&first[1..3]), Some(vec![1, 2]));
        assert_eq!(offered(&[first[0].clone(), first[2].clone()]), None, "a gap");
        assert_eq!(offered(&[first[1].clone(), first[0].clone()]), None, "another order");
        assert_eq!(offered(&[first[3].clone(), second[0].clone()]), None, "two batches");
        assert_eq!(offered(&[]), None);
    }
}
