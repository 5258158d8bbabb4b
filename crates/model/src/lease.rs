//! The right to run a sync, held by one process at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::SyncId;

/// The right to run a sync, until it is released or it ends.
///
/// The store renews an expiring lease while it is reachable. Dropping the lease releases it too, a
/// little later.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Returns the sync that this lease is for; it never changes.
    fn sync(&self) -> &SyncId;

    /// Returns the number of this lease. Each lease of a sync has a higher number than the lease
    /// before it.
    fn token(&self) -> u64;

    /// Returns how long the holder may still send. Zero if the lease was lost, and shortly before it
    /// expires without having been renewed: nothing may be sent then.
    fn remaining(&self) -> Duration;

    /// Lets another process take the sync at once.
    async fn release(&self);
}

/// A lease in the hands of a run.
pub type Claim = Arc<dyn Lease>;

/// The answer to a process that asks for a sync.
#[derive(Clone)]
pub enum Claimed {
    /// The sync is held by the caller now.
    Taken(Claim),
    /// Another process holds it.
    Held(Holder),
}

impl Claimed {
    /// Returns the lease if it was taken.
    pub fn taken(self) -> Option<Claim> {
        match self {
            Claimed::Taken(claim) => Some(claim),
            Claimed::Held(_) => None,
        }
    }
}

/// A process that holds a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its machine and number, as `web-1, process 4242`.
    pub process: String,
    /// When its lease expires unless it is renewed; `None` if it ends with the process.
    pub until: Option<Timestamp>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.process)
    }
}

/// A lease of a store that no other process can reach: it does not expire.
pub struct Unshared(SyncId);

impl Unshared {
    /// Returns such a lease of a sync.
    pub fn lease(sync: &SyncId) -> Claim {
        Arc::new(Unshared(sync.clone()))
    }
}

#[async_trait]
impl Lease for Unshared {
    fn sync(&self) -> &SyncId {
        &self.0
    }

    fn token(&self) -> u64 {
        0
    }

    fn remaining(&self) -> Duration {
        Duration::MAX
    }

    async fn release(&self) {}
}
