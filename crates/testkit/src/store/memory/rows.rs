//! What is remembered of rows, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::held::HeldRows;
use tidegate_model::store::{KeptUser, Known, Lookback, RowMemory, SentUser};
use tidegate_model::{Comparison, Error, ErrorKind, HashMemo, RowHash, RunId, SyncId};

use super::MemoryStore;
use super::held::MemoryHeld;
use super::lookback::MemoryComparison;
use super::memo::MemoryMemo;

#[async_trait]
impl RowMemory for MemoryStore {
    async fn lookback(&self, sync: &SyncId) -> Result<Box<dyn Lookback>, Error> {
        let memory = self.memory();
        Ok(Box::new(memory.lookback(sync)))
    }

    async fn compare(&self, sync: &SyncId) -> Result<Box<dyn Comparison>, Error> {
        let known = self.memory().lookback(sync).known.into_iter();
        let known = known.map(|(key, (_, known))| (key, known)).filter(|(_, known)| *known != Known::Nothing);
        Ok(Box::new(MemoryComparison { known: known.collect(), rows: BTreeMap::new(), removed: Vec::new() }))
    }

    async fn hash_memo(&self, sync: &SyncId, name: RowHash) -> Result<Box<dyn HashMemo>, Error> {
        let known = self.memory().memos.get(&(sync.clone(), name)).cloned();
        let (memory, of) = (Arc::clone(&self.memory), (sync.clone(), name));
        Ok(Box::new(MemoryMemo { memory, of, known, next: BTreeMap::new() }))
    }

    fn held_rows(&self) -> Box<dyn HeldRows> {
        Box::new(MemoryHeld::new(self.memory().held_rows_max))
    }

    async fn kept_users(&self, sync: &SyncId, after: u64) -> Result<Option<(u64, Vec<KeptUser>)>, Error> {
        let memory = self.memory();
        let of_sync = memory.kept_users.iter().filter(|((of, _), _)| of == sync);
        let users = of_sync.map(|((_, key), user)| KeptUser { key: *key, user: user.clone() });
        Ok((after == 0).then(|| (1, users.collect())))
    }

    async fn sent_users(&self, sync: &SyncId, keys: &[RowHash]) -> Result<Vec<SentUser>, Error> {
        let memory = self.memory();
        Ok(keys.iter().filter_map(|key| memory.sent_users.get(&(sync.clone(), *key)).cloned()).collect())
    }

    async fn forget_removed_users(&self, run: &RunId) -> Result<(), Error> {
        let mut memory = self.memory();
        let sync = memory.open_run(run)?.0.sync.clone();
        let known = memory.lookback(&sync).known;
        let live = |key: &RowHash| known.get(key).is_some_and(|(_, known)| *known != Known::Nothing);
        memory.kept_users.retain(|(of, key), _| *of != sync || live(key));
        Ok(())
    }

    async fn clear_lookback(&self, run: &RunId) -> Result<(), Error> {
        let mut memory = self.memory();
        if std::mem::take(&mut memory.away) {
            return Err(Error::new(ErrorKind::Unavailable, "the store cannot be reached"));
        }
        let sync = memory.open_run(run)?.0.sync.clone();
        memory.lookback.retain(|(of, _), _| *of != sync);
        Ok(())
    }
}
