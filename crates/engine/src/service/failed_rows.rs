//! Failed rows of all syncs: pages, groups, one of them.

use tidegate_model::store::{
    DismissedRow, FailedRow, FailedRowGroup, FailedRowGroupQuery, FailedRowQuery, RunQuery,
};
use tidegate_model::{Error, RowHash, Run, RunId, SyncId};

use super::{Engine, visibility};

impl Engine {
    /// Returns a run by its name.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn find_run(&self, id: &RunId) -> Result<Option<Run>, Error> {
        self.config.store.run(id).await
    }

    /// Returns a page of runs, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn find_runs(&self, query: &RunQuery) -> Result<Vec<Run>, Error> {
        self.config.store.find_runs(query).await
    }

    /// Returns a page of open failed rows, the last one that failed first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn find_failed_rows(&self, query: &FailedRowQuery) -> Result<Vec<FailedRow>, Error> {
        self.config.store.find_failed_rows(query).await
    }

    /// Returns rows that were dismissed, the last one first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn dismissed_rows(&self, query: &FailedRowQuery) -> Result<Vec<DismissedRow>, Error> {
        self.config.store.dismissed_rows(query).await
    }

    /// Returns how many open failed rows there are, of all syncs.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn all_open_failed_rows(&self) -> Result<u64, Error> {
        Ok(self.config.store.failed_row_counts().await?.values().sum())
    }

    /// Returns a page of the open failed rows in groups, the group that failed last first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn failed_row_groups(&self, query: &FailedRowGroupQuery) -> Result<Vec<FailedRowGroup>, Error> {
        self.config.store.failed_row_groups(query).await.map(visibility::shown)
    }

    /// Returns an open failed row by the hash of its key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn failed_row(&self, sync: &SyncId, key: RowHash) -> Result<Option<FailedRow>, Error> {
        let query = FailedRowQuery {
            sync: Some(sync.clone()),
            key: Some(key),
            limit: 1,
            ..FailedRowQuery::default()
        };
        Ok(self.config.store.find_failed_rows(&query).await?.pop())
    }
}
