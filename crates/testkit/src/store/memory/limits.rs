//! Limits in memory, shared by stores that stand for processes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_model::{Booked, Error, SharedLimits};
use tokio::time::Instant;

/// Limits that clones share, by the timers of the runtime.
#[derive(Clone, Default)]
pub(super) struct MemoryLimits {
    shared: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    free_at: Arc<Mutex<HashMap<String, Instant>>>,
}

impl MemoryLimits {
    /// Begins to stand for several processes, or for one again.
    pub(super) fn share(&self, shared: bool) {
        self.shared.store(shared, Ordering::Relaxed);
    }

    /// Returns how often something was asked of it.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn at(&self, limit: &str, change: impl FnOnce(Instant) -> Instant) -> Duration {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut limits = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let free_at = limits.entry(limit.to_owned()).or_insert(now);
        let from = now.max(*free_at);
        *free_at = change(from);
        from - now
    }
}

#[async_trait]
impl SharedLimits for MemoryLimits {
    fn is_alone(&self) -> bool {
        !self.shared.load(Ordering::Relaxed)
    }

    async fn book(&self, limit: &str, span: Duration) -> Result<Booked, Error> {
        Ok(Booked::In(self.at(limit, |from| from + span)))
    }

    async fn close(&self, limit: &str, span: Duration) -> Result<(), Error> {
        let until = Instant::now() + span;
        self.at(limit, |from| from.max(until));
        Ok(())
    }
}
