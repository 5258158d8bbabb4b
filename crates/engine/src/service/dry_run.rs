//! The store of a dry run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::held::HeldRows;
use tidegate_model::store::{
    BatchCommit, FailedRowTotals, IntendedRequest, Intent, IntentId, KeptUser, Lookback, RowMemory,
    RowVersion, RunEnd, RunLedger, RunStore, SentUser, SyncState,
};
use tidegate_model::{
    Cause, Claim, Compared, Comparison, Counts, Error, HashMemo, ObjectKind, Outcome, RowHash, Run, RunId,
    SyncId, Systems, Wait,
};

use super::plan_id::Tally;
use crate::pipeline;

/// A reason and the rows it concerns.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Rejection {
    /// Its stable name.
    pub code: String,
    /// The sentence of the first such row.
    pub message: String,
    /// How many rows.
    pub rows: u64,
    /// The first such rows' keys or users.
    pub examples: Vec<String>,
}

/// Reads from a real store and discards writes.
pub struct DryRun {
    real: Arc<dyn RunStore>,
    run: Mutex<Option<Run>>,
    tally: Mutex<Tally>,
    rejections: Mutex<BTreeMap<String, Rejection>>,
}

impl DryRun {
    /// Creates a dry run that reads from `real`.
    pub fn over(real: Arc<dyn RunStore>) -> DryRun {
        DryRun { real, run: Mutex::default(), tally: Mutex::default(), rejections: Mutex::default() }
    }

    /// What would be sent.
    pub(super) fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why rows were not acceptable, most frequent first.
    pub(crate) fn rejections(&self) -> Vec<Rejection> {
        let rejections = self.rejections.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<Rejection> = rejections.values().cloned().collect();
        list.sort_by_key(|rejection| std::cmp::Reverse(rejection.rows));
        list
    }
}

#[async_trait]
impl RunLedger for DryRun {
    async fn sync_state(&self, sync: &SyncId) -> Result<SyncState, Error> {
        self.real.sync_state(sync).await
    }

    async fn note_systems(&self, _: &Claim, _: &Systems) -> Result<(), Error> {
        Ok(())
    }

    async fn start_run(
        &self,
        claim: &Claim,
        _: ObjectKind,
        cause: Cause,
        at: Timestamp,
    ) -> Result<Run, Error> {
        let run = Run {
            id: RunId::new("plan"),
            sync: claim.sync().clone(),
            cause,
            started_at: at,
            finished_at: None,
            ending: None,
            counts: Counts::default(),
            compared: None,
            error: None,
            failure: None,
        };
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(run.clone());
        Ok(run)
    }

    async fn open_intents(&self, sync: &SyncId) -> Result<Vec<Intent>, Error> {
        self.real.open_intents(sync).await
    }

    async fn failed_row_totals(&self, sync: &SyncId) -> Result<FailedRowTotals, Error> {
        self.real.failed_row_totals(sync).await
    }

    async fn rejected_versions(&self, sync: &SyncId) -> Result<Vec<RowVersion>, Error> {
        self.real.rejected_versions(sync).await
    }

    async fn intend(&self, _: &RunId, batch: u64, _: IntendedRequest) -> Result<IntentId, Error> {
        Ok(IntentId { number: 0, batch })
    }

    async fn answered(&self, _: &RunId, _: IntentId, _: Vec<Outcome>) -> Result<(), Error> {
        Ok(())
    }

    async fn commit_batch(&self, _: &RunId, commit: BatchCommit) -> Result<(), Error> {
        /// Examples kept of each reason.
        const EXAMPLES: usize = 5;
        if commit.batch == pipeline::INTERRUPTED_BATCH {
            // Nothing of this run.
            return Ok(());
        }
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = run.as_mut() {
            run.counts += commit.counts;
        }
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).add(&commit);
        let mut rejections = self.rejections.lock().unwrap_or_else(PoisonError::into_inner);
        for row in commit.results {
            let Some(reason) = row.status.reason() else { continue };
            let rejection = rejections.entry(reason.code.to_string()).or_insert_with(|| Rejection {
                code: reason.code.to_string(),
                message: reason.message.clone(),
                rows: 0,
                examples: Vec::new(),
            });
            rejection.rows += 1;
            if rejection.examples.len() < EXAMPLES {
                let name = if row.key_text.is_empty() { &row.user } else { &row.key_text };
                rejection.examples.push(name.to_string());
            }
        }
        Ok(())
    }

    async fn note_compared(&self, _: &RunId, compared: Compared) -> Result<(), Error> {
        if let Some(run) = self.run.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            run.compared = Some(compared);
        }
        Ok(())
    }

    async fn note_wait(&self, _: &RunId, _: Option<Wait>) -> Result<(), Error> {
        Ok(())
    }

    async fn lift_pause(&self, _: &RunId) -> Result<(), Error> {
        Ok(())
    }

    async fn finish_run(&self, _: &RunId, end: RunEnd) -> Result<Run, Error> {
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let run = run.ok_or_else(|| Error::internal("a dry run ended before it began"))?;
        Ok(Run { finished_at: Some(end.at), ending: Some(end.ending), error: end.error, ..run })
    }
}

#[async_trait]
impl RowMemory for DryRun {
    async fn lookback(&self, sync: &SyncId) -> Result<Box<dyn Lookback>, Error> {
        self.real.lookback(sync).await
    }

    async fn compare(&self, sync: &SyncId) -> Result<Box<dyn Comparison>, Error> {
        self.real.compare(sync).await
    }

    async fn hash_memo(&self, sync: &SyncId, name: RowHash) -> Result<Box<dyn HashMemo>, Error> {
        Ok(Box::new(ReadMemo(self.real.hash_memo(sync, name).await?)))
    }

    fn held_rows(&self) -> Box<dyn HeldRows> {
        self.real.held_rows()
    }

    async fn kept_users(&self, sync: &SyncId, after: u64) -> Result<Option<(u64, Vec<KeptUser>)>, Error> {
        self.real.kept_users(sync, after).await
    }

    async fn sent_users(&self, sync: &SyncId, keys: &[RowHash]) -> Result<Vec<SentUser>, Error> {
        self.real.sent_users(sync, keys).await
    }

    async fn forget_removed_users(&self, _: &RunId) -> Result<(), Error> {
        Ok(())
    }

    async fn clear_lookback(&self, _: &RunId) -> Result<(), Error> {
        Ok(())
    }
}

/// A memo that nothing is added to.
struct ReadMemo(Box<dyn HashMemo>);

#[async_trait]
impl HashMemo for ReadMemo {
    fn is_there(&self) -> bool {
        self.0.is_there()
    }

    async fn find(&self, hashes: &[RowHash]) -> Result<Vec<Option<RowHash>>, Error> {
        self.0.find(hashes).await
    }

    async fn add(&mut self, _: &[RowVersion]) -> Result<(), Error> {
        Ok(())
    }

    async fn keep(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
