//! What waits for its request.

use std::collections::VecDeque;
use std::vec;

use super::freight::Freight;
use super::read::Item;
use super::room::Room;

/// What is sent and, in the same order, what is known of each.
pub(super) struct Parcels<F: Freight> {
    pub(super) sent: Vec<F::Sent>,
    pub(super) items: Vec<Item<F>>,
}

impl<F: Freight> Parcels<F> {
    pub(super) fn with_capacity(parcels: usize) -> Parcels<F> {
        Parcels { sent: Vec::with_capacity(parcels), items: Vec::with_capacity(parcels) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// What came together, as far as it still waits: it stays where the reader put it
/// until its request takes it.
struct Lot<F: Freight> {
    sent: vec::IntoIter<F::Sent>,
    items: vec::IntoIter<Item<F>>,
    weights: vec::IntoIter<usize>,
}

/// What waits to be sent, in order.
pub(super) struct Queue<F: Freight> {
    /// None of them is empty.
    lots: VecDeque<Lot<F>>,
    len: usize,
    /// The weight of all.
    bytes: usize,
}

impl<F: Freight> Queue<F> {
    pub(super) fn new() -> Queue<F> {
        Queue { lots: VecDeque::new(), len: 0, bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What has waited longest, and its weight.
    pub(super) fn first(&self) -> Option<(&F::Sent, &Item<F>, usize)> {
        let lot = self.lots.front()?;
        Some((lot.sent.as_slice().first()?, lot.items.as_slice().first()?, *lot.weights.as_slice().first()?))
    }

    /// What is to be sent.
    pub(super) fn sent(&self) -> impl Iterator<Item = &F::Sent> {
        self.lots.iter().flat_map(|lot| lot.sent.as_slice())
    }

    /// How many of the first there is room for.
    pub(super) fn fitting(&self, mut room: Room) -> usize {
        let mut fitting = 0;
        for lot in &self.lots {
            for (item, weight) in lot.items.as_slice().iter().zip(lot.weights.as_slice()) {
                if !room.add(item.batch, *weight) {
                    return fitting;
                }
                fitting += 1;
            }
        }
        fitting
    }

    /// Puts parcels behind the others.
    pub(super) fn extend(&mut self, parcels: Parcels<F>, weigh: impl Fn(&F::Sent) -> usize) {
        if let Some(lot) = self.weighed(parcels, weigh) {
            self.lots.push_back(lot);
        }
    }

    /// Puts parcels before the others again.
    pub(super) fn give_back(&mut self, parcels: Parcels<F>, weigh: impl Fn(&F::Sent) -> usize) {
        if let Some(lot) = self.weighed(parcels, weigh) {
            self.lots.push_front(lot);
        }
    }

    fn weighed(&mut self, parcels: Parcels<F>, weigh: impl Fn(&F::Sent) -> usize) -> Option<Lot<F>> {
        let Parcels { sent, items } = parcels;
        let weights: Vec<usize> = sent.iter().map(weigh).collect();
        self.len += weights.len();
        self.bytes += weights.iter().sum::<usize>();
        let lot = Lot { sent: sent.into_iter(), items: items.into_iter(), weights: weights.into_iter() };
        (lot.sent.len() > 0).then_some(lot)
    }

    /// Moves the first `count` behind those that were taken.
    pub(super) fn take(&mut self, mut count: usize, taken: &mut Parcels<F>) {
        while let Some(lot) = self.lots.front_mut().filter(|_| count > 0) {
            let share = count.min(lot.sent.len());
            taken.sent.extend(lot.sent.by_ref().take(share));
            taken.items.extend(lot.items.by_ref().take(share));
            self.bytes -= lot.weights.by_ref().take(share).sum::<usize>();
            self.len -= share;
            count -= share;
            if lot.sent.len() == 0 {
                self.lots.pop_front();
            }
        }
    }
}
