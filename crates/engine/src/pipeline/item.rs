//! What passes between the stages of a run.

use tidegate_model::store::{Delivered, KeptUser, RowResult, RowVersion};
use tidegate_model::{Checkpoint, Counts, Origin, RowHash, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::pipeline::batch_order::BatchOrder;
use crate::pipeline::read::cursor_marks::CursorMarks;
use crate::pipeline::repeat::Doubt;
use crate::pipeline::transform::{ItemKeys, Transform};

/// What is known of an item in flight, beside what is sent of it.
pub(crate) struct Item<F: Transform> {
    /// The batch it belongs to.
    pub(crate) batch: u64,
    /// Its number in the batch ([`BatchOrder`]).
    pub(crate) at: u32,
    pub(crate) keys: ItemKeys,
    pub(crate) context: F::Context,
    /// What an earlier run left of it, if one sent it.
    pub(crate) doubt: Option<Box<Doubt>>,
}

/// The number of a row in the batch ([`BatchOrder`]), and its result.
pub(crate) type IndexedResult = (u32, RowResult);

/// The results of a batch that one request brought.
#[derive(Default)]
pub(crate) struct RequestResults {
    /// Items that were delivered.
    pub(crate) delivered: Vec<Delivered>,
    /// The results of the others.
    pub(crate) others: Vec<IndexedResult>,
    /// Rejected ones that may have taken effect before, with the number of their changes.
    pub(crate) uncertain: Vec<(KeptUser, u8)>,
}

impl RequestResults {
    /// Returns the number of items with a result.
    pub(crate) fn len(&self) -> usize {
        self.delivered.iter().map(Delivered::len).sum::<usize>() + self.others.len()
    }
}

/// Items to send and, in the same order, what is known of each.
pub(crate) struct RequestItems<F: Transform> {
    pub(crate) sent: Vec<F::Sent>,
    pub(crate) items: Vec<Item<F>>,
}

impl<F: Transform> RequestItems<F> {
    pub(crate) fn with_capacity(items: usize) -> RequestItems<F> {
        RequestItems { sent: Vec::with_capacity(items), items: Vec::with_capacity(items) }
    }

    pub(crate) fn push(&mut self, sent: F::Sent, item: Item<F>) {
        self.sent.push(sent);
        self.items.push(item);
    }
}

/// Items that were read and are to be sent, with what delivery has to know of each: the reader still has
/// them in the processor's caches.
pub(crate) struct ReadItems<F: Transform> {
    pub(crate) items: RequestItems<F>,
    /// The hash by which each is partitioned; none if they are sent in their order.
    pub(crate) hashes: Vec<u64>,
    /// Their estimated sizes.
    pub(crate) sizes: Vec<usize>,
}

impl<F: Transform> ReadItems<F> {
    pub(crate) fn with_capacity(items: usize) -> ReadItems<F> {
        let (hashes, sizes) = (Vec::with_capacity(items), Vec::with_capacity(items));
        ReadItems { items: RequestItems::with_capacity(items), hashes, sizes }
    }

    pub(crate) fn len(&self) -> usize {
        self.sizes.len()
    }
}

/// A batch that was read; its rows are in flight.
pub(crate) struct BatchOpened {
    pub(crate) batch: u64,
    /// The checkpoint to resume from once all rows have their status.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Rows that are to be sent.
    pub(crate) under_way: usize,
    /// Rows whose status is known without sending them.
    pub(crate) decided: Vec<IndexedResult>,
    /// Rows that an earlier run sent, and that were rejected before they became what is read now.
    pub(crate) earlier: Vec<IndexedResult>,
    /// Rows without a cursor value: every run rejects them again.
    pub(crate) without_cursor: Vec<IndexedResult>,
    /// The highest cursor value of the batch.
    pub(crate) highest: Option<Value>,
    /// How the cursor came there.
    pub(crate) marks: CursorMarks,
    /// Rows of an unfinished batch of an earlier run that have not been read again yet; `None` if this
    /// batch matched none of them.
    pub(crate) left: Option<Vec<RowVersion>>,
    /// Rows to remember beyond those that are committed.
    pub(crate) kept: Kept,
    /// The origins of its items; empty if they have none.
    pub(crate) origins: Vec<Origin>,
    /// The order of what was read.
    pub(crate) order: BatchOrder,
    /// Keys of pieces that could not be read before, and can be now, and of rows that are again as they were
    /// delivered.
    pub(crate) fixed: Vec<RowHash>,
    /// Rows that earlier runs were about to send.
    pub(crate) recalled: Vec<RowVersion>,
    /// Rows that were read, skipped or are not due.
    pub(crate) counts: Counts,
    /// Lets the reader continue once the batch is committed.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Rows of earlier runs that stay known under their keys.
#[derive(Default)]
pub(crate) struct Kept {
    /// Whatever becomes of the batch.
    pub(crate) always: Vec<RowVersion>,
    /// If the row with this number is rejected: what took effect before still holds.
    pub(crate) if_rejected: Vec<(u32, RowVersion)>,
}

/// What the committer receives.
pub(crate) enum CommitEvent {
    Opened(Box<BatchOpened>),
    Decided { batch: u64, results: RequestResults },
}
