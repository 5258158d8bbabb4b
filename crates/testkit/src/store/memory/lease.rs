//! The lease of a sync in memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_model::{Lease, SyncId};

use super::contents::Memory;

/// Gives its sync back when it goes.
pub(super) struct MemoryLease {
    pub(super) memory: Arc<Mutex<Memory>>,
    pub(super) sync: SyncId,
    pub(super) token: u64,
}

impl MemoryLease {
    fn let_go(&self) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, held)) = memory.leases.get_mut(&self.sync)
            && *token == self.token
        {
            *held = false;
        }
    }
}

#[async_trait]
impl Lease for MemoryLease {
    fn sync(&self) -> &SyncId {
        &self.sync
    }

    fn token(&self) -> u64 {
        self.token
    }

    fn remaining(&self) -> Duration {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.leases.get(&self.sync) {
            Some((token, true)) if *token == self.token => Duration::MAX,
            _ => Duration::ZERO,
        }
    }

    async fn release(&self) {
        self.let_go();
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        self.let_go();
    }
}
