//! Finds what was added, changed and removed by comparing all rows of a source with those that
//! were committed (`mode: mirror`).
//!
//! The source is read once. Rows that differ are held until all rows were compared; if they do not fit,
//! the source is read a second time. So nothing is sent before it is known how much would be, and which
//! keys occur twice.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use tidegate_model::bookkeeping::{DifferingRows, SourceHashes};
use tidegate_model::held::HeldRows;
use tidegate_model::store::{Known, Lookback, RowVersion};
use tidegate_model::{
    Batch, Comparison, Differences, Error, Feed, Mapping, PartialRow, Progress, ReadMode, Reason, Row,
    RowHash, SyncId, Text,
};
use tidegate_project::Changed;
use tokio::sync::watch;

use crate::pipeline::import::Import;
use crate::pipeline::read::by_hash::ByHash;
use crate::pipeline::read::by_source::AtSource;
use crate::pipeline::read::held::Held;
use crate::pipeline::read::restored::RejectedRows;
use crate::pipeline::run_kind::RunKind;

/// Keys that more than one row of the source has.
#[derive(Clone, Default)]
pub(crate) struct Duplicates(Arc<Mutex<HashSet<RowHash>>>);

impl Duplicates {
    /// Returns whether a key is one of them.
    pub(crate) fn has(&self, key: RowHash) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    /// Adds keys.
    pub(crate) fn add(&self, keys: impl IntoIterator<Item = RowHash>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
    }

    /// Returns why a row cannot be compared by its key, if it cannot.
    pub(crate) fn fault(&self, mapping: &Mapping, row: &Row, key: RowHash) -> Option<Reason> {
        if mapping.has_null_key(row) {
            return Some(Reason::new(
                "null_key",
                "a column of the primary key is empty: the row has no name under which to compare it",
            ));
        }
        let duplicate = || {
            Reason::new(
                "duplicate_key",
                "several rows have this primary key: none of them is sent, and what was sent before stays",
            )
        };
        self.has(key).then(duplicate)
    }

    /// Notes the keys that occur twice among rows to retry.
    pub(crate) fn of_retry(&self, rows: Feed<Row>, mapping: &Arc<Mapping>) -> Feed<Row> {
        let (duplicates, mapping) = (self.clone(), Arc::clone(mapping));
        let (mut seen, mut scratch) = (HashSet::new(), Vec::new());
        rows.inspect_ok(move |batch| {
            for row in &batch.items {
                let whole = mapping.version_of(row, &mut scratch);
                let key = mapping.key_of(row, whole, &mut scratch);
                if !seen.insert(key) {
                    duplicates.add([key]);
                }
            }
        })
        .boxed()
    }
}

/// What a comparison has found.
pub(crate) struct Found {
    /// The counts, and the keys that occur twice.
    pub(crate) differences: Differences,
    /// What was removed, page by page.
    pub(crate) comparison: Box<dyn Comparison>,
    /// How many rows could not be read so far as to know their key: any of them may be under a key
    /// that seems to be gone.
    pub(crate) unreadable: u64,
    /// Bytes of a row, on average; `None` if none was read.
    pub(crate) row_bytes: Option<u64>,
    /// The keys of rows that are again as they were delivered, of those with a rejected change.
    pub(crate) restored: Vec<RowHash>,
    held: Option<Held>,
}

/// Rows that are measured.
const MEASURED_ROWS: u64 = 10_000;

/// What has been seen of the source so far.
pub(super) struct Seen {
    pub(super) held: Held,
    pub(super) unreadable: u64,
    /// The keys of rows that are again as they were delivered, of those with a rejected change.
    pub(super) restored: Vec<RowHash>,
    pub(super) scratch: Vec<u8>,
    /// Rows that were measured, and their bytes.
    measured: (u64, u64),
}

impl Seen {
    fn new(held: Held) -> Seen {
        Seen { held, unreadable: 0, restored: Vec::new(), scratch: Vec::new(), measured: (0, 0) }
    }

    /// Measures rows that were read, as long as few were.
    pub(super) fn measure(&mut self, rows: &[Row]) {
        let (measured, bytes) = &mut self.measured;
        for row in rows.iter().take(usize::try_from(MEASURED_ROWS.saturating_sub(*measured)).unwrap_or(0)) {
            *measured += 1;
            *bytes += row.values.iter().map(tidegate_model::value_bytes).sum::<u64>();
        }
    }
}

/// Reads all rows of an import and compares them.
pub(crate) struct Comparing<'a> {
    pub(crate) import: &'a Import,
    pub(crate) kind: RunKind,
    /// What the source compares itself, if it does.
    pub(crate) at_source: Option<AtSource>,
    /// What hashes of the source stood for, if they are read before the rows.
    pub(crate) by_hash: Option<ByHash>,
    pub(crate) batch_rows: usize,
    /// What holds rows that differ.
    pub(crate) held: Option<Box<dyn HeldRows>>,
    pub(crate) progress: watch::Sender<Progress>,
    /// Users that earlier runs were about to send and that are not known, by the key of their rows. Those
    /// whose rows are still there are taken off.
    pub(crate) about_to_be_sent: HashMap<RowHash, Text>,
    /// The rejected rows that are still open, if rows that are as they were sent are left out.
    pub(crate) rejected: RejectedRows,
}

impl Comparing<'_> {
    /// Compares every row of the source.
    ///
    /// # Errors
    /// If the source cannot be read or the rows cannot be compared, and if too many keys occur
    /// twice.
    pub(crate) async fn compare(&mut self, mut comparison: Box<dyn Comparison>) -> Result<Found, Error> {
        let judge = self.judge();
        let held = self.held.take().ok_or_else(|| Error::internal("a source is compared twice"))?;
        let mut seen = Seen::new(Held::new(held));
        match self.by_hash.take() {
            Some(by_hash) => self.read_by_hash(by_hash, comparison.as_mut(), &judge, &mut seen).await?,
            None => {
                // The next rows are read while the last ones are compared.
                let mut feed = self.feed().await?;
                let mut next = feed.next().await;
                while let Some(rows) = next {
                    let seeing = self.see(rows?, comparison.as_mut(), &judge, &mut seen);
                    let (seen, read) = tokio::join!(seeing, feed.next());
                    seen?;
                    next = read;
                }
            }
        }
        if let Some(at_source) = &self.at_source {
            at_source.bookkeeping.flush().await?;
        }
        let differences = comparison.end().await?;
        // The loop counts them again.
        self.progress.send_modify(|progress| progress.counts = tidegate_model::Counts::default());
        let twice = differences.compared.duplicate_keys;
        if twice > Differences::DUPLICATES_MAX as u64 {
            return Err(no_key(&self.import.sync, twice));
        }
        let Seen { mut held, unreadable, mut restored, measured: (rows, bytes), .. } = seen;
        // Which of several rows was delivered is not known.
        let several: HashSet<RowHash> = differences.duplicates.iter().copied().collect();
        restored.retain(|key| !several.contains(key));
        // What was told of them row by row was not so: they are not held.
        held.overflows |= differences.overtaken > 0;
        let (row_bytes, held) = (bytes.checked_div(rows), Some(held));
        Ok(Found { differences, comparison, unreadable, row_bytes, restored, held })
    }

    /// Adds a batch of rows to a comparison, and holds those that differ.
    async fn see(
        &mut self,
        rows: DifferingRows,
        comparison: &mut dyn Comparison,
        judge: &Judge,
        seen: &mut Seen,
    ) -> Result<(), Error> {
        let DifferingRows { batch, hashes, malformed } = rows;
        seen.measure(&batch.items);
        let mut versions = judge.versions(&batch, &mut seen.scratch);
        if let Some(at_source) = &self.at_source {
            at_source.sees(versions.rows.iter().zip(versions.hashes(&hashes)));
        }
        versions.known = comparison.add(&versions.rows).await?;
        if let Some(at_source) = &self.at_source {
            at_source.note(&versions.rows, &versions.known, versions.hashes(&hashes)).await?;
        }
        let mut malformed = malformed.into_iter();
        for piece in &batch.malformed {
            match piece.row.as_deref().and_then(|partial| judge.partial(partial, &mut seen.scratch)) {
                Some(version) => {
                    let hashes = malformed.next();
                    if let Some((at_source, hashes)) = self.at_source.as_ref().zip(hashes) {
                        at_source.sees([(&version, hashes)].into_iter());
                    }
                    comparison.add(&[version]).await?;
                    if let Some((at_source, hashes)) = self.at_source.as_ref().zip(hashes) {
                        at_source.note_unreadable(&version, hashes).await?;
                    }
                    self.about_to_be_sent.remove(&version.key);
                }
                None => {
                    seen.unreadable += 1;
                    if piece.row.is_some() {
                        malformed.next();
                    }
                }
            }
        }
        self.hold((batch, hashes), &versions, judge, seen).await
    }

    /// Holds the rows of a batch that differ from what is known of them, with the hashes of the source.
    ///
    /// # Errors
    /// If they cannot be held.
    pub(super) async fn hold(
        &mut self,
        (batch, hashes): (Batch<Row>, Vec<SourceHashes>),
        versions: &Versions,
        judge: &Judge,
        seen: &mut Seen,
    ) -> Result<(), Error> {
        versions
            .rows
            .iter()
            .zip(&versions.known)
            .for_each(|(row, known)| self.note_restored(row, known, seen));
        versions.rows.iter().for_each(|row| drop(self.about_to_be_sent.remove(&row.key)));
        let read = (batch.items.len() + batch.malformed.len()) as u64;
        let (batch, hashes) = judge.differing((batch, hashes), versions);
        self.progress.send_modify(|progress| {
            progress.counts.read += read;
            progress.counts.skipped += batch.unchanged;
        });
        seen.held.add(batch, hashes).await
    }

    /// Notes a row that is again as it was delivered, if a change of it was rejected.
    pub(super) fn note_restored(&self, row: &RowVersion, known: &Known, seen: &mut Seen) {
        if !self.rejected.is_empty() && self.rejected.is_restored(row, known) {
            seen.restored.push(row.key);
        }
    }

    /// Returns the rows that differ: those that are held, or the source's, read once more.
    ///
    /// # Errors
    /// If the source cannot be read again.
    pub(crate) async fn differing(
        &self,
        found: &mut Found,
        lookback: Arc<dyn Lookback>,
    ) -> Result<Feed<Row>, Error> {
        let (judge, at_source) = (self.judge(), self.at_source.clone());
        if let Some(held) = found.held.take().filter(|held| !held.overflows) {
            return Ok(held.feed(self.batch_rows, judge, at_source));
        }
        let differing = move |batch: Result<DifferingRows, Error>| {
            let (judge, lookback, at_source) = (judge.clone(), Arc::clone(&lookback), at_source.clone());
            async move {
                let DifferingRows { batch, hashes, .. } = batch?;
                let mut versions = judge.versions(&batch, &mut Vec::with_capacity(512));
                let keys: Vec<RowHash> = versions.rows.iter().map(|row| row.key).collect();
                versions.known = lookback.find(&keys).await?;
                if let Some(at_source) = &at_source {
                    at_source.note(&versions.rows, &versions.known, versions.hashes(&hashes)).await?;
                    at_source.bookkeeping.flush().await?;
                }
                let (batch, hashes) = judge.differing((batch, hashes), &versions);
                if let Some(at_source) = at_source {
                    at_source.sends(&judge, &batch, &hashes);
                }
                Ok(batch)
            }
        };
        Ok(self.feed().await?.then(differing).boxed())
    }

    fn judge(&self) -> Judge {
        let Import { mapping, changed, .. } = self.import;
        Judge { mapping: Arc::clone(mapping), changed: *changed, skips: self.kind.skips_committed() }
    }

    /// The rows of the source, or those that it has found to differ.
    async fn feed(&self) -> Result<BoxStream<'static, Result<DifferingRows, Error>>, Error> {
        if let Some(AtSource { bookkeeping, continues, .. }) = &self.at_source {
            let all = !(*continues && self.kind.skips_committed());
            return bookkeeping.rows(all, self.batch_rows).await;
        }
        let feed = self.import.read(&ReadMode::Full, self.batch_rows).await?;
        let whole = |batch| DifferingRows { batch, hashes: Vec::new(), malformed: Vec::new() };
        Ok(feed.map_ok(whole).boxed())
    }
}

/// The primary key names no rows.
fn no_key(sync: &SyncId, twice: u64) -> Error {
    Error::settings(format!(
        "`primary_key` of `{sync}` does not name one row each: {twice} of its values are in several rows"
    ))
    .hint("name the columns that are different in each row, or make them so in the query")
}

/// Tells which rows differ.
#[derive(Clone)]
pub(crate) struct Judge {
    pub(super) mapping: Arc<Mapping>,
    changed: Changed,
    /// Whether rows that are as they were sent are left out.
    skips: bool,
}

/// The rows of a batch that have a key.
pub(crate) struct Versions {
    pub(crate) rows: Vec<RowVersion>,
    /// The index of each in the batch.
    pub(super) indexes: Vec<usize>,
    pub(super) known: Vec<Known>,
}

impl Versions {
    /// The hashes of its rows, among those of the batch.
    pub(crate) fn hashes<'a>(
        &'a self,
        hashes: &'a [SourceHashes],
    ) -> impl Iterator<Item = SourceHashes> + 'a {
        self.indexes.iter().filter_map(|at| hashes.get(*at).copied())
    }
}

impl Judge {
    pub(crate) fn versions(&self, batch: &Batch<Row>, scratch: &mut Vec<u8>) -> Versions {
        let mut versions = Versions { rows: Vec::new(), indexes: Vec::new(), known: Vec::new() };
        for (at, row) in batch.items.iter().enumerate().filter(|(_, row)| !self.mapping.has_null_key(row)) {
            versions.rows.push(self.version(row, scratch));
            versions.indexes.push(at);
        }
        versions
    }

    fn version(&self, row: &Row, scratch: &mut Vec<u8>) -> RowVersion {
        let whole = self.mapping.version_of(row, scratch);
        RowVersion { key: self.mapping.key_of(row, whole, scratch), row: whole.unmarked() }
    }

    /// The version of a row of which some values could not be read, if its key could be.
    pub(super) fn partial(&self, partial: &PartialRow, scratch: &mut Vec<u8>) -> Option<RowVersion> {
        self.mapping.key_is_without(&partial.unreadable).then(|| self.version(&partial.row, scratch))
    }

    /// Leaves the rows that differ from what is known, and those without a key, which are rejected
    /// later.
    fn differing(
        &self,
        (batch, hashes): (Batch<Row>, Vec<SourceHashes>),
        versions: &Versions,
    ) -> (Batch<Row>, Vec<SourceHashes>) {
        let (mut unchanged, mut ignored) = (0, 0);
        if !self.skips {
            return (batch, hashes);
        }
        let mut keep = vec![true; batch.items.len()];
        for ((row, known), &at) in versions.rows.iter().zip(&versions.known).zip(&versions.indexes) {
            let is_known = known.rows().iter().any(|known| known.is_row(row.row));
            let is_ignored = self.changed == Changed::Ignore && !known.rows().is_empty();
            unchanged += u64::from(is_known);
            ignored += u64::from(!is_known && is_ignored);
            keep[at] = !is_known && !is_ignored;
        }
        fn kept<T>(items: Vec<T>, keep: &[bool]) -> Vec<T> {
            items.into_iter().zip(keep).filter(|(_, keep)| **keep).map(|(item, _)| item).collect()
        }
        let batch = Batch {
            origins: kept(batch.origins, &keep),
            malformed: batch.malformed,
            fixed: batch.fixed,
            unchanged,
            ignored,
            ..Batch::of(kept(batch.items, &keep))
        };
        (batch, kept(hashes, &keep))
    }
}
