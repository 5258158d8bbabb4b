//! Questions to the ledger that are answered page by page.

use std::cmp::{Ordering, Reverse};

use jiff::Timestamp;
use serde::Serialize;

use crate::row_status::StatusKind;
use crate::{Ending, ObjectKind, Reason, RowHash, RunId, SyncId};

/// Which runs to list, newest first. A field that is `None` leaves the list as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Of one sync.
    pub sync: Option<SyncId>,
    /// With one ending.
    pub ending: Option<Ending>,
    /// Started at this time or later.
    pub from: Option<Timestamp>,
    /// Older than this run: the last one of the page before.
    pub before: Option<RunId>,
    /// At most this many.
    pub limit: usize,
}

/// What happened to the rows of a sync, by runs that ended in the same hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourCounts {
    /// The sync.
    pub sync: SyncId,
    /// The number of the hour since the beginning of 1970; `None` for runs in progress.
    pub hour: Option<i64>,
    /// Rows and events that were delivered.
    pub delivered: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// Rows in doubt.
    pub in_doubt: u64,
}

/// Which failed rows to list, the last one that failed first. A field that is `None`
/// leaves the list as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedRowQuery {
    /// Of one sync.
    pub sync: Option<SyncId>,
    /// That failed in this run last.
    pub run: Option<RunId>,
    /// Of one user, or one catalog item.
    pub user: Option<String>,
    /// The row with this key.
    pub key: Option<RowHash>,
    /// Rejected, or in doubt.
    pub status: Option<StatusKind>,
    /// With this reason code.
    pub reason: Option<String>,
    /// That failed at this time or later.
    pub from: Option<Timestamp>,
    /// That failed before this time.
    pub to: Option<Timestamp>,
    /// After this row: the last one of the page before.
    pub after: Option<FailedRowCursor>,
    /// Leaves [`RowEntry::payload`](crate::store::RowEntry::payload) empty, for queries that only count.
    pub without_payload: bool,
    /// At most this many.
    pub limit: usize,
}

/// The position of a failed row in the order of [`FailedRowQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRowCursor {
    /// When it failed last.
    pub at: Timestamp,
    /// Its sync.
    pub sync: SyncId,
    /// The hash of its key.
    pub key: RowHash,
}

/// Which groups of failed rows to list, the group that failed last first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedRowGroupQuery {
    /// Of these syncs; `None` for all.
    pub syncs: Option<Vec<SyncId>>,
    /// After this group: the last one of the page before.
    pub after: Option<FailedRowGroupCursor>,
    /// Leaves [`FailedRowGroup::users`] at 0: counting them takes most of the time.
    pub without_users: bool,
    /// At most this many.
    pub limit: usize,
}

impl FailedRowGroupQuery {
    /// Returns the query for all groups, of one sync or of all.
    pub fn all_of(sync: Option<&SyncId>) -> FailedRowGroupQuery {
        let syncs = sync.map(|sync| vec![sync.clone()]);
        FailedRowGroupQuery { syncs, after: None, without_users: false, limit: usize::MAX }
    }
}

/// The position of a group in the order of [`FailedRowGroupQuery`]: what makes it this group, and when it
/// failed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRowGroupCursor {
    /// When the last of its rows failed last.
    pub at: Timestamp,
    /// Its sync.
    pub sync: SyncId,
    /// The code of its reason.
    pub code: String,
    /// Rejected, or in doubt.
    pub status: StatusKind,
    /// What its rows become.
    pub object: ObjectKind,
}

impl FailedRowGroupCursor {
    fn order(&self) -> (Reverse<Timestamp>, &SyncId, &str, &str, &str) {
        (Reverse(self.at), &self.sync, &self.code, self.status.as_str(), self.object.as_str())
    }
}

impl PartialOrd for FailedRowGroupCursor {
    fn partial_cmp(&self, other: &FailedRowGroupCursor) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FailedRowGroupCursor {
    fn cmp(&self, other: &FailedRowGroupCursor) -> Ordering {
        self.order().cmp(&other.order())
    }
}

/// Open failed rows of a sync that failed for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedRowGroup {
    /// The sync.
    pub sync: SyncId,
    /// What the rows become.
    pub object: ObjectKind,
    /// Rejected, or in doubt.
    pub status: StatusKind,
    /// The reason code, and the sentence of one of the rows.
    pub reason: Reason,
    /// How many rows.
    pub rows: u64,
    /// How many different users; rows without one do not count.
    pub users: u64,
    /// When the first of the rows failed first.
    pub first_at: Timestamp,
    /// When the last of the rows failed last.
    pub last_at: Timestamp,
}

impl FailedRowGroup {
    /// Returns its position in the order of [`FailedRowGroupQuery`].
    pub fn cursor(&self) -> FailedRowGroupCursor {
        FailedRowGroupCursor {
            at: self.last_at,
            sync: self.sync.clone(),
            code: self.reason.code.to_string(),
            status: self.status,
            object: self.object,
        }
    }
}
