//! The [`Store`] on two databases: one SQL text, one list of migrations.
//!
//! [`dialect`] holds everything in which SQLite and PostgreSQL differ; the other
//! files have one subject each and do not know which of the two they talk to.

mod alerts;
mod answers;
mod archive;
pub(crate) mod bucket;
mod commit;
pub(crate) mod contents;
pub(crate) mod dialect;
mod erase;
mod failed_rows;
pub(crate) mod failure;
mod history_files;
mod intents;
mod kept_users;
mod leases;
mod limits;
pub(crate) mod migrations;
pub(crate) mod payload;
mod people;
mod process;
mod projects;
pub(crate) mod recency;
mod requests;
mod rows;
mod runs;
mod secrets;
mod sent_users;
mod server;
mod server_url;
mod shared_history;
pub(crate) mod sqlite_copy;
pub(crate) mod statement;
mod syncs;
mod term;
mod trim;
mod user_index;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::alert::AlertBook;
use tidegate_model::answers::AnswerBook;
use tidegate_model::held::HeldRows;
use tidegate_model::people::PeopleBook;
use tidegate_model::store::{
    BatchCommit, DismissedRow, FailedRow, FailedRowGroup, FailedRowGroupQuery, FailedRowQuery,
    FailedRowTotals, HourCounts, IntendedRequest, Intent, IntentId, KeptUser, KeyRotation, Lookback, NextRun,
    OlderState, Pause, RowEntry, RowQuery, RowVersion, RunEnd, RunQuery, SentUser, SyncState, WorkRequest,
};
use tidegate_model::{
    Cause, Claim, Claimed, Clock, Compared, Comparison, Erasure, ErasureCounts, Error, HashMemo, ObjectKind,
    Outcome, RowHash, Run, RunId, Secret, SharedLimits, Store, SyncId, Systems, Wait,
};

use crate::folder;
use crate::held::SealedRows;
use crate::history::History;
use crate::lookback::compaction::Compaction;
use crate::lookback::compare::ViewComparison;
use crate::lookback::memo::FileMemo;
use crate::lookback::run_files::RunFiles;
use crate::seal::Seal;
use crate::shared_files::SharedFiles;
use crate::{StateConfig, StoreLocation};
use archive::{Archive, HistoryParts};
use contents::Contents;
use dialect::Database;
use failed_rows::Indexes;
use intents::Intents;
use leases::{Leases, Taken};
use recency::Recency;
use shared_history::SharedHistory;

/// What is remembered, in tables and history files.
pub(crate) struct SqlStore {
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
    seal: Arc<Seal>,
    contents: Arc<Contents>,
    /// Where the failed rows of runs under way are.
    failed: Indexes,
    intents: Intents,
    leases: Leases,
    recency: Arc<Recency>,
    archive: Archive,
    lookback: Compaction,
}

impl SqlStore {
    /// Opens the tables, brings them up to date and tidies up after dead runs.
    pub(crate) async fn open(config: StateConfig) -> Result<SqlStore, Error> {
        let database = match &config.store {
            StoreLocation::Embedded => Database::embedded(&config.data).await?,
            StoreLocation::Postgres { url } => Database::server(&config.data, url, config.lease).await?,
        };
        migrations::migrate(&database, &*config.clock).await?;
        let cache_bytes = config.bucket.as_ref().map_or(0, |bucket| bucket.cache_bytes);
        let shared = config.bucket.map(|bucket| SharedFiles::new(bucket.bucket, Arc::clone(&config.clock)));
        bucket::claim(&database, shared.as_ref()).await?;
        let database = Arc::new(database);
        let intents = Intents::new(Arc::clone(&database));
        let history = History::new(&config.data);
        let folder = match database.is_server() {
            true => folder::identity(history.root())
                .map_err(|cause| failure::of_io(cause, "writing", history.root()))?,
            false => String::new(),
        };
        let marks = shared.clone().map(|files| (files, folder.as_str()));
        let recency = Recency::open(Arc::clone(&database), &config.data, marks).await?;
        let leases = Leases::new(Arc::clone(&database), config.lease, Arc::clone(&recency));
        let seal = Arc::new(Seal::new(config.master_keys, &config.data));
        let contents = Arc::new(Contents::new(Arc::clone(&database), Arc::clone(&seal)));
        let shared_history = shared.clone().map(|files| {
            Arc::new(SharedHistory::new(Arc::clone(&database), files, history.clone(), cache_bytes))
        });
        let run_files = RunFiles::new(Arc::clone(&database), &config.data, shared);
        let archive = Archive::open(
            Arc::clone(&database),
            history,
            HistoryParts { folder, shared: shared_history, run_files: run_files.clone() },
            Arc::clone(&config.clock),
            config.history_days,
            (config.failed_row_days, Arc::clone(&contents)),
        );
        let lookback = Compaction::new(run_files);
        if let StoreLocation::Postgres { .. } = config.store {
            // Another machine may have made the key: said now and not with the first failed row.
            contents.opening().await?;
        }
        Ok(SqlStore {
            database,
            clock: config.clock,
            seal,
            contents,
            failed: Indexes::default(),
            intents,
            leases,
            recency,
            archive,
            lookback,
        })
    }
}

#[async_trait]
impl Store for SqlStore {
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

    async fn claim_project(&self, folder: &str, syncs: &BTreeMap<SyncId, String>) -> Result<(), Error> {
        projects::claim(&self.database, folder, syncs).await
    }

    async fn older_state(&self) -> Result<Option<OlderState>, Error> {
        self.recency.older().await
    }

    async fn accept_older_state(&self) -> Result<(), Error> {
        self.recency.accept().await
    }

    async fn sync_state(&self, sync: &SyncId) -> Result<SyncState, Error> {
        syncs::state(&self.database, sync).await
    }

    async fn sync_states(&self) -> Result<HashMap<SyncId, SyncState>, Error> {
        syncs::states(&self.database).await
    }

    async fn set_paused(&self, sync: &SyncId, paused: Option<Pause>) -> Result<(), Error> {
        syncs::set_paused(&self.database, sync, paused).await
    }

    async fn lift_pause(&self, run: &RunId) -> Result<(), Error> {
        syncs::lift_pause(&self.database, run).await
    }

    async fn note_wait(&self, run: &RunId, wait: Option<Wait>) -> Result<(), Error> {
        syncs::note_wait(&self.database, run, wait.as_ref()).await
    }

    async fn reset(&self, claim: &Claim) -> Result<(), Error> {
        syncs::reset(&self.database, claim).await
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

    async fn fail_run(
        &self,
        claim: &Claim,
        object: ObjectKind,
        cause: Cause,
        end: RunEnd,
    ) -> Result<Run, Error> {
        runs::fail(&self.database, claim, object, cause, end).await
    }

    async fn plan_run(&self, sync: &SyncId, next: NextRun) -> Result<(), Error> {
        syncs::plan_run(&self.database, sync, &next).await
    }

    async fn request_work(&self, sync: &SyncId, work: &str) -> Result<String, Error> {
        requests::ask(&self.database, sync, work).await
    }

    async fn requested_work(&self, sync: &SyncId) -> Result<Vec<WorkRequest>, Error> {
        requests::open_of(&self.database, sync).await
    }

    async fn answer_work(&self, claim: &Claim, id: &str, answer: &str) -> Result<(), Error> {
        requests::answer(&self.database, claim, id, answer).await
    }

    async fn take_answer(&self, id: &str) -> Result<Option<String>, Error> {
        requests::take_answer(&self.database, id).await
    }

    async fn withdraw_work(&self, id: &str) -> Result<bool, Error> {
        requests::withdraw(&self.database, id).await
    }

    async fn intend(&self, run: &RunId, batch: u64, request: IntendedRequest) -> Result<IntentId, Error> {
        self.intents.intend(run, batch, request).await
    }

    async fn answered(&self, run: &RunId, intent: IntentId, outcomes: Vec<Outcome>) -> Result<(), Error> {
        self.intents.answered(run, intent, &outcomes).await
    }

    async fn open_intents(&self, sync: &SyncId) -> Result<Vec<Intent>, Error> {
        self.intents.flush().await?;
        intents::open_of(&self.database, sync).await
    }

    async fn commit_batch(&self, run: &RunId, commit: BatchCommit) -> Result<(), Error> {
        let now = self.clock.now();
        if commit.partial {
            // What an answer says had no effect leaves its intent.
            self.intents.flush().await?;
        }
        let committed =
            commit::commit(&self.database, &self.contents, &self.failed, now, run, commit).await?;
        if let Some((sync, rows)) = &committed.remembered {
            self.lookback.committed(sync, *rows);
        }
        if committed.pending_rows > archive::PENDING_ROWS_MAX {
            self.archive.soon(&committed.sync);
        }
        Ok(())
    }

    async fn finish_run(&self, run: &RunId, end: RunEnd) -> Result<Run, Error> {
        let finished = runs::finish(&self.database, run, end).await?;
        self.failed.end(&finished.sync);
        self.archive.now(&finished.sync).await;
        self.lookback.run_ended(&finished.sync).await;
        Ok(finished)
    }

    async fn lookback(&self, sync: &SyncId) -> Result<Box<dyn Lookback>, Error> {
        Ok(Box::new(self.lookback.view(sync).await?))
    }

    async fn compare(&self, sync: &SyncId) -> Result<Box<dyn Comparison>, Error> {
        let view = self.lookback.view(sync).await?;
        Ok(Box::new(ViewComparison::open(view, self.lookback.data(), sync).await?))
    }

    async fn note_compared(&self, run: &RunId, compared: Compared) -> Result<(), Error> {
        runs::note_compared(&self.database, run, compared).await
    }

    async fn kept_users(&self, sync: &SyncId, after: u64) -> Result<Option<(u64, Vec<KeptUser>)>, Error> {
        kept_users::after(&self.database, &self.contents.opening().await?, sync, after).await
    }

    async fn hash_memo(&self, sync: &SyncId, name: RowHash) -> Result<Box<dyn HashMemo>, Error> {
        Ok(Box::new(FileMemo::open(self.lookback.data(), sync, name).await?))
    }

    fn held_rows(&self) -> Box<dyn HeldRows> {
        Box::new(SealedRows::new(self.lookback.data()))
    }

    async fn sent_users(&self, sync: &SyncId, keys: &[RowHash]) -> Result<Vec<SentUser>, Error> {
        sent_users::find(&self.database, &self.contents, sync, keys).await
    }

    async fn forget_removed_users(&self, run: &RunId) -> Result<(), Error> {
        let sync = runs::open_sync(&self.database, run).await?;
        let removed = self.lookback.view(&sync).await?.removed().await?;
        kept_users::forget(&self.database, &self.contents, &sync, &removed).await
    }

    async fn clear_lookback(&self, run: &RunId) -> Result<(), Error> {
        syncs::clear_lookback(&self.database, run).await
    }

    async fn runs(&self, sync: Option<&SyncId>, limit: usize) -> Result<Vec<Run>, Error> {
        runs::list(&self.database, sync, limit).await
    }

    async fn rows(&self, query: &RowQuery) -> Result<Vec<RowEntry>, Error> {
        rows::find(&self.database, &self.contents, &self.archive, query).await
    }

    async fn failed_rows_in_order(
        &self,
        query: &FailedRowQuery,
        after: Option<&FailedRow>,
    ) -> Result<Vec<FailedRow>, Error> {
        failed_rows::in_order(&self.database, &self.contents, query, after).await
    }

    async fn rejected_versions(&self, sync: &SyncId) -> Result<Vec<RowVersion>, Error> {
        failed_rows::rejected_versions(&self.database, sync).await
    }

    async fn failed_row_counts(&self) -> Result<HashMap<SyncId, u64>, Error> {
        failed_rows::counts(&self.database).await
    }

    async fn last_runs(&self) -> Result<HashMap<SyncId, Run>, Error> {
        runs::last_of_each(&self.database).await
    }

    async fn failed_row_totals(&self, sync: &SyncId) -> Result<FailedRowTotals, Error> {
        failed_rows::totals(&self.database, sync).await
    }

    async fn dismiss_failed_rows(
        &self,
        query: &FailedRowQuery,
        note: &str,
        at: Timestamp,
    ) -> Result<u64, Error> {
        failed_rows::dismiss(&self.database, &self.contents, query, note, at).await
    }

    async fn dismissed_rows(&self, query: &FailedRowQuery) -> Result<Vec<DismissedRow>, Error> {
        failed_rows::dismissed(&self.database, query).await
    }

    async fn run(&self, id: &RunId) -> Result<Option<Run>, Error> {
        runs::one(&self.database, id).await
    }

    async fn find_runs(&self, query: &RunQuery) -> Result<Vec<Run>, Error> {
        runs::find(&self.database, query).await
    }

    async fn hour_counts(
        &self,
        sync: Option<&SyncId>,
        started: Timestamp,
        ended: Timestamp,
    ) -> Result<Vec<HourCounts>, Error> {
        runs::hour_counts(&self.database, sync, started, ended).await
    }

    async fn find_failed_rows(&self, query: &FailedRowQuery) -> Result<Vec<FailedRow>, Error> {
        failed_rows::find(&self.database, &self.contents, query).await
    }

    async fn failed_row_groups(&self, query: &FailedRowGroupQuery) -> Result<Vec<FailedRowGroup>, Error> {
        failed_rows::groups(&self.database, query).await
    }

    async fn trim_history(&self, before: Timestamp) -> Result<(), Error> {
        self.archive.trim(before).await
    }

    async fn put_secret(&self, name: &str, secret: &Secret) -> Result<(), Error> {
        secrets::put(&self.database, &self.seal, name, secret).await
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        secrets::get(&self.database, &self.seal, name).await
    }

    async fn secrets(&self) -> Result<Vec<String>, Error> {
        secrets::names(&self.database).await
    }

    async fn remove_secret(&self, name: &str) -> Result<bool, Error> {
        secrets::remove(&self.database, name).await
    }

    async fn rotate_master_key(&self, discard_unreadable: bool) -> Result<KeyRotation, Error> {
        secrets::rotate(&self.database, &self.seal, discard_unreadable).await
    }

    async fn erase_user(&self, user: &str) -> Result<ErasureCounts, Error> {
        erase::erase(&self.database, &self.archive, &self.contents, user).await
    }

    async fn note_erasure(&self, user: &str, removed: &ErasureCounts, at: Timestamp) -> Result<(), Error> {
        erase::note(&self.database, &self.contents, user, removed, at).await
    }

    async fn erasures(&self, user: Option<&str>) -> Result<Vec<Erasure>, Error> {
        erase::list(&self.database, &self.contents, user).await
    }

    fn alert_book(&self) -> &dyn AlertBook {
        self
    }

    fn people_book(&self) -> &dyn PeopleBook {
        self
    }

    fn answer_book(&self) -> &dyn AnswerBook {
        self
    }

    fn shared_limits(&self) -> &dyn SharedLimits {
        self
    }
}
