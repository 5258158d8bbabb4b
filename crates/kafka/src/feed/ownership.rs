//! Which partitions a feed owns, and since when.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::session::{PartitionState, Session, State};
use crate::partition::{TopicPartition, lock};
use crate::start_offsets::StartOffset;

impl Session {
    /// Adds assigned partitions.
    pub(super) fn own(&self, starts: &[StartOffset]) {
        let generation = self.generations.fetch_add(1, Ordering::AcqRel) + 1;
        let mut state = lock(&self.state);
        for start in starts {
            let partition = PartitionState::new(generation, start.from, start.committed);
            state.partitions.insert(start.partition.clone(), partition);
            state.emitted.start(&start.partition, start.from);
        }
    }

    /// Returns a number that increases whenever partitions are assigned or revoked.
    pub(super) fn generation(&self) -> u64 {
        self.generations.load(Ordering::Acquire)
    }

    /// Returns the generation in which a partition was assigned, if it still is.
    pub(super) fn generation_of(&self, partition: &TopicPartition) -> Option<u64> {
        let state = lock(&self.state);
        let owned = state.partitions.get(partition).filter(|partition| !partition.revoked);
        owned.map(|partition| partition.generation)
    }

    /// Stops emitting partitions and, with `wait`, waits until what was emitted of
    /// them is acknowledged. Returns those that were not acknowledged in time.
    pub(super) fn revoke(&self, names: &[TopicPartition], wait: bool) -> Vec<TopicPartition> {
        self.generations.fetch_add(1, Ordering::AcqRel);
        let mut state = lock(&self.state);
        for name in names {
            if let Some(partition) = state.partitions.get_mut(name) {
                partition.revoked = true;
            }
        }
        let open = |state: &State| -> Vec<TopicPartition> {
            let is_open = |name: &&TopicPartition| {
                state.partitions.get(*name).is_some_and(|partition| !partition.is_acknowledged())
            };
            names.iter().filter(is_open).cloned().collect()
        };
        if wait {
            let waiting = |state: &mut State| !state.is_abandoned() && !open(state).is_empty();
            let (after, _) = self
                .changed
                .wait_timeout_while(state, self.plan.revoke_timeout, waiting)
                .unwrap_or_else(PoisonError::into_inner);
            state = after;
        }
        open(&state)
    }

    /// Forgets revoked partitions.
    pub(super) fn release(&self, names: &[TopicPartition]) {
        let mut state = lock(&self.state);
        for name in names {
            state.partitions.remove(name);
        }
    }
}
