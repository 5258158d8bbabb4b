//! Alerts: one message when a sync begins to need attention, and one when it has recovered.
//!
//! - [`conditions`] looks at a sync and says which triggers apply,
//! - [`tokens`] says which ones expire, and [`disk`] whether it fills up,
//! - [`watch`] opens and resolves alerts by that,
//! - [`outbox`] makes a notice for each recipient and sends what is due,
//! - [`channels`] says whom the channels of the project reach, and [`channel_test`] tries them.
//!
//! All of it is kept in the store: no message is lost if a process dies, and several processes on one
//! store send each message once.

mod channel_test;
mod channels;
mod conditions;
mod disk;
mod outbox;
#[cfg(test)]
mod tests;
mod tokens;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_model::SyncId;
use tokio::sync::Notify;

pub use channel_test::TestedChannel;
pub use channels::ChannelDetails;
pub(crate) use disk::Disk;
pub use outbox::AlertDetails;

use conditions::Moved;

/// What a process remembers between two looks.
#[derive(Default)]
pub(crate) struct Watching {
    /// Wakes the watcher.
    ended: Notify,
    /// The syncs of which a run has ended since the last look.
    fresh: Mutex<HashSet<SyncId>>,
    /// How runs in progress have moved.
    moved: Mutex<HashMap<SyncId, Moved>>,
}

impl Watching {
    /// Notes that a run has ended: its sync is looked at soon.
    pub(crate) fn run_ended(&self, sync: &SyncId) {
        lock(&self.fresh).insert(sync.clone());
        self.ended.notify_one();
    }

    /// Returns the syncs of which a run has ended since the last call.
    fn take_fresh(&self) -> HashSet<SyncId> {
        std::mem::take(&mut lock(&self.fresh))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics is done while it is locked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
