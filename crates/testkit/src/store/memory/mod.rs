//! A store in memory, for tests of what uses a store.

mod alerts;
mod answers;
mod commit;
mod contents;
mod erasures;
mod failed_rows;
mod held;
mod history;
mod lease;
mod ledger;
mod limits;
mod lookback;
mod memo;
mod people;
mod requests;
mod rows;
mod secrets;
mod syncs;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_model::alert::AlertBook;
use tidegate_model::answers::AnswerBook;
use tidegate_model::people::{Deed, PeopleBook};
use tidegate_model::store::RowResult;
use tidegate_model::{Clock, SharedLimits, Store, SyncId};

use alerts::MemoryAlerts;
use answers::MemoryAnswers;
use contents::Memory;
use limits::MemoryLimits;
use people::MemoryPeople;

/// A store in plain memory. Clones share what they remember.
#[derive(Clone)]
pub struct MemoryStore {
    memory: Arc<Mutex<Memory>>,
    alerts: MemoryAlerts,
    people: MemoryPeople,
    answers: MemoryAnswers,
    limits: MemoryLimits,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    /// Creates a store that remembers nothing yet.
    pub fn new(clock: Arc<dyn Clock>) -> MemoryStore {
        MemoryStore {
            memory: Arc::default(),
            alerts: MemoryAlerts::default(),
            people: MemoryPeople::default(),
            answers: MemoryAnswers::default(),
            limits: MemoryLimits::default(),
            clock,
        }
    }

    /// Begins to stand for several processes that share their limits, or for one again.
    pub fn share_limits(&self, shared: bool) {
        self.limits.share(shared);
    }

    /// Returns how often turns of limits were asked for, or closed.
    pub fn asked_for_limits(&self) -> u64 {
        self.limits.asked()
    }

    /// Makes the end of the next complete read fail, as a store does that cannot be reached.
    pub fn lose_the_next_end(&self) {
        self.memory().away = true;
    }

    /// Makes it take so long to end a run after that is written, as it does to make a large history file.
    pub fn end_runs_in(&self, span: Duration) {
        self.memory().end_takes = span;
    }

    /// Changes an entry of the audit log, as one would who can write the database.
    pub fn forge_audit(&self, seq: u64, change: impl FnOnce(&mut Deed)) {
        self.people.forge_audit(seq, change);
    }

    /// Returns its clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Returns every result that was committed for a sync, oldest first.
    pub fn results(&self, sync: &SyncId) -> Vec<RowResult> {
        let memory = self.memory();
        memory
            .ledger
            .iter()
            .filter(|(entry, _)| entry.sync == *sync)
            .map(|(_, status)| status.clone())
            .collect()
    }

    /// Limits how many rows are held.
    pub fn hold_at_most(&self, rows: usize) {
        self.memory().held_rows_max = Some(rows);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn alert_book(&self) -> &dyn AlertBook {
        &self.alerts
    }

    fn people_book(&self) -> &dyn PeopleBook {
        &self.people
    }

    fn answer_book(&self) -> &dyn AnswerBook {
        &self.answers
    }

    fn shared_limits(&self) -> &dyn SharedLimits {
        &self.limits
    }
}
