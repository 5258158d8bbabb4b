//! What hashes of a source stood for, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tidegate_model::store::RowVersion;
use tidegate_model::{Error, HashMemo, RowHash, SyncId};

use super::contents::Memory;

/// A memo of the hashes of a source.
pub(super) struct MemoryMemo {
    pub(super) memory: Arc<Mutex<Memory>>,
    pub(super) of: (SyncId, RowHash),
    pub(super) known: Option<BTreeMap<RowHash, RowHash>>,
    pub(super) next: BTreeMap<RowHash, RowHash>,
}

#[async_trait]
impl HashMemo for MemoryMemo {
    fn is_there(&self) -> bool {
        self.known.is_some()
    }

    async fn find(&self, hashes: &[RowHash]) -> Result<Vec<Option<RowHash>>, Error> {
        Ok(hashes.iter().map(|hash| self.known.as_ref()?.get(hash).copied()).collect())
    }

    async fn add(&mut self, entries: &[RowVersion]) -> Result<(), Error> {
        self.next.extend(entries.iter().map(|entry| (entry.key, entry.row)));
        Ok(())
    }

    async fn keep(self: Box<Self>) -> Result<(), Error> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.memos.retain(|(sync, _), _| *sync != self.of.0);
        memory.memos.insert(self.of, self.next);
        Ok(())
    }
}
