//! What passes between the stages of a run.

use tidegate_model::store::{Delivered, RowFate};
use tidegate_model::{Checkpoint, Counts, Fingerprint, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::pipeline::freight::{Freight, Names};

/// What is known of something on its way, beside what is sent of it.
pub(crate) struct Item<F: Freight> {
    /// The batch it belongs to.
    pub(crate) batch: u64,
    /// Its place among the items of the batch.
    pub(crate) at: u32,
    pub(crate) names: Names,
    pub(crate) kept: F::Kept,
}

/// A row's fate and its place in the batch.
pub(crate) type Placed = (u32, RowFate);

/// What was decided of a batch by one request.
#[derive(Default)]
pub(crate) struct Fates {
    /// Items that were delivered.
    pub(crate) delivered: Delivered,
    /// The fates of the others.
    pub(crate) others: Vec<Placed>,
}

impl Fates {
    /// How many items were decided.
    pub(crate) fn len(&self) -> usize {
        self.delivered.len() + self.others.len()
    }
}

/// What is sent and, in the same order, what is known of each.
pub(crate) struct Parcels<F: Freight> {
    pub(crate) sent: Vec<F::Sent>,
    pub(crate) items: Vec<Item<F>>,
}

impl<F: Freight> Parcels<F> {
    pub(crate) fn with_capacity(parcels: usize) -> Parcels<F> {
        Parcels { sent: Vec::with_capacity(parcels), items: Vec::with_capacity(parcels) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// A batch that was read; its rows are on their way.
pub(crate) struct Opened {
    pub(crate) batch: u64,
    /// Where to read on once all rows have their fate.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Rows that were given to the slots.
    pub(crate) under_way: usize,
    /// Rows whose fate is known without sending them.
    pub(crate) decided: Vec<Placed>,
    /// Rows that have no place in the order of the cursor: every run rejects them anew.
    pub(crate) unplaced: Vec<Placed>,
    /// The highest cursor value of the batch.
    pub(crate) highest: Option<Value>,
    /// The rows that earlier runs settled and that were not read again by now;
    /// none where the batch changed nothing about them.
    pub(crate) left: Option<Vec<Fingerprint>>,
    /// Rows that earlier runs were about to send.
    pub(crate) recalled: Vec<Fingerprint>,
    /// Read, unchanged and waiting rows.
    pub(crate) counts: Counts,
    /// Lets the reader go on once the batch is settled.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// What the settler is told.
pub(crate) enum Note {
    Opened(Box<Opened>),
    Decided { batch: u64, fates: Fates },
}
