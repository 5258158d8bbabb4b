//! Items that wait for their request.

use std::collections::VecDeque;
use std::vec;

use crate::pipeline::deliver::budget::RequestBudget;
use crate::pipeline::item::{Item, ReadItems, RequestItems};
use crate::pipeline::transform::Transform;

/// Items that arrived together and still wait: they stay where the reader put them until a
/// request takes them.
struct Chunk<F: Transform> {
    sent: vec::IntoIter<F::Sent>,
    items: vec::IntoIter<Item<F>>,
    sizes: vec::IntoIter<usize>,
}

/// What waits to be sent, in order.
pub(crate) struct Queue<F: Transform> {
    /// None of them is empty.
    chunks: VecDeque<Chunk<F>>,
    len: usize,
    /// The estimated size of all.
    bytes: usize,
}

impl<F: Transform> Queue<F> {
    pub(crate) fn new() -> Queue<F> {
        Queue { chunks: VecDeque::new(), len: 0, bytes: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The batch of what has waited longest.
    pub(crate) fn first(&self) -> Option<u64> {
        Some(self.chunks.front()?.items.as_slice().first()?.batch)
    }

    /// Returns how many of the first items the budget allows.
    pub(crate) fn fitting(&self, mut budget: RequestBudget) -> usize {
        let mut fitting = 0;
        for chunk in &self.chunks {
            for (item, size) in chunk.items.as_slice().iter().zip(chunk.sizes.as_slice()) {
                if !budget.add(item.batch, *size) {
                    return fitting;
                }
                fitting += 1;
            }
        }
        fitting
    }

    /// Appends items.
    pub(crate) fn extend(&mut self, items: ReadItems<F>) {
        let ReadItems { items: RequestItems { sent, items }, sizes, .. } = items;
        if sizes.is_empty() {
            return;
        }
        self.len += sizes.len();
        self.bytes += sizes.iter().sum::<usize>();
        let chunk = Chunk { sent: sent.into_iter(), items: items.into_iter(), sizes: sizes.into_iter() };
        self.chunks.push_back(chunk);
    }

    /// Moves the first `count` after those that were taken.
    pub(crate) fn take(&mut self, mut count: usize, taken: &mut RequestItems<F>) {
        while let Some(chunk) = self.chunks.front_mut().filter(|_| count > 0) {
            let share = count.min(chunk.sent.len());
            taken.sent.extend(chunk.sent.by_ref().take(share));
            taken.items.extend(chunk.items.by_ref().take(share));
            self.bytes -= chunk.sizes.by_ref().take(share).sum::<usize>();
            self.len -= share;
            count -= share;
            if chunk.sent.len() == 0 {
                self.chunks.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_model::{Limits, RowHash};

    use super::*;
    use crate::pipeline::deliver::shared_event::{SharedEvent, tests::shared};
    use crate::pipeline::export::Events;
    use crate::pipeline::transform::ItemKeys;

    fn items(sent: Vec<SharedEvent>) -> ReadItems<Events> {
        let keys = |event: &SharedEvent| {
            let name = RowHash(event.offset.at.into());
            ItemKeys { key: name, version: name }
        };
        let item = |event: &SharedEvent| Item {
            batch: event.offset.at / 10,
            at: 0,
            keys: keys(event),
            context: (),
            doubt: None,
        };
        let sizes = sent.iter().map(|event| event.offset.at as usize % 7 + 1).collect();
        let items = RequestItems { items: sent.iter().map(item).collect(), sent };
        ReadItems { items, hashes: Vec::new(), sizes }
    }

    fn offsets<'a>(events: impl IntoIterator<Item = &'a SharedEvent>) -> Vec<u64> {
        events.into_iter().map(|event| event.offset.at).collect()
    }

    proptest! {
        #[test]
        fn what_comes_in_goes_out_in_order(
            steps in prop::collection::vec((0..6_u64, 0..9_usize), 0..20),
        ) {
            let (mut queue, mut waiting, mut next) = (Queue::new(), Vec::new(), 0);
            for (more, count) in steps {
                queue.extend(items(shared(next..next + more)));
                waiting.extend(next..next + more);
                next += more;

                let mut taken = RequestItems::with_capacity(count);
                queue.take(count, &mut taken);
                let gone: Vec<u64> = waiting.drain(..count.min(waiting.len())).collect();
                prop_assert_eq!(offsets(&taken.sent), gone);

                prop_assert_eq!((queue.len(), queue.is_empty()), (waiting.len(), waiting.is_empty()));
                let bytes = |at: &u64| *at as usize % 7 + 1;
                prop_assert_eq!(queue.bytes(), waiting.iter().map(bytes).sum::<usize>());
                prop_assert_eq!(queue.first(), waiting.first().map(|at| at / 10));
            }
        }
    }

    #[test]
    fn what_fits_is_counted_across_all_that_waits() {
        let mut queue = Queue::new();
        queue.extend(items(shared(0..3)));
        queue.extend(items(shared(3..9)));
        // 1, 2, 3, 4 and 5 bytes; the next one has 6.
        let limits = Limits { max_items: 100, max_bytes: 20, ..Limits::GENEROUS };
        assert_eq!(queue.fitting(RequestBudget::of(limits)), 5);
        assert_eq!(queue.fitting(RequestBudget::of(Limits { max_items: 4, ..limits })), 4);
    }
}
