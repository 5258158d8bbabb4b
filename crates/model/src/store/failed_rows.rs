//! Rows that were not delivered.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use crate::store::{FailedRowGroup, FailedRowGroupQuery, FailedRowQuery, RowEntry};
use crate::{Error, RowHash, SyncId};

/// A row that was rejected or is in doubt and has not been delivered since.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedRow {
    /// Hash of the key columns or of the origin, as in [`RowResult::key`](super::RowResult::key).
    pub key: RowHash,
    /// Hash of the version that failed, as in [`RowResult::row`](super::RowResult::row).
    pub row: RowHash,
    /// What the ledger says of it.
    pub entry: RowEntry,
    /// When it failed first.
    pub first_at: Timestamp,
    /// How often it was tried.
    pub attempts: u64,
    /// Its position in the batch in which it came up.
    pub position: u64,
}

/// How many failed rows of a sync there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FailedRowTotals {
    /// Open ones.
    pub rows: u64,
    /// What is kept of their contents, in bytes.
    pub bytes: u64,
    /// Those that a person dismissed so far.
    pub dismissed: u64,
}

/// A failed row that a person closed without a delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct DismissedRow {
    /// What the ledger said of it, at the time when it was dismissed.
    pub entry: RowEntry,
    /// Why it needs no delivery.
    pub note: String,
}

/// Failed rows: they are open until they are delivered or dismissed. Runs add and close them by
/// [`commit_batch`](crate::store::RunLedger::commit_batch).
///
/// # Errors
/// As those of a [`Store`](crate::Store).
#[async_trait]
pub trait FailedRowStore: Send + Sync {
    /// Returns the rows of a sync that were rejected or are in doubt and have not been
    /// delivered since.
    async fn failed_rows(&self, sync: &SyncId) -> Result<Vec<FailedRow>, Error> {
        let query =
            FailedRowQuery { sync: Some(sync.clone()), limit: usize::MAX, ..FailedRowQuery::default() };
        self.failed_rows_in_order(&query, None).await
    }

    /// Returns a page of open failed rows in the order in which they came up: those behind
    /// `after`, which may be closed meanwhile. The `after` of the query does not count.
    async fn failed_rows_in_order(
        &self,
        query: &FailedRowQuery,
        after: Option<&FailedRow>,
    ) -> Result<Vec<FailedRow>, Error>;

    /// Returns a page of the open failed rows of all syncs, the row that failed last first.
    async fn find_failed_rows(&self, query: &FailedRowQuery) -> Result<Vec<FailedRow>, Error>;

    /// Returns a page of the open failed rows in groups, the group that failed last first.
    async fn failed_row_groups(&self, query: &FailedRowGroupQuery) -> Result<Vec<FailedRowGroup>, Error>;

    /// Returns how many open failed rows each sync has, if it has any, in one question.
    async fn failed_row_counts(&self) -> Result<HashMap<SyncId, u64>, Error>;

    /// Closes open failed rows that need no delivery, with a note. Returns how many; `after` and
    /// `limit` of the query do not count.
    async fn dismiss_failed_rows(
        &self,
        query: &FailedRowQuery,
        note: &str,
        at: Timestamp,
    ) -> Result<u64, Error>;

    /// Returns rows that were dismissed, the last one first; `from` and `to` of the query are about
    /// the time when they were, and `after` does not count.
    async fn dismissed_rows(&self, query: &FailedRowQuery) -> Result<Vec<DismissedRow>, Error>;
}
