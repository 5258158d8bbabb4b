//! Rows that are again as they were delivered, after a change of them was rejected.
//!
//! The platform has what the source has then: the failed row is closed and nothing is sent.

use std::collections::HashSet;

use tidegate_model::store::{Known, RowVersion, RunLedger};
use tidegate_model::{Error, RowHash, SyncId};

/// The open failed rows of a sync that were rejected.
#[derive(Default)]
pub(crate) struct RejectedRows(Vec<RowVersion>);

impl RejectedRows {
    pub(crate) async fn load(store: &dyn RunLedger, sync: &SyncId) -> Result<RejectedRows, Error> {
        let mut rows = store.rejected_versions(sync).await?;
        rows.sort_unstable();
        Ok(RejectedRows(rows))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether another version of a row is rejected.
    pub(crate) fn has_other(&self, key: RowHash, version: RowHash) -> bool {
        let at = self.0.binary_search_by_key(&key, |row| row.key);
        at.is_ok_and(|at| !self.0[at].row.is_row(version))
    }

    /// Returns whether a row is as it was delivered, and another version of it is rejected.
    pub(crate) fn is_restored(&self, row: &RowVersion, known: &Known) -> bool {
        let same = known.rows().iter().find(|known| known.is_row(row.row));
        same.is_some_and(|same| same.is_delivered()) && self.has_other(row.key, row.row)
    }
}

/// The keys of a run whose failed rows are closed, and of rejected rows that are still at the source: several
/// rows may have one key.
#[derive(Default)]
pub(crate) struct Restored {
    closed: HashSet<RowHash>,
    rejected: HashSet<RowHash>,
}

impl Restored {
    /// The most keys that are remembered: beyond, failed rows stay open.
    const KEYS_MAX: usize = 1 << 16;

    /// Returns whether a row that is as before a rejected change closes the failed row of its key: unless the
    /// rejected row was read as well.
    pub(crate) fn closes(&mut self, key: RowHash) -> bool {
        let has_room = self.closed.len() + self.rejected.len() < Self::KEYS_MAX;
        let closes = has_room && !self.rejected.contains(&key);
        if closes {
            self.closed.insert(key);
        }
        closes
    }

    /// Notes that a rejected row is at the source still. Returns whether the failed row of its key was
    /// closed by this run, so that it has to be tried again.
    pub(crate) fn was_closed(&mut self, key: RowHash) -> bool {
        if self.closed.contains(&key) {
            return true;
        }
        if self.rejected.len() < Self::KEYS_MAX {
            self.rejected.insert(key);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_row_whose_key_two_rows_have_is_not_closed_for_good() {
        let mut restored = Restored::default();
        assert!(restored.closes(RowHash(1)));
        assert!(restored.was_closed(RowHash(1)), "it is tried again");
        assert!(!restored.was_closed(RowHash(2)));
        assert!(!restored.closes(RowHash(2)), "its rejected row was read before");
    }
}
