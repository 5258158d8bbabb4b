//! What runs write, in memory.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::store::{
    BatchCommit, FailedRow, FailedRowTotals, IntendedRequest, Intent, IntentId, PauseChange, RowVersion,
    RunEnd, RunLedger, StatusKind, SyncState,
};
use tidegate_model::{
    Cause, Claim, Compared, Counts, Error, KeptRow, ObjectKind, Outcome, Run, RunId, SyncId, Systems, Wait,
};

use super::MemoryStore;

#[async_trait]
impl RunLedger for MemoryStore {
    async fn sync_state(&self, sync: &SyncId) -> Result<SyncState, Error> {
        Ok(self.memory().syncs.get(sync).cloned().unwrap_or_default())
    }

    async fn note_systems(&self, claim: &Claim, systems: &Systems) -> Result<(), Error> {
        let mut memory = self.memory();
        memory.check(claim)?;
        memory.sync(claim.sync()).systems = Some(systems.clone());
        Ok(())
    }

    async fn start_run(
        &self,
        claim: &Claim,
        object: ObjectKind,
        cause: Cause,
        at: Timestamp,
    ) -> Result<Run, Error> {
        let sync = claim.sync();
        let mut memory = self.memory();
        memory.check(claim)?;
        memory.sync(sync).object.get_or_insert(object);
        memory.end_runs(sync, at);
        let run = Run {
            id: RunId::new(format!("run-{:06}", memory.runs.len() + 1)),
            sync: sync.clone(),
            cause,
            started_at: at,
            finished_at: None,
            ending: None,
            counts: Counts::default(),
            compared: None,
            error: None,
            failure: None,
        };
        memory.runs.insert(run.id.clone(), (run.clone(), object));
        Ok(run)
    }

    async fn open_intents(&self, sync: &SyncId) -> Result<Vec<Intent>, Error> {
        let memory = self.memory();
        let of_sync = |run: &RunId| memory.runs.get(run).is_some_and(|(run, _)| run.sync == *sync);
        let intents = memory.intents.values().filter(|(run, _, _)| of_sync(run));
        Ok(intents.map(|(_, _, intent)| intent.clone()).collect())
    }

    async fn failed_row_totals(&self, sync: &SyncId) -> Result<FailedRowTotals, Error> {
        let memory = self.memory();
        let of_sync: Vec<&FailedRow> =
            memory.failed_rows.iter().filter(|(of, _)| of == sync).map(|(_, row)| row).collect();
        let rows = of_sync.len() as u64;
        let bytes = of_sync.iter().filter_map(|row| row.entry.payload.as_ref()).map(KeptRow::bytes).sum();
        let dismissed = memory.dismissed.iter().filter(|(row, _)| row.entry.sync == *sync).count() as u64;
        Ok(FailedRowTotals { rows, bytes, dismissed })
    }

    async fn rejected_versions(&self, sync: &SyncId) -> Result<Vec<RowVersion>, Error> {
        let memory = self.memory();
        let rejected = memory
            .failed_rows
            .iter()
            .filter(|(of, row)| of == sync && row.entry.status == StatusKind::Rejected);
        Ok(rejected.map(|(_, row)| RowVersion { key: row.key, row: row.row }).collect())
    }

    async fn intend(&self, run: &RunId, batch: u64, request: IntendedRequest) -> Result<IntentId, Error> {
        let mut memory = self.memory();
        memory.open_run(run)?;
        memory.intended += 1;
        let id = IntentId { number: memory.intended, batch };
        let rows = request.rows().collect();
        memory.intents.insert(id, (run.clone(), batch, Intent { rows, outcomes: None }));
        Ok(id)
    }

    async fn answered(&self, run: &RunId, intent: IntentId, outcomes: Vec<Outcome>) -> Result<(), Error> {
        let mut memory = self.memory();
        memory.open_run(run)?;
        if let Some((_, _, intent)) = memory.intents.get_mut(&intent).filter(|(of, ..)| of == run) {
            intent.outcomes = Some(outcomes);
        }
        Ok(())
    }

    async fn commit_batch(&self, run: &RunId, commit: BatchCommit) -> Result<(), Error> {
        let at = self.clock.now();
        self.memory().commit(run, commit, at)
    }

    async fn note_compared(&self, run: &RunId, compared: Compared) -> Result<(), Error> {
        self.memory().open_run(run)?.0.compared = Some(compared);
        Ok(())
    }

    async fn note_wait(&self, run: &RunId, wait: Option<Wait>) -> Result<(), Error> {
        let mut memory = self.memory();
        let sync = memory.open_run(run)?.0.sync.clone();
        memory.sync(&sync).wait = wait;
        Ok(())
    }

    async fn lift_pause(&self, run: &RunId) -> Result<(), Error> {
        let mut memory = self.memory();
        let sync = memory.open_run(run)?.0.sync.clone();
        memory.change_pause(&sync, PauseChange::Lift, None, Timestamp::UNIX_EPOCH);
        Ok(())
    }

    async fn finish_run(&self, run: &RunId, end: RunEnd) -> Result<Run, Error> {
        let (ended, takes) = self.end_run(run, end)?;
        #[expect(clippy::disallowed_methods, reason = "a store takes its time to say so")]
        let rest = tokio::time::sleep(takes);
        if !takes.is_zero() {
            rest.await;
        }
        Ok(ended)
    }
}

impl MemoryStore {
    /// Ends a run. Returns it, and how long it takes until that is said.
    fn end_run(&self, run: &RunId, end: RunEnd) -> Result<(Run, Duration), Error> {
        let mut memory = self.memory();
        let (run, _) = memory.open_run(run)?;
        run.ending = Some(end.ending);
        run.error = end.error;
        run.failure = end.failure.clone();
        run.finished_at = Some(end.at);
        let run = run.clone();
        memory.change_pause(&run.sync, end.pause, end.failure, end.at);
        memory.sync(&run.sync).wait = None;
        if end.complete {
            memory.sync(&run.sync).complete = true;
            memory.forget_intents(&run.sync);
        }
        if end.next_run.is_some() {
            memory.sync(&run.sync).next_run = end.next_run;
        }
        Ok((run, memory.end_takes))
    }
}
