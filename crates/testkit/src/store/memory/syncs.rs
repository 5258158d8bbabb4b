//! Syncs between their runs, in memory.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::store::{NextRun, Pause, RunEnd, SyncControl, SyncState};
use tidegate_model::{Cause, Claim, Claimed, Counts, Error, Holder, ObjectKind, Run, RunId, SyncId};

use super::MemoryStore;
use super::lease::MemoryLease;

#[async_trait]
impl SyncControl for MemoryStore {
    async fn claim(&self, sync: &SyncId) -> Result<Claimed, Error> {
        let at = self.clock.now();
        let mut memory = self.memory();
        let (token, held) = memory.leases.entry(sync.clone()).or_default();
        if *held {
            return Ok(Claimed::Held(Holder { process: "another store".to_owned(), until: None }));
        }
        (*token, *held) = (*token + 1, true);
        let token = *token;
        memory.end_runs(sync, at);
        let lease = MemoryLease { memory: Arc::clone(&self.memory), sync: sync.clone(), token };
        Ok(Claimed::Taken(Arc::new(lease)))
    }

    async fn sync_states(&self) -> Result<HashMap<SyncId, SyncState>, Error> {
        Ok(self.memory().syncs.iter().map(|(id, state)| (id.clone(), state.clone())).collect())
    }

    async fn set_paused(&self, sync: &SyncId, paused: Option<Pause>) -> Result<(), Error> {
        self.memory().sync(sync).paused = paused;
        Ok(())
    }

    async fn plan_run(&self, sync: &SyncId, next: NextRun) -> Result<(), Error> {
        self.memory().sync(sync).next_run = Some(next);
        Ok(())
    }

    async fn reset(&self, claim: &Claim) -> Result<(), Error> {
        let sync = claim.sync();
        let mut memory = self.memory();
        memory.check(claim)?;
        let state = memory.sync(sync);
        state.checkpoint = None;
        state.systems = None;
        state.complete = false;
        memory.lookback.retain(|(of, _), _| of != sync);
        memory.kept_users.retain(|(of, _), _| of != sync);
        memory.sent_users.retain(|(of, _), _| of != sync);
        memory.forget_intents(sync);
        Ok(())
    }

    async fn fail_run(
        &self,
        claim: &Claim,
        object: ObjectKind,
        cause: Cause,
        end: RunEnd,
    ) -> Result<Run, Error> {
        let mut memory = self.memory();
        memory.check(claim)?;
        let run = Run {
            id: RunId::new(format!("run-{:06}", memory.runs.len() + 1)),
            sync: claim.sync().clone(),
            cause,
            started_at: end.at,
            finished_at: Some(end.at),
            ending: Some(end.ending),
            counts: Counts::default(),
            compared: None,
            error: end.error,
            failure: end.failure.clone(),
        };
        memory.change_pause(&run.sync, end.pause, end.failure, end.at);
        memory.runs.insert(run.id.clone(), (run.clone(), object));
        Ok(run)
    }
}
