//! What is remembered of rows, so that later runs send only what has changed.

use async_trait::async_trait;

use crate::held::HeldRows;
use crate::store::{KeptUser, Known, RowVersion, SentUser};
use crate::{Comparison, Error, HashMemo, RowHash, RunId, SyncId, Value};

/// The committed rows of a sync that a run may read again, as they were when it was opened.
#[async_trait]
pub trait Lookback: Send + Sync {
    /// Returns the number and the highest cursor value of each chunk, in the order of the numbers.
    fn chunks(&self) -> &[(u64, Option<Value>)];

    /// Returns what was committed last under each of these keys, in their order. Of several runs
    /// that committed rows under a key, the last one counts. Of a row that is gone, nothing is known.
    async fn find(&self, keys: &[RowHash]) -> Result<Vec<Known>, Error>;

    /// Returns all rows. Asked only for what an unfinished batch has left.
    async fn all(&self) -> Result<Vec<RowVersion>, Error>;
}

/// What is remembered of the rows of a sync, so that a later run sends only what has changed, and can delete
/// what is gone. A run reads it here and adds to it by [`commit_batch`](crate::store::RunLedger::commit_batch).
///
/// # Errors
/// As those of a [`Store`](crate::Store).
#[async_trait]
pub trait RowMemory: Send + Sync {
    /// Opens the committed rows that a run may read again.
    async fn lookback(&self, sync: &SyncId) -> Result<Box<dyn Lookback>, Error>;

    /// Begins to compare all rows of a source with those that the sync has committed.
    async fn compare(&self, sync: &SyncId) -> Result<Box<dyn Comparison>, Error>;

    /// Opens the memo of the hashes of a source. Other memos are dropped.
    async fn hash_memo(&self, sync: &SyncId, name: RowHash) -> Result<Box<dyn HashMemo>, Error>;

    /// Returns what holds rows until they are compared. No row is held yet.
    fn held_rows(&self) -> Box<dyn HeldRows>;

    /// Returns the next page of kept users after page `after`, with its page number. If a key has
    /// several users, the last one counts.
    async fn kept_users(&self, sync: &SyncId, after: u64) -> Result<Option<(u64, Vec<KeptUser>)>, Error>;

    /// Returns what was delivered last of the users under these keys, of those that are known, in any order.
    async fn sent_users(&self, sync: &SyncId, keys: &[RowHash]) -> Result<Vec<SentUser>, Error>;

    /// Removes the kept users of rows that are gone ([`RowHash::REMOVED`]).
    async fn forget_removed_users(&self, run: &RunId) -> Result<(), Error>;

    /// Clears all committed rows of the sync of a run, as after a completed full read.
    async fn clear_lookback(&self, run: &RunId) -> Result<(), Error>;
}
