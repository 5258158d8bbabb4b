//! What runs write.

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::store::{
    BatchCommit, FailedRowTotals, IntendedRequest, Intent, IntentId, RowVersion, RunEnd, RunLedger, SyncState,
};
use tidegate_model::{Cause, Claim, Compared, Error, ObjectKind, Outcome, Run, RunId, SyncId, Systems, Wait};

use crate::store::{SqlStore, archive, commit, failed_rows, intents, runs, syncs};

#[async_trait]
impl RunLedger for SqlStore {
    async fn sync_state(&self, sync: &SyncId) -> Result<SyncState, Error> {
        syncs::state(&self.database, sync).await
    }

    async fn note_systems(&self, claim: &Claim, systems: &Systems) -> Result<(), Error> {
        syncs::note_systems(&self.database, claim, systems).await
    }

    async fn start_run(
        &self,
        claim: &Claim,
        object: ObjectKind,
        cause: Cause,
        at: Timestamp,
    ) -> Result<Run, Error> {
        let (run, interrupted) = runs::start(&self.database, claim, object, cause, at).await?;
        if !interrupted.is_empty() {
            self.archive.soon(claim.sync());
        }
        Ok(run)
    }

    async fn open_intents(&self, sync: &SyncId) -> Result<Vec<Intent>, Error> {
        self.intents.flush().await?;
        intents::open_of(&self.database, sync).await
    }

    async fn failed_row_totals(&self, sync: &SyncId) -> Result<FailedRowTotals, Error> {
        failed_rows::totals(&self.database, sync).await
    }

    async fn rejected_versions(&self, sync: &SyncId) -> Result<Vec<RowVersion>, Error> {
        failed_rows::rejected_versions(&self.database, sync).await
    }

    async fn intend(&self, run: &RunId, batch: u64, request: IntendedRequest) -> Result<IntentId, Error> {
        self.intents.intend(run, batch, request).await
    }

    async fn answered(&self, run: &RunId, intent: IntentId, outcomes: Vec<Outcome>) -> Result<(), Error> {
        self.intents.answered(run, intent, &outcomes).await
    }

    async fn commit_batch(&self, run: &RunId, commit: BatchCommit) -> Result<(), Error> {
        let now = self.clock.now();
        if commit.partial {
            // What an answer says had no effect leaves its intent.
            self.intents.flush().await?;
        }
        let committed =
            commit::commit(&self.database, &self.contents, &self.failed, &self.intents, now, run, commit)
                .await?;
        if let Some((sync, rows)) = &committed.remembered {
            self.lookback.committed(sync, *rows);
        }
        if committed.pending_rows > archive::PENDING_ROWS_MAX {
            self.archive.soon(&committed.sync);
        }
        Ok(())
    }

    async fn note_compared(&self, run: &RunId, compared: Compared) -> Result<(), Error> {
        runs::note_compared(&self.database, run, compared).await
    }

    async fn note_wait(&self, run: &RunId, wait: Option<Wait>) -> Result<(), Error> {
        syncs::note_wait(&self.database, run, wait.as_ref()).await
    }

    async fn lift_pause(&self, run: &RunId) -> Result<(), Error> {
        syncs::lift_pause(&self.database, run).await
    }

    async fn finish_run(&self, run: &RunId, end: RunEnd) -> Result<Run, Error> {
        let finished = runs::finish(&self.database, run, end).await?;
        self.failed.end(&finished.sync);
        self.archive.now(&finished.sync).await;
        self.lookback.run_ended(&finished.sync).await;
        Ok(finished)
    }
}
