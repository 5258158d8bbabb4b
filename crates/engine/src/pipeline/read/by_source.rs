//! Rows that the source has compared itself (`state: source`), beside the ledger.
//!
//! The source leaves out the rows that are as they were committed. What it shows is compared with the ledger, as
//! everything is with `state: ours`: the ledger decides, so nothing is sent twice if the source has forgotten.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::bookkeeping::{Bookkeeping, NotedRow, SourceHashes};
use tidegate_model::store::{Known, Lookback, RowVersion};
use tidegate_model::{Comparison, Differences, Error, RowHash};

/// Keys that are asked for at once.
const PAGE_KEYS: usize = 100_000;

/// The bookkeeping of a run, and how far it goes.
#[derive(Clone)]
pub(crate) struct AtSource {
    pub(crate) bookkeeping: Arc<dyn Bookkeeping>,
    /// Whether its entries are those of the last run. If not, all rows are read, and it has an entry for each
    /// key that is known once they were compared.
    pub(crate) continues: bool,
}

impl AtSource {
    /// Notes the rows of a batch with what is known of each.
    ///
    /// # Errors
    /// If the source cannot be written.
    pub(crate) async fn note(
        &self,
        rows: &[RowVersion],
        known: &[Known],
        hashes: impl Iterator<Item = SourceHashes>,
    ) -> Result<(), Error> {
        let noted = rows.iter().zip(known).zip(hashes).map(|((row, known), hashes)| NotedRow {
            key: row.key,
            hashes,
            known: known.rows().iter().any(|known| known.is_row(row.row)),
        });
        self.bookkeeping.note(&noted.collect::<Vec<_>>()).await
    }

    /// Notes all rows that are gone, as a comparison with the ledger has found them. Returns the comparison
    /// that shows them once more.
    ///
    /// # Errors
    /// If the source cannot be written, or the comparison cannot be read.
    pub(crate) async fn take_over(
        &self,
        mut comparison: Box<dyn Comparison>,
        lookback: Arc<dyn Lookback>,
    ) -> Result<Box<dyn Comparison>, Error> {
        if self.continues || !self.bookkeeping.keeps() {
            return Ok(comparison);
        }
        loop {
            let keys = comparison.removed(PAGE_KEYS).await?;
            if keys.is_empty() {
                return Ok(Box::new(SourceComparison::new(Arc::clone(&self.bookkeeping), lookback)));
            }
            self.bookkeeping.note_removed(&keys).await?;
        }
    }
}

/// A comparison of which the source has made the most.
pub(crate) struct SourceComparison {
    bookkeeping: Arc<dyn Bookkeeping>,
    lookback: Arc<dyn Lookback>,
    shown: u64,
    found: Differences,
    /// The last removed key that was looked at.
    after: Option<RowHash>,
}

impl SourceComparison {
    pub(crate) fn new(bookkeeping: Arc<dyn Bookkeeping>, lookback: Arc<dyn Lookback>) -> SourceComparison {
        SourceComparison { bookkeeping, lookback, shown: 0, found: Differences::default(), after: None }
    }

    /// The next removed keys that the ledger knows; empty at the end. Entries of others are removed.
    async fn page(&self, after: &mut Option<RowHash>, limit: usize) -> Result<Vec<RowHash>, Error> {
        loop {
            let keys = self.bookkeeping.removed(*after, limit).await?;
            let Some(last) = keys.last() else { return Ok(keys) };
            *after = Some(*last);
            let known = self.lookback.find(&keys).await?;
            let known = keys.iter().zip(&known);
            let (gone, never): (Vec<_>, Vec<_>) = known.partition(|(_, known)| !known.rows().is_empty());
            let never: Vec<RowHash> = never.into_iter().map(|(key, _)| *key).collect();
            self.bookkeeping.forget(&never).await?;
            if !gone.is_empty() {
                return Ok(gone.into_iter().map(|(key, _)| *key).collect());
            }
        }
    }
}

#[async_trait]
impl Comparison for SourceComparison {
    async fn add(&mut self, rows: &[RowVersion]) -> Result<Vec<Known>, Error> {
        let keys: Vec<RowHash> = rows.iter().map(|row| row.key).collect();
        let known = self.lookback.find(&keys).await?;
        self.shown += rows.len() as u64;
        for (row, known) in rows.iter().zip(&known) {
            self.found.count(row.key, &[row.row], known.rows());
        }
        Ok(known)
    }

    async fn end(&mut self) -> Result<Differences, Error> {
        let left_out = self.bookkeeping.count().await?.saturating_sub(self.shown);
        let mut after = None;
        loop {
            let gone = self.page(&mut after, PAGE_KEYS).await?;
            if gone.is_empty() {
                break;
            }
            self.found.compared.removed += gone.len() as u64;
            self.found.compared.known += gone.len() as u64;
        }
        self.found.compared.unchanged += left_out;
        self.found.compared.known += left_out;
        Ok(std::mem::take(&mut self.found))
    }

    async fn removed(&mut self, limit: usize) -> Result<Vec<RowHash>, Error> {
        let mut after = self.after;
        let page = self.page(&mut after, limit).await?;
        self.after = after;
        // A row that is back before its deletion is committed must be seen.
        self.bookkeeping.doubt(&page).await?;
        Ok(page)
    }
}
