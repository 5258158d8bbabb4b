//! When each user may be written to again.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// When each user may be written to again.
///
/// Only hashes are remembered: a user's name may share its memory with all that
/// was read with it. Where two are the same, one user waits for the other.
#[derive(Default)]
pub(crate) struct Users {
    hashes: RandomState,
    free_at: HashMap<u64, Instant>,
}

impl Users {
    pub(crate) fn is_free(&self, user: &impl Hash, now: Instant) -> bool {
        self.free_at(user).is_none_or(|free_at| free_at <= now)
    }

    pub(crate) fn occupy(&mut self, user: &impl Hash, until: Instant, now: Instant) {
        /// Above this, users that are free again are forgotten.
        const REMEMBERED_MAX: usize = 4_096;
        if self.free_at.len() >= REMEMBERED_MAX {
            self.free_at.retain(|_, free_at| *free_at > now);
        }
        self.free_at.insert(self.hashes.hash_one(user), until);
    }

    pub(crate) fn next_free<'a, U: Hash + 'a>(
        &self,
        queued: impl Iterator<Item = &'a U>,
        now: Instant,
    ) -> Duration {
        let earliest = queued.filter_map(|user| self.free_at(user)).min();
        earliest.map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(now))
    }

    fn free_at(&self, user: &impl Hash) -> Option<Instant> {
        self.free_at.get(&self.hashes.hash_one(user)).copied()
    }
}
