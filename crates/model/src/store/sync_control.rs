//! What is done to a sync between its runs.

use std::collections::HashMap;

use async_trait::async_trait;

use crate::store::{NextRun, Pause, RunEnd, SyncState};
use crate::{Cause, Claim, Claimed, Error, ObjectKind, Run, SyncId};

/// What is done to a sync between its runs: the scheduler and commands hold it, pause it and plan its next run.
///
/// # Errors
/// As those of a [`Store`](crate::Store).
#[async_trait]
pub trait SyncControl: Send + Sync {
    /// Takes a sync for this process, unless a process holds it. Runs of the sync that
    /// never ended become `Interrupted`.
    async fn claim(&self, sync: &SyncId) -> Result<Claimed, Error>;

    /// Returns the state of every sync that is known, in one question, however many there are.
    async fn sync_states(&self) -> Result<HashMap<SyncId, SyncState>, Error>;

    /// Pauses a sync, or lets it run again.
    async fn set_paused(&self, sync: &SyncId, paused: Option<Pause>) -> Result<(), Error>;

    /// Stores when a sync runs next.
    async fn plan_run(&self, sync: &SyncId, next: NextRun) -> Result<(), Error>;

    /// Clears the checkpoint, systems, lookback, kept users and intents of the sync that is held. Runs and
    /// row statuses stay.
    async fn reset(&self, claim: &Claim) -> Result<(), Error>;

    /// Records an attempt to run the sync that is held as a run that has ended already. The
    /// object of the sync is not fixed by it.
    async fn fail_run(
        &self,
        claim: &Claim,
        object: ObjectKind,
        cause: Cause,
        end: RunEnd,
    ) -> Result<Run, Error>;
}
