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
mod row_memory;
mod rows;
mod run_history;
mod run_ledger;
mod runs;
mod secrets;
mod sent_users;
mod server;
mod server_url;
mod shared_history;
pub(crate) mod sqlite_copy;
pub(crate) mod statement;
mod sync_control;
mod syncs;
mod term;
mod trim;
mod user_index;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::alert::AlertBook;
use tidegate_model::answers::AnswerBook;
use tidegate_model::people::PeopleBook;
use tidegate_model::store::OlderState;
use tidegate_model::{Clock, Error, SharedLimits, Store, SyncId};

use crate::folder;
use crate::history::History;
use crate::lookback::compaction::Compaction;
use crate::lookback::run_files::RunFiles;
use crate::seal::Seal;
use crate::shared_files::SharedFiles;
use crate::{StateConfig, StoreLocation};
use archive::{Archive, HistoryParts};
use contents::Contents;
use dialect::Database;
use failed_rows::Indexes;
use intents::Intents;
use leases::Leases;
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
    async fn claim_project(&self, folder: &str, syncs: &BTreeMap<SyncId, String>) -> Result<(), Error> {
        projects::claim(&self.database, folder, syncs).await
    }

    async fn older_state(&self) -> Result<Option<OlderState>, Error> {
        self.recency.older().await
    }

    async fn accept_older_state(&self) -> Result<(), Error> {
        self.recency.accept().await
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
