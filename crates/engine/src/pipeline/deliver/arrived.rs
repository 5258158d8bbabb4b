//! Items that have arrived and still wait: they stay where the reader put them until a request takes them.

use std::collections::VecDeque;

use crate::pipeline::item::{Item, ReadItems, RequestItems};
use crate::pipeline::transform::Transform;

/// How many items came before one: its name as long as it waits.
pub(super) type Age = u64;

/// Items that arrived together.
struct Chunk<F: Transform> {
    /// The age of the first of them.
    first: Age,
    sent: Vec<Option<F::Sent>>,
    items: Vec<Option<Item<F>>>,
    /// The estimated size of each.
    sizes: Vec<usize>,
    /// The next item of the same user after each.
    next: Vec<Option<Age>>,
    /// How many still wait.
    left: usize,
}

/// The items that wait, each found by its age.
pub(super) struct Arrived<F: Transform> {
    /// In order. The first one is never empty, others may be.
    chunks: VecDeque<Chunk<F>>,
    next_age: Age,
}

impl<F: Transform> Default for Arrived<F> {
    fn default() -> Arrived<F> {
        Arrived { chunks: VecDeque::new(), next_age: 0 }
    }
}

const WAITS: &str = "an item that waits is in its chunk";

impl<F: Transform> Arrived<F> {
    /// Returns whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Returns the age of the item that arrives next.
    pub(super) fn next_age(&self) -> Age {
        self.next_age
    }

    /// Adds items after all others. None of them has a next one yet.
    pub(super) fn push(&mut self, items: ReadItems<F>) {
        let ReadItems { items: RequestItems { sent, items }, sizes, .. } = items;
        let left = sizes.len();
        if left == 0 {
            return;
        }
        let next = vec![None; left];
        // In the same memory.
        let sent = sent.into_iter().map(Some).collect();
        let items = items.into_iter().map(Some).collect();
        self.chunks.push_back(Chunk { first: self.next_age, sent, items, sizes, next, left });
        self.next_age += left as u64;
    }

    /// Returns what is to be sent of an item that waits.
    pub(super) fn sent(&self, age: Age) -> &F::Sent {
        let (chunk, at) = self.place(age);
        self.chunks[chunk].sent[at].as_ref().expect(WAITS)
    }

    /// Returns an item that waits.
    pub(super) fn item(&self, age: Age) -> &Item<F> {
        let (chunk, at) = self.place(age);
        self.chunks[chunk].items[at].as_ref().expect(WAITS)
    }

    /// Returns the estimated size of an item that waits.
    pub(super) fn size(&self, age: Age) -> usize {
        let (chunk, at) = self.place(age);
        self.chunks[chunk].sizes[at]
    }

    /// Notes that `next` is the next item of the user of `age`, which waits.
    pub(super) fn follow(&mut self, age: Age, next: Age) {
        let (chunk, at) = self.place(age);
        self.chunks[chunk].next[at] = Some(next);
    }

    /// Moves an item that waits into a request. Returns the next one of its user.
    pub(super) fn take(&mut self, age: Age, request: &mut RequestItems<F>) -> Option<Age> {
        let (chunk, at) = self.place(age);
        let chunk = &mut self.chunks[chunk];
        request.push(chunk.sent[at].take().expect(WAITS), chunk.items[at].take().expect(WAITS));
        chunk.left -= 1;
        let next = chunk.next[at];
        if chunk.left == 0 {
            // Others before it may wait for long.
            (chunk.sent, chunk.items) = (Vec::new(), Vec::new());
        }
        while self.chunks.front().is_some_and(|first| first.left == 0) {
            self.chunks.pop_front();
        }
        next
    }

    /// Returns the chunk of an item, and its index there.
    #[inline]
    fn place(&self, age: Age) -> (usize, usize) {
        // Most are taken in order.
        if let Some(front) = self.chunks.front()
            && let at = (age - front.first) as usize
            && at < front.sizes.len()
        {
            return (0, at);
        }
        let chunk = self.chunks.partition_point(|chunk| chunk.first <= age) - 1;
        (chunk, (age - self.chunks[chunk].first) as usize)
    }
}
