//! Which block an open failed row is in, in memory while a run has many keys to look up.
//!
//! The blocks themselves say it too, by their marks: a run with few keys reads those. An index serves
//! one run. Only that run adds rows; another process may close some meanwhile, so a row that the
//! index names may be gone, and none is missing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};

use tidegate_model::{Error, RowHash, RunId, SyncId};

use super::block::{mark, read_marks};
use super::table::{self, MarkColumn};
use crate::store::dialect::Tx;

/// Rows of a sync that an index may have: 64 MiB about.
pub(super) const ROWS_MAX: usize = 2_000_000;

/// The indexes of the runs under way.
#[derive(Default)]
pub(crate) struct Indexes(Mutex<HashMap<SyncId, Index>>);

/// The blocks of the open failed rows of a sync.
pub(crate) struct Index {
    run: RunId,
    blocks: Blocks,
    /// Rows whose mark another row has, too.
    others: Vec<(u64, u64)>,
}

/// The block of each row by its mark, in parts: one that grows is still in the processor's caches. In one table, the
/// marks were 9 % of the cost of a million rejected rows (`make bench WHAT=failed-rows`).
struct Blocks([HashMap<u64, u64, BuildHasherDefault<Mark>>; 64]);

impl Default for Blocks {
    fn default() -> Blocks {
        Blocks(std::array::from_fn(|_| HashMap::default()))
    }
}

impl Blocks {
    fn part(mark: u64) -> usize {
        // A table finds a mark by its lowest and its highest bits.
        (mark >> 40) as usize % 64
    }

    fn len(&self) -> usize {
        self.0.iter().map(HashMap::len).sum()
    }

    fn get(&self, mark: u64) -> Option<u64> {
        self.0[Blocks::part(mark)].get(&mark).copied()
    }

    fn insert(&mut self, mark: u64, seq: u64) -> Option<u64> {
        self.0[Blocks::part(mark)].insert(mark, seq)
    }

    fn remove(&mut self, mark: u64) {
        self.0[Blocks::part(mark)].remove(&mark);
    }
}

impl Indexes {
    /// Takes the index of a run out; another run's is dropped.
    pub(crate) fn take(&self, sync: &SyncId, run: &RunId) -> Option<Index> {
        let mut indexes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.remove(sync).filter(|index| index.run == *run)
    }

    /// Puts an index back after its commit. One of which a commit failed is built again.
    pub(crate) fn put(&self, sync: &SyncId, index: Option<Index>) {
        let index = index.filter(|index| index.blocks.len() <= ROWS_MAX);
        if let Some(index) = index {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(sync.clone(), index);
        }
    }

    /// Drops the index of a sync whose run has ended.
    pub(crate) fn end(&self, sync: &SyncId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(sync);
    }
}

impl Index {
    /// Builds the index of a sync for a run.
    pub(super) async fn build(tx: &mut Tx, sync: &SyncId, run: &RunId) -> Result<Index, Error> {
        let mut index = Index { run: run.clone(), blocks: Blocks::default(), others: Vec::new() };
        table::each_mark(tx, sync, MarkColumn::Keys, |seq, marks| {
            read_marks(marks).for_each(|mark| index.insert_mark(mark, seq));
        })
        .await?;
        Ok(index)
    }

    /// Returns the blocks in which the row of a key may be.
    pub(super) fn find(&self, key: RowHash) -> impl Iterator<Item = u64> {
        let key = mark(key);
        let others = self.others.iter().filter(move |(mark, _)| *mark == key).map(|(_, seq)| *seq);
        self.blocks.get(key).into_iter().chain(others)
    }

    /// Notes the block of a row.
    pub(super) fn insert(&mut self, key: RowHash, seq: u64) {
        self.insert_mark(mark(key), seq);
    }

    fn insert_mark(&mut self, mark: u64, seq: u64) {
        if let Some(other) = self.blocks.insert(mark, seq)
            && other != seq
        {
            self.others.push((mark, other));
        }
    }

    /// Notes that a row is in a block no more.
    pub(super) fn remove(&mut self, key: RowHash, seq: u64) {
        let key = mark(key);
        self.others.retain(|other| *other != (key, seq));
        if self.blocks.get(key) == Some(seq) {
            self.blocks.remove(key);
        }
    }
}

/// A map by key.
pub(super) type ByKey<V> = HashMap<RowHash, V, BuildHasherDefault<Mark>>;

/// Marks and keys are evenly spread already.
#[derive(Default)]
pub(super) struct Mark(u64);

impl Hasher for Mark {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64(bytes);
    }

    fn write_u64(&mut self, mark: u64) {
        self.0 = mark;
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = mark(RowHash(hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_with_one_mark_are_both_found() {
        let (one, other) = (RowHash(7), RowHash(7 << 64));
        assert_eq!(mark(one), mark(other));
        let mut index = Index { run: RunId::new("r"), blocks: Blocks::default(), others: Vec::new() };
        index.insert(one, 1);
        index.insert(other, 2);
        let found = |index: &Index| {
            let mut found: Vec<u64> = index.find(one).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(found(&index), [1, 2]);
        index.remove(other, 2);
        assert_eq!(found(&index), [1]);
        index.remove(one, 1);
        assert!(found(&index).is_empty());
    }
}
