//! What is remembered of rows.

use async_trait::async_trait;
use tidegate_model::held::HeldRows;
use tidegate_model::store::{KeptUser, Lookback, RowMemory, RunLedger as _, SentUser};
use tidegate_model::{Comparison, Error, HashMemo, RowHash, RunId, SyncId};

use crate::held::SealedRows;
use crate::lookback::compare::ViewComparison;
use crate::lookback::memo::FileMemo;
use crate::store::{SqlStore, kept_users, runs, sent_users, syncs};

#[async_trait]
impl RowMemory for SqlStore {
    async fn lookback(&self, sync: &SyncId) -> Result<Box<dyn Lookback>, Error> {
        Ok(Box::new(self.lookback.view(sync).await?))
    }

    async fn compare(&self, sync: &SyncId) -> Result<Box<dyn Comparison>, Error> {
        let view = self.lookback.view(sync).await?;
        let rejected = self.rejected_versions(sync).await?;
        Ok(Box::new(ViewComparison::open(view, self.lookback.data(), sync, &rejected).await?))
    }

    async fn hash_memo(&self, sync: &SyncId, name: RowHash) -> Result<Box<dyn HashMemo>, Error> {
        Ok(Box::new(FileMemo::open(self.lookback.data(), sync, name).await?))
    }

    fn held_rows(&self) -> Box<dyn HeldRows> {
        Box::new(SealedRows::new(self.lookback.data()))
    }

    async fn kept_users(&self, sync: &SyncId, after: u64) -> Result<Option<(u64, Vec<KeptUser>)>, Error> {
        kept_users::after(&self.database, &self.contents.opening().await?, sync, after).await
    }

    async fn sent_users(&self, sync: &SyncId, keys: &[RowHash]) -> Result<Vec<SentUser>, Error> {
        sent_users::find(&self.database, &self.contents, sync, keys).await
    }

    async fn forget_removed_users(&self, run: &RunId) -> Result<(), Error> {
        let sync = runs::open_sync(&self.database, run).await?;
        let removed = self.lookback.view(&sync).await?.removed().await?;
        kept_users::forget(&self.database, &self.contents, &sync, &removed).await?;
        self.lookback.users_forgotten(&sync);
        Ok(())
    }

    async fn clear_lookback(&self, run: &RunId) -> Result<(), Error> {
        syncs::clear_lookback(&self.database, run).await
    }
}
