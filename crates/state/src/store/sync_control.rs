//! Syncs between their runs.

use std::collections::HashMap;

use async_trait::async_trait;
use tidegate_model::store::{NextRun, Pause, RunEnd, SyncControl, SyncState};
use tidegate_model::{Cause, Claim, Claimed, Error, ObjectKind, Run, SyncId};

use crate::store::leases::Taken;
use crate::store::{SqlStore, runs, syncs};

#[async_trait]
impl SyncControl for SqlStore {
    async fn claim(&self, sync: &SyncId) -> Result<Claimed, Error> {
        match self.leases.take(sync, self.clock.now()).await? {
            Taken::Held(holder) => Ok(Claimed::Held(holder)),
            Taken::Lease(claim, ended) => {
                // Nothing more is written in their names: their blocks are complete.
                if !ended.is_empty() {
                    self.archive.soon(sync);
                }
                Ok(Claimed::Taken(claim))
            }
        }
    }

    async fn sync_states(&self) -> Result<HashMap<SyncId, SyncState>, Error> {
        syncs::states(&self.database).await
    }

    async fn set_paused(&self, sync: &SyncId, paused: Option<Pause>) -> Result<(), Error> {
        syncs::set_paused(&self.database, sync, paused).await
    }

    async fn plan_run(&self, sync: &SyncId, next: NextRun) -> Result<(), Error> {
        syncs::plan_run(&self.database, sync, &next).await
    }

    async fn reset(&self, claim: &Claim) -> Result<(), Error> {
        syncs::reset(&self.database, claim).await
    }

    async fn fail_run(
        &self,
        claim: &Claim,
        object: ObjectKind,
        cause: Cause,
        end: RunEnd,
    ) -> Result<Run, Error> {
        runs::fail(&self.database, claim, object, cause, end).await
    }
}
