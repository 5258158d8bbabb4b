//! Questions to the ledger that are answered page by page.

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
