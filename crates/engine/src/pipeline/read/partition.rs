//! Finds what is new in a batch, transforms it and partitions it by worker.

use std::cmp::Ordering;

use tidegate_model::store::RowStatus;
use tidegate_model::{Origin, Reason, RowHash, Value};

use crate::pipeline::item::{IndexedResult, Item, RequestItems};
use crate::pipeline::read::reader::Reader;
use crate::pipeline::read::resume::{self, PriorState};
use crate::pipeline::transform::{ItemKeys, Transform};

/// What is known of the items of a batch before any of them is transformed.
pub(crate) struct Lookup {
    /// The keys of each item, and what is known of it.
    pub(crate) known: Vec<(ItemKeys, PriorState)>,
    /// How many were committed before.
    pub(crate) skipped: u64,
    /// The highest cursor value.
    pub(crate) highest: Option<Value>,
    /// Those that earlier runs were about to send.
    pub(crate) recalled: Vec<RowHash>,
}

/// A batch, sorted.
pub(crate) struct Partitioned<F: Transform> {
    /// What each worker is to send.
    pub(crate) workers: Vec<RequestItems<F>>,
    /// How many that is.
    pub(crate) under_way: usize,
    /// Items whose status is known without sending them.
    pub(crate) decided: Vec<IndexedResult>,
    /// The same, of items without a cursor value.
    pub(crate) without_cursor: Vec<IndexedResult>,
}

impl<F: Transform> Reader<F> {
    /// Looks at each item, where it was read.
    pub(crate) fn look_up(&mut self, items: &[F::Read], origins: &[Origin], scratch: &mut Vec<u8>) -> Lookup {
        let known = Vec::with_capacity(items.len());
        let mut lookup = Lookup { known, skipped: 0, highest: None, recalled: Vec::new() };
        for (at, item) in items.iter().enumerate() {
            if let Some(value) = self.transform.cursor(item)
                && lookup.highest.as_ref().is_none_or(|high| value.compare(high) == Some(Ordering::Greater))
                && !value.is_null()
            {
                lookup.highest = Some(value.clone());
            }
            let keys = self.transform.identify(item, origins.get(at), scratch);
            let known = if self.kind.moves_checkpoint() {
                self.resume.lookup(keys.version)
            } else {
                self.resume.lookup_sent(keys.version)
            };
            match known {
                PriorState::Committed => lookup.skipped += 1,
                PriorState::Sent(_) | PriorState::InDoubt => lookup.recalled.push(keys.version),
                PriorState::New => {}
            }
            lookup.known.push((keys, known));
        }
        lookup
    }

    /// Transforms what is new and assigns it to the worker of its user; `decided` are those
    /// of the batch whose status is known already.
    pub(crate) fn partition(
        &self,
        batch: u64,
        items: Vec<F::Read>,
        known: Vec<(ItemKeys, PriorState)>,
        decided: Vec<IndexedResult>,
    ) -> Partitioned<F> {
        let share = known.iter().filter(|(_, known)| *known != PriorState::Committed).count() / self.spread;
        let workers = (0..self.spread).map(|_| RequestItems::with_capacity(share + share / 4 + 1)).collect();
        let mut partitioned = Partitioned { workers, under_way: 0, decided, without_cursor: Vec::new() };
        for ((at, item), (keys, known)) in (0..).zip(items).zip(known) {
            if known == PriorState::Committed {
                continue;
            }
            let has_cursor = !self.transform.cursor(&item).is_some_and(Value::is_null);
            // Not taken apart: what is sent is large, and each move of it a copy.
            let prepared = self.transform.transform(item, keys);
            if let Some(status) = self.decide(prepared.sent.as_ref(), known, has_cursor) {
                let row =
                    (at, self.transform.result(keys, prepared.context, prepared.sent.as_ref().ok(), status));
                if has_cursor { &mut partitioned.decided } else { &mut partitioned.without_cursor }.push(row);
                continue;
            }
            match prepared.sent {
                Ok(sent) => {
                    let items = &mut partitioned.workers[self.worker_of(&sent)];
                    items.sent.push(sent);
                    items.items.push(Item { batch, at, keys, context: prepared.context });
                    partitioned.under_way += 1;
                }
                Err(reason) => {
                    let result =
                        self.transform.result(keys, prepared.context, None, RowStatus::Rejected(reason));
                    partitioned.decided.push((at, result));
                }
            }
        }
        partitioned
    }

    /// The status of an item where it can be told without sending it.
    fn decide(
        &self,
        sent: Result<&F::Sent, &Reason>,
        known: PriorState,
        has_cursor: bool,
    ) -> Option<RowStatus> {
        if !has_cursor {
            return Some(RowStatus::Rejected(Reason::new(
                "null_cursor",
                "the cursor column is empty: the row has no position in the order of changes",
            )));
        }
        match known {
            PriorState::Sent(status) => Some(*status),
            PriorState::InDoubt if !self.resend => Some(RowStatus::InDoubt(resume::crashed())),
            PriorState::InDoubt | PriorState::New | PriorState::Committed => match sent {
                Ok(sent) => self.destination.validate(sent).err().map(RowStatus::Rejected),
                Err(reason) => Some(RowStatus::Rejected(reason.clone())),
            },
        }
    }

    /// The worker that all items of one user go through.
    fn worker_of(&self, sent: &F::Sent) -> usize {
        if self.spread == 1 {
            return 0;
        }
        (self.transform.partition_hash(sent) % self.spread as u64) as usize
    }
}
