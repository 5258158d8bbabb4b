//! What waits for its request.

use std::collections::VecDeque;

use super::freight::Freight;
use super::slot::Parcel;

/// What waits to be sent, each with its weight.
pub(super) struct Queue<F: Freight> {
    parcels: VecDeque<(usize, Parcel<F>)>,
    /// The weight of all.
    bytes: usize,
}

impl<F: Freight> Queue<F> {
    pub(super) fn new() -> Queue<F> {
        Queue { parcels: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.parcels.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Parcel<F>> {
        self.parcels.front().map(|(_, parcel)| parcel)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Parcel<F>> {
        self.parcels.iter().map(|(_, parcel)| parcel)
    }

    pub(super) fn extend(&mut self, parcels: Vec<Parcel<F>>, weigh: impl Fn(&F::Sent) -> usize) {
        let bytes = &mut self.bytes;
        self.parcels.extend(parcels.into_iter().map(|parcel| {
            let weight = weigh(&parcel.0);
            *bytes += weight;
            (weight, parcel)
        }));
    }

    pub(super) fn pop(&mut self) -> Option<(usize, Parcel<F>)> {
        let first = self.parcels.pop_front()?;
        self.bytes -= first.0;
        Some(first)
    }

    pub(super) fn give_back(&mut self, parcel: (usize, Parcel<F>)) {
        self.bytes += parcel.0;
        self.parcels.push_front(parcel);
    }
}
