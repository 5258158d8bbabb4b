//! Committed rows in memory, and how a source differs from them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use tidegate_model::store::{Known, Lookback, RowVersion};
use tidegate_model::{Comparison, Differences, Error, RowHash, RunId, Value};

/// What was committed of one sync.
#[derive(Default)]
pub(super) struct MemoryLookback {
    pub(super) chunks: Vec<(u64, Option<Value>)>,
    pub(super) known: HashMap<RowHash, (RunId, Known)>,
    pub(super) all: Vec<RowVersion>,
}

#[async_trait]
impl Lookback for MemoryLookback {
    fn chunks(&self) -> &[(u64, Option<Value>)] {
        &self.chunks
    }

    async fn find(&self, keys: &[RowHash]) -> Result<Vec<Known>, Error> {
        let known = |key| self.known.get(key).map(|(_, known)| known.clone()).unwrap_or_default();
        Ok(keys.iter().map(known).collect())
    }

    async fn all(&self) -> Result<Vec<RowVersion>, Error> {
        Ok(self.all.clone())
    }
}

/// Rows of a source beside those that were committed.
pub(super) struct MemoryComparison {
    pub(super) known: BTreeMap<RowHash, Known>,
    pub(super) rows: BTreeMap<RowHash, Vec<RowHash>>,
    pub(super) removed: Vec<RowHash>,
}

#[async_trait]
impl Comparison for MemoryComparison {
    async fn add(&mut self, rows: &[RowVersion]) -> Result<Vec<Known>, Error> {
        rows.iter().for_each(|row| self.rows.entry(row.key).or_default().push(row.row));
        Ok(rows.iter().map(|row| self.known.get(&row.key).cloned().unwrap_or_default()).collect())
    }

    async fn end(&mut self) -> Result<Differences, Error> {
        let mut differences = Differences::default();
        let keys: BTreeSet<RowHash> = self.known.keys().chain(self.rows.keys()).copied().collect();
        for key in keys {
            let rows = self.rows.get(&key).map(Vec::as_slice).unwrap_or_default();
            let known = self.known.get(&key).map(Known::rows).unwrap_or_default();
            differences.count(key, rows, known);
            if rows.is_empty() {
                self.removed.push(key);
            }
        }
        Ok(differences)
    }

    async fn removed(&mut self, limit: usize) -> Result<Vec<RowHash>, Error> {
        Ok(self.removed.drain(..limit.min(self.removed.len())).collect())
    }
}
