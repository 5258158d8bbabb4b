//! Rows that the source has compared itself (`state: source`), beside the ledger.
//!
//! The source leaves out the rows that are as they were committed. What it shows is compared with the ledger, as
//! everything is with `state: ours`: the ledger decides, so nothing is sent twice if the source has forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidegate_model::bookkeeping::{Bookkeeping, NotedRow, SourceHashes};
use tidegate_model::store::{Known, Lookback, RowVersion};
use tidegate_model::{Batch, Comparison, Differences, Error, Row, RowHash};

use crate::pipeline::read::compare::{Duplicates, Judge};

/// Keys that are asked for at once.
const PAGE_KEYS: usize = 100_000;

/// The bookkeeping of a run, and how far it goes.
#[derive(Clone)]
pub(crate) struct AtSource {
    pub(crate) bookkeeping: Arc<dyn Bookkeeping>,
    /// Whether its entries are those of the last run. If not, all rows are read, and it has an entry for each
    /// key that is known once they were compared.
    pub(crate) continues: bool,
    /// Keys that the source has in several rows, as far as it has shown them.
    pub(crate) several: Duplicates,
    /// Rows that are about to be sent, and have no result yet.
    under_way: Arc<Mutex<HashMap<RowHash, SourceHashes>>>,
    /// Whether an entry of this run could not be written.
    is_missing_some: Arc<AtomicBool>,
}

impl AtSource {
    pub(crate) fn new(bookkeeping: Arc<dyn Bookkeeping>, continues: bool) -> AtSource {
        let (several, under_way, is_missing_some) = (Duplicates::default(), Arc::default(), Arc::default());
        AtSource { bookkeeping, continues, several, under_way, is_missing_some }
    }

    /// Takes note of the keys that the source has in several rows, before they are compared.
    pub(crate) fn sees<'a>(&self, rows: impl Iterator<Item = (&'a RowVersion, SourceHashes)>) {
        self.several.add(rows.filter(|(_, hashes)| hashes.several).map(|(row, _)| row.key));
    }

    /// Notes the rows of a batch with what is known of each. In a run that continues, each row that may be sent has an
    /// entry without a hash before it is: if the process dies, the row is found whether it is there or gone. In
    /// a run that does not, a row that the ledger does not know has none until it has a result: without the end of this
    /// run, the next one writes all entries again.
    ///
    /// # Errors
    /// If the source cannot be written.
    pub(crate) async fn note(
        &self,
        rows: &[RowVersion],
        known: &[Known],
        hashes: impl Iterator<Item = SourceHashes>,
    ) -> Result<(), Error> {
        let noted = rows.iter().zip(known).zip(hashes);
        let noted = noted.filter(|((_, known), _)| self.continues || !known.rows().is_empty());
        let noted = noted.map(|((row, known), hashes)| NotedRow {
            key: row.key,
            hashes,
            known: known.rows().iter().any(|known| known.is_row(row.row)),
        });
        self.bookkeeping.note(&noted.collect::<Vec<_>>()).await
    }

    /// Notes a row that could not be read whole: it is never sent as it is, and may be by a retry.
    ///
    /// # Errors
    /// If the source cannot be written.
    pub(crate) async fn note_unreadable(&self, row: &RowVersion, hashes: SourceHashes) -> Result<(), Error> {
        self.bookkeeping.note(&[NotedRow { key: row.key, hashes, known: false }]).await
    }

    /// Keeps the hashes of rows that are about to be sent.
    pub(crate) fn sends(&self, judge: &Judge, batch: &Batch<Row>, hashes: &[SourceHashes]) {
        let versions = judge.versions(batch, &mut Vec::new());
        let keys = versions.rows.iter().map(|row| row.key);
        self.under_way().extend(keys.zip(versions.hashes(hashes)));
    }

    /// Notes the rows of a batch that have their results: those that were committed and the keys of those that were
    /// rejected.
    ///
    /// # Errors
    /// If the source cannot be written.
    pub(crate) async fn committed(&self, rows: &[RowVersion], rejected: &[RowHash]) -> Result<(), Error> {
        let removed: Vec<RowHash> =
            rows.iter().filter(|row| row.row.is_removed()).map(|row| row.key).collect();
        let noted: Vec<NotedRow> = {
            let mut under_way = self.under_way();
            let rejected = rejected.iter().map(|key| (*key, false));
            let rows = rows.iter().filter(|row| !row.row.is_removed());
            let committed = rows.map(|row| (row.key, !row.row.is_row(RowHash::UNCERTAIN)));
            let results = rejected.chain(committed);
            let note = |(key, known)| Some(NotedRow { key, hashes: under_way.remove(&key)?, known });
            // In a run that continues, an entry without a hash is there already.
            results.filter_map(note).filter(|row| row.known || !self.continues).collect()
        };
        let written = async {
            self.bookkeeping.note(&noted).await?;
            self.bookkeeping.forget(&removed).await
        };
        let written = written.await;
        self.is_missing_some.fetch_or(written.is_err(), Ordering::Relaxed);
        written
    }

    /// Writes what is held when a run has ended. If it was `complete`, the next one continues with its entries.
    ///
    /// # Errors
    /// If the source cannot be written.
    pub(crate) async fn end(&self, complete: bool) -> Result<(), Error> {
        let left: Vec<NotedRow> =
            (self.under_way().drain()).map(|(key, hashes)| NotedRow { key, hashes, known: false }).collect();
        if !self.continues {
            self.bookkeeping.note(&left).await?;
        }
        self.bookkeeping.flush().await?;
        if complete && !self.continues && !self.is_missing_some.load(Ordering::Relaxed) {
            self.bookkeeping.complete().await?;
        }
        Ok(())
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<RowHash, SourceHashes>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
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
                return Ok(Box::new(SourceComparison::new(self, lookback)));
            }
            self.bookkeeping.note_removed(&keys).await?;
        }
    }
}

/// A comparison that tells what was committed last under a key, whatever was when the row was met before: an entry
/// at the source outlives the run that writes it.
pub(crate) struct CertainComparison {
    pub(crate) comparison: Box<dyn Comparison>,
    pub(crate) lookback: Arc<dyn Lookback>,
}

#[async_trait]
impl Comparison for CertainComparison {
    async fn add(&mut self, rows: &[RowVersion]) -> Result<Vec<Known>, Error> {
        self.comparison.add(rows).await?;
        let keys: Vec<RowHash> = rows.iter().map(|row| row.key).collect();
        self.lookback.find(&keys).await
    }

    async fn end(&mut self) -> Result<Differences, Error> {
        self.comparison.end().await
    }

    async fn removed(&mut self, limit: usize) -> Result<Vec<RowHash>, Error> {
        self.comparison.removed(limit).await
    }
}

/// A comparison of which the source has made the most.
pub(crate) struct SourceComparison {
    bookkeeping: Arc<dyn Bookkeeping>,
    lookback: Arc<dyn Lookback>,
    shown: u64,
    found: Differences,
    /// The keys that several rows have, see [`AtSource::several`].
    several: Duplicates,
    /// Rows that have such a key, two of each at most, and what is known of it.
    twice: HashMap<RowHash, (Vec<RowHash>, Known)>,
    /// The last removed key that was looked at.
    after: Option<RowHash>,
}

impl SourceComparison {
    pub(crate) fn new(at_source: &AtSource, lookback: Arc<dyn Lookback>) -> SourceComparison {
        SourceComparison {
            bookkeeping: Arc::clone(&at_source.bookkeeping),
            lookback,
            shown: 0,
            found: Differences::default(),
            several: at_source.several.clone(),
            twice: HashMap::new(),
            after: None,
        }
    }

    /// Counts a row, or holds it until all rows of its key are there.
    fn count(&mut self, row: &RowVersion, known: &Known) {
        if !self.several.has(row.key) {
            return self.found.count(row.key, &[row.row], known.rows());
        }
        // Beyond this many keys, the run ends.
        let has_room = self.twice.len() <= Differences::DUPLICATES_MAX;
        if has_room || self.twice.contains_key(&row.key) {
            let (rows, _) = self.twice.entry(row.key).or_insert_with(|| (Vec::new(), known.clone()));
            if rows.len() < 2 {
                rows.push(row.row);
            }
        }
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
            self.count(row, known);
        }
        Ok(known)
    }

    async fn end(&mut self) -> Result<Differences, Error> {
        for (key, (rows, known)) in std::mem::take(&mut self.twice) {
            self.found.count(key, &rows, known.rows());
        }
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
