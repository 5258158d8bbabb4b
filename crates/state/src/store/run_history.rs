//! Runs and the statuses of their rows.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::store::{HourCounts, RowEntry, RowQuery, RunHistory, RunQuery};
use tidegate_model::{Error, Run, RunId, SyncId};

use crate::store::{SqlStore, rows, runs};

#[async_trait]
impl RunHistory for SqlStore {
    async fn run(&self, id: &RunId) -> Result<Option<Run>, Error> {
        runs::one(&self.database, id).await
    }

    async fn runs(&self, sync: Option<&SyncId>, limit: usize) -> Result<Vec<Run>, Error> {
        runs::list(&self.database, sync, limit).await
    }

    async fn find_runs(&self, query: &RunQuery) -> Result<Vec<Run>, Error> {
        runs::find(&self.database, query).await
    }

    async fn last_runs(&self) -> Result<HashMap<SyncId, Run>, Error> {
        runs::last_of_each(&self.database).await
    }

    async fn hour_counts(
        &self,
        sync: Option<&SyncId>,
        started: Timestamp,
        ended: Timestamp,
    ) -> Result<Vec<HourCounts>, Error> {
        runs::hour_counts(&self.database, sync, started, ended).await
    }

    async fn rows(&self, query: &RowQuery) -> Result<Vec<RowEntry>, Error> {
        rows::find(&self.database, &self.contents, &self.archive, query).await
    }

    async fn trim_history(&self, before: Timestamp) -> Result<(), Error> {
        self.archive.trim(before).await
    }
}
