//! The parts that a dry run uses instead of the real ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::alert::AlertBook;
use tidegate_model::answers::AnswerBook;
use tidegate_model::held::HeldRows;
use tidegate_model::people::PeopleBook;
use tidegate_model::store::{
    BatchCommit, DismissedRow, FailedRow, FailedRowGroup, FailedRowGroupQuery, FailedRowQuery,
    FailedRowTotals, HourCounts, IntendedRequest, Intent, IntentId, KeptUser, KeyRotation, Lookback, NextRun,
    Pause, RowEntry, RowQuery, RowVersion, RunEnd, RunQuery, SentUser, SyncState, WorkRequest,
};
use tidegate_model::{
    Cause, Claim, Claimed, Compared, Comparison, Counts, Erasure, ErasureCounts, Error, HashMemo, Http,
    HttpFailure, ObjectKind, Outcome, RowHash, Run, RunId, Secret, Store, SyncId, Systems, Unshared, Wait,
};

use super::Engine;
use super::plan_id::Tally;
use crate::pipeline;

/// A request as it would be sent.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PlannedRequest {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The exact body.
    pub body: String,
}

/// The requests of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlannedRequests {
    /// The number of requests.
    pub count: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
}

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

/// Answers every request as the platform does when it takes everything.
pub(crate) struct Recorder {
    answer: fn(&http::Request<Bytes>) -> http::Response<Bytes>,
    keep: usize,
    seen: Mutex<Seen>,
}

type Seen = (BTreeMap<String, PlannedRequests>, Vec<PlannedRequest>);

impl Recorder {
    /// For the platform of a sync, keeping no request.
    pub(crate) async fn for_platform(engine: &Engine, sync: &SyncId) -> Result<Arc<Recorder>, Error> {
        Recorder::keeping(engine, sync, 0).await
    }

    /// For the platform of a sync, keeping the first `keep` requests of each kind.
    pub(crate) async fn keeping(engine: &Engine, sync: &SyncId, keep: usize) -> Result<Arc<Recorder>, Error> {
        let to = &engine.import_spec(sync)?.destination.connection;
        let (connector, _) = engine.connection(to).await?;
        let role = connector
            .platform
            .ok_or_else(|| Error::settings(format!("`{to}` ({}) takes no records", connector.title)))?;
        Ok(Arc::new(Recorder { answer: role.dry_run_response, keep, seen: Mutex::default() }))
    }

    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Http for Recorder {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        let answer = (self.answer)(&request);
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = seen.0.entry(format!("{} {}", request.method(), shape(path))).or_default();
        kind.count += 1;
        kind.bytes += request.body().len() as u64;
        let is_kept = kind.count <= self.keep as u64;
        if is_kept {
            seen.1.push(PlannedRequest {
                method: request.method().to_string(),
                path: path.to_owned(),
                body: String::from_utf8_lossy(request.body()).into_owned(),
            });
        }
        Ok(answer)
    }
}

/// A path whose last segment is dropped where it names one of many things.
fn shape(path: &str) -> String {
    match path.split_once("/by/") {
        Some((before, rest)) => {
            let label = rest.split('/').next().unwrap_or_default();
            format!("{before}/by/{label}/…")
        }
        None => path.to_owned(),
    }
}

/// Reads from a real store and discards writes.
pub struct DryRun {
    real: Arc<dyn Store>,
    run: Mutex<Option<Run>>,
    tally: Mutex<Tally>,
    rejections: Mutex<BTreeMap<String, Rejection>>,
}

impl DryRun {
    /// Creates a dry run that reads from `real`.
    pub fn over(real: Arc<dyn Store>) -> DryRun {
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
impl Store for DryRun {
    async fn claim(&self, sync: &SyncId) -> Result<Claimed, Error> {
        Ok(Claimed::Taken(Unshared::lease(sync)))
    }

    async fn sync_state(&self, sync: &SyncId) -> Result<SyncState, Error> {
        self.real.sync_state(sync).await
    }

    async fn sync_states(&self) -> Result<HashMap<SyncId, SyncState>, Error> {
        self.real.sync_states().await
    }

    async fn set_paused(&self, _: &SyncId, _: Option<Pause>) -> Result<(), Error> {
        Ok(())
    }

    async fn lift_pause(&self, _: &RunId) -> Result<(), Error> {
        Ok(())
    }

    async fn note_wait(&self, _: &RunId, _: Option<Wait>) -> Result<(), Error> {
        Ok(())
    }

    async fn reset(&self, _: &Claim) -> Result<(), Error> {
        Ok(())
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
        };
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(run.clone());
        Ok(run)
    }

    async fn fail_run(&self, _: &Claim, _: ObjectKind, _: Cause, _: RunEnd) -> Result<Run, Error> {
        Err(Error::internal("a dry run records no attempt"))
    }

    async fn request_work(&self, _: &SyncId, _: &str) -> Result<String, Error> {
        Err(Error::internal("a dry run asks for no work"))
    }

    async fn requested_work(&self, _: &SyncId) -> Result<Vec<WorkRequest>, Error> {
        Ok(Vec::new())
    }

    async fn answer_work(&self, _: &Claim, _: &str, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn take_answer(&self, _: &str) -> Result<Option<String>, Error> {
        Ok(None)
    }

    async fn withdraw_work(&self, _: &str) -> Result<bool, Error> {
        Ok(false)
    }

    async fn plan_run(&self, _: &SyncId, _: NextRun) -> Result<(), Error> {
        Ok(())
    }

    async fn intend(&self, _: &RunId, batch: u64, _: IntendedRequest) -> Result<IntentId, Error> {
        Ok(IntentId { number: 0, batch })
    }

    async fn answered(&self, _: &RunId, _: IntentId, _: Vec<Outcome>) -> Result<(), Error> {
        Ok(())
    }

    async fn open_intents(&self, sync: &SyncId) -> Result<Vec<Intent>, Error> {
        self.real.open_intents(sync).await
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

    async fn finish_run(&self, _: &RunId, end: RunEnd) -> Result<Run, Error> {
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let run = run.ok_or_else(|| Error::internal("a dry run ended before it began"))?;
        Ok(Run { finished_at: Some(end.at), ending: Some(end.ending), error: end.error, ..run })
    }

    async fn lookback(&self, sync: &SyncId) -> Result<Box<dyn Lookback>, Error> {
        self.real.lookback(sync).await
    }

    async fn compare(&self, sync: &SyncId) -> Result<Box<dyn Comparison>, Error> {
        self.real.compare(sync).await
    }

    async fn note_compared(&self, _: &RunId, compared: Compared) -> Result<(), Error> {
        if let Some(run) = self.run.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            run.compared = Some(compared);
        }
        Ok(())
    }

    async fn hash_memo(&self, sync: &SyncId, name: RowHash) -> Result<Box<dyn HashMemo>, Error> {
        Ok(Box::new(ReadMemo(self.real.hash_memo(sync, name).await?)))
    }

    fn held_rows(&self) -> Box<dyn HeldRows> {
        self.real.held_rows()
    }

    async fn sent_users(&self, sync: &SyncId, keys: &[RowHash]) -> Result<Vec<SentUser>, Error> {
        self.real.sent_users(sync, keys).await
    }

    async fn kept_users(&self, sync: &SyncId, after: u64) -> Result<Option<(u64, Vec<KeptUser>)>, Error> {
        self.real.kept_users(sync, after).await
    }

    async fn forget_removed_users(&self, _: &RunId) -> Result<(), Error> {
        Ok(())
    }

    async fn clear_lookback(&self, _: &RunId) -> Result<(), Error> {
        Ok(())
    }

    async fn runs(&self, sync: Option<&SyncId>, limit: usize) -> Result<Vec<Run>, Error> {
        self.real.runs(sync, limit).await
    }

    async fn rows(&self, query: &RowQuery) -> Result<Vec<RowEntry>, Error> {
        self.real.rows(query).await
    }

    async fn failed_rows_in_order(
        &self,
        query: &FailedRowQuery,
        after: Option<&FailedRow>,
    ) -> Result<Vec<FailedRow>, Error> {
        self.real.failed_rows_in_order(query, after).await
    }

    async fn rejected_versions(&self, sync: &SyncId) -> Result<Vec<RowVersion>, Error> {
        self.real.rejected_versions(sync).await
    }

    async fn failed_row_counts(&self) -> Result<HashMap<SyncId, u64>, Error> {
        self.real.failed_row_counts().await
    }

    async fn last_runs(&self) -> Result<HashMap<SyncId, Run>, Error> {
        self.real.last_runs().await
    }

    async fn failed_row_totals(&self, sync: &SyncId) -> Result<FailedRowTotals, Error> {
        self.real.failed_row_totals(sync).await
    }

    async fn dismiss_failed_rows(&self, _: &FailedRowQuery, _: &str, _: Timestamp) -> Result<u64, Error> {
        Ok(0)
    }

    async fn dismissed_rows(&self, query: &FailedRowQuery) -> Result<Vec<DismissedRow>, Error> {
        self.real.dismissed_rows(query).await
    }

    async fn run(&self, id: &RunId) -> Result<Option<Run>, Error> {
        self.real.run(id).await
    }

    async fn find_runs(&self, query: &RunQuery) -> Result<Vec<Run>, Error> {
        self.real.find_runs(query).await
    }

    async fn hour_counts(
        &self,
        sync: Option<&SyncId>,
        started: Timestamp,
        ended: Timestamp,
    ) -> Result<Vec<HourCounts>, Error> {
        self.real.hour_counts(sync, started, ended).await
    }

    async fn find_failed_rows(&self, query: &FailedRowQuery) -> Result<Vec<FailedRow>, Error> {
        self.real.find_failed_rows(query).await
    }

    async fn failed_row_groups(&self, query: &FailedRowGroupQuery) -> Result<Vec<FailedRowGroup>, Error> {
        self.real.failed_row_groups(query).await
    }

    async fn trim_history(&self, _: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    async fn put_secret(&self, _: &str, _: &Secret) -> Result<(), Error> {
        Ok(())
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        self.real.secret(name).await
    }

    async fn secrets(&self) -> Result<Vec<String>, Error> {
        self.real.secrets().await
    }

    async fn remove_secret(&self, _: &str) -> Result<bool, Error> {
        Ok(false)
    }

    async fn rotate_master_key(&self, _: bool) -> Result<KeyRotation, Error> {
        Ok(KeyRotation::default())
    }

    async fn erase_user(&self, _: &str) -> Result<ErasureCounts, Error> {
        Ok(ErasureCounts::default())
    }

    async fn note_erasure(&self, _: &str, _: &ErasureCounts, _: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    async fn erasures(&self, user: Option<&str>) -> Result<Vec<Erasure>, Error> {
        self.real.erasures(user).await
    }

    fn alert_book(&self) -> &dyn AlertBook {
        self.real.alert_book()
    }

    fn people_book(&self) -> &dyn PeopleBook {
        self.real.people_book()
    }

    fn answer_book(&self) -> &dyn AnswerBook {
        self.real.answer_book()
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
