//! Finds what is new in a batch, transforms it and partitions it by worker.

use std::cmp::Ordering;

use tidegate_model::store::RowStatus;
use tidegate_model::{Fingerprint, Reason, Value};

use crate::pipeline::freight::{Freight, Names};
use crate::pipeline::item::{Item, Parcels, Placed};
use crate::pipeline::read::memory::{self, Known};
use crate::pipeline::read::reader::Reader;

/// What is known of the items of a batch before any of them is transformed.
pub(crate) struct Seen {
    /// The keys of each item, and what is known of it.
    pub(crate) known: Vec<(Names, Known)>,
    /// How many were committed before.
    pub(crate) unchanged: u64,
    /// The highest cursor value.
    pub(crate) highest: Option<Value>,
    /// Those that earlier runs were about to send.
    pub(crate) recalled: Vec<Fingerprint>,
}

/// A batch, sorted.
pub(crate) struct Dealt<F: Freight> {
    /// What each worker is to send.
    pub(crate) slots: Vec<Parcels<F>>,
    /// How many that is.
    pub(crate) under_way: usize,
    /// Items whose status is known without sending them.
    pub(crate) decided: Vec<Placed>,
    /// The same, of items without a cursor value.
    pub(crate) unplaced: Vec<Placed>,
}

impl<F: Freight> Reader<F> {
    /// Looks at each item, where it was read.
    pub(crate) fn look_up(&mut self, items: &[F::Read], scratch: &mut Vec<u8>) -> Seen {
        let known = Vec::with_capacity(items.len());
        let mut seen = Seen { known, unchanged: 0, highest: None, recalled: Vec::new() };
        for item in items {
            if let Some(place) = self.freight.cursor(item)
                && seen.highest.as_ref().is_none_or(|high| place.compare(high) == Some(Ordering::Greater))
                && !place.is_null()
            {
                seen.highest = Some(place.clone());
            }
            let names = self.freight.names(item, scratch);
            let known = if self.kind.moves_checkpoint() {
                self.memory.recall(names.version)
            } else {
                self.memory.recall_sent(names.version)
            };
            match known {
                Known::Committed => seen.unchanged += 1,
                Known::Sent(_) | Known::InDoubt => seen.recalled.push(names.version),
                Known::New => {}
            }
            seen.known.push((names, known));
        }
        seen
    }

    /// Transforms what is new and assigns it to the worker of its user; `decided` are those
    /// of the batch whose status is known already.
    pub(crate) fn load(
        &self,
        batch: u64,
        items: Vec<F::Read>,
        known: Vec<(Names, Known)>,
        decided: Vec<Placed>,
    ) -> Dealt<F> {
        let share = known.iter().filter(|(_, known)| *known != Known::Committed).count() / self.spread;
        let slots = (0..self.spread).map(|_| Parcels::with_capacity(share + share / 4 + 1)).collect();
        let mut dealt = Dealt { slots, under_way: 0, decided, unplaced: Vec::new() };
        for ((at, item), (names, known)) in (0..).zip(items).zip(known) {
            if known == Known::Committed {
                continue;
            }
            let is_placed = !self.freight.cursor(&item).is_some_and(Value::is_null);
            // Not taken apart: what is sent is large, and each move of it a copy.
            let loaded = self.freight.load(item, names);
            if let Some(status) = self.decide(loaded.sent.as_ref(), known, is_placed) {
                let row = (at, self.freight.result(names, loaded.kept, loaded.sent.as_ref().ok(), status));
                if is_placed { &mut dealt.decided } else { &mut dealt.unplaced }.push(row);
                continue;
            }
            match loaded.sent {
                Ok(sent) => {
                    let parcels = &mut dealt.slots[self.slot_of(&sent)];
                    parcels.sent.push(sent);
                    parcels.items.push(Item { batch, at, names, kept: loaded.kept });
                    dealt.under_way += 1;
                }
                Err(reason) => {
                    let result = self.freight.result(names, loaded.kept, None, RowStatus::Rejected(reason));
                    dealt.decided.push((at, result));
                }
            }
        }
        dealt
    }

    /// The status of an item where it can be told without sending it.
    fn decide(&self, sent: Result<&F::Sent, &Reason>, known: Known, is_placed: bool) -> Option<RowStatus> {
        if !is_placed {
            return Some(RowStatus::Rejected(Reason::new(
                "null_cursor",
                "the cursor column is empty: the row has no position in the order of changes",
            )));
        }
        match known {
            Known::Sent(status) => Some(*status),
            Known::InDoubt if !self.resend => Some(RowStatus::InDoubt(memory::crashed())),
            Known::InDoubt | Known::New | Known::Committed => match sent {
                Ok(sent) => self.destination.validate(sent).err().map(RowStatus::Rejected),
                Err(reason) => Some(RowStatus::Rejected(reason.clone())),
            },
        }
    }

    /// The slot that all items of one user go through.
    fn slot_of(&self, sent: &F::Sent) -> usize {
        if self.spread == 1 {
            return 0;
        }
        (self.freight.deal(sent) % self.spread as u64) as usize
    }
}
