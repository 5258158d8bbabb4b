//! What happened: runs, and the status of each row.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::{HourCounts, RunQuery, StatusKind};
use crate::{Error, KeptRow, ObjectKind, Reason, Run, RunId, SyncId};

/// Which rows to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowQuery {
    /// Of one sync.
    pub sync: Option<SyncId>,
    /// Of one run.
    pub run: Option<RunId>,
    /// Of one user, or one catalog item.
    pub user: Option<String>,
    /// With one status: `delivered`, `rejected`, `in_doubt`.
    pub status: Option<StatusKind>,
    /// Committed at this time or later.
    pub from: Option<Timestamp>,
    /// Committed before this time.
    pub to: Option<Timestamp>,
    /// At most this many, newest first.
    pub limit: usize,
    /// Leaves [`RowEntry::payload`] empty, for queries that only count.
    pub without_payload: bool,
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct RowEntry {
    /// When its status was committed.
    pub at: Timestamp,
    /// The sync.
    pub sync: SyncId,
    /// The run.
    pub run: RunId,
    /// The kind of object.
    pub object: ObjectKind,
    /// The user's identifier, or the catalog item's id.
    pub user: String,
    /// The key columns as text.
    pub key: String,
    /// Its status.
    pub status: StatusKind,
    /// Why it was not delivered; `None` for a delivered row.
    pub reason: Option<Reason>,
    /// The row itself, as long as it counts as failed.
    pub payload: Option<KeptRow>,
}

/// The runs of all syncs and the statuses of their rows, for pages, commands and alerts.
///
/// # Errors
/// As those of a [`Store`](crate::Store).
#[async_trait]
pub trait RunHistory: Send + Sync {
    /// Returns a run by its name.
    async fn run(&self, id: &RunId) -> Result<Option<Run>, Error>;

    /// Returns runs, newest first, of one sync if one is given.
    async fn runs(&self, sync: Option<&SyncId>, limit: usize) -> Result<Vec<Run>, Error>;

    /// Returns a page of runs, newest first.
    async fn find_runs(&self, query: &RunQuery) -> Result<Vec<Run>, Error>;

    /// Returns the last run of every sync that has run, in one question, however many there are.
    async fn last_runs(&self) -> Result<HashMap<SyncId, Run>, Error>;

    /// Returns what happened to rows, of one sync if one is given, by runs that started at `started` or later,
    /// and ended after `ended` or are in progress; in any order.
    async fn hour_counts(
        &self,
        sync: Option<&SyncId>,
        started: Timestamp,
        ended: Timestamp,
    ) -> Result<Vec<HourCounts>, Error>;

    /// Returns row statuses, newest first.
    async fn rows(&self, query: &RowQuery) -> Result<Vec<RowEntry>, Error>;

    /// Removes history older than `before`.
    async fn trim_history(&self, before: Timestamp) -> Result<(), Error>;
}
