//! Compares all rows of a source with those that were committed.
//!
//! The rows that are read are sorted on disk ([`super::spool`]) and merged with what is remembered
//! in one pass, which finds added, changed and removed keys, and those that occur twice. What is known of
//! a row is told when it is added, so that rows that differ can be held: most are recognized by their order
//! ([`super::order`]), the others are looked up.

use std::path::Path;

use async_trait::async_trait;
use tidegate_model::store::{Known, RowVersion};
use tidegate_model::{Comparison, Differences, Error, RowHash, SyncId};

use super::order::Order;
use super::spool::{SortedRows, Spool};
use super::view::View;
use crate::blocking::blocking;

/// A comparison with what was committed when it was opened.
pub(crate) struct ViewComparison {
    view: View,
    /// The rows of the source, and their order.
    seen: Option<(Spool, Order)>,
    /// What was removed, once it is known.
    removed: Option<SortedRows>,
}

impl ViewComparison {
    /// Begins a comparison; files are sorted in a folder below `data`. `rejected` are rows that were not
    /// delivered and are not among the committed ones.
    ///
    /// # Errors
    /// If what is committed cannot be read.
    pub(crate) async fn open(
        view: View,
        data: &Path,
        sync: &SyncId,
        rejected: &[RowVersion],
    ) -> Result<ViewComparison, Error> {
        let (spool, data, sync) = (Spool::new(&data.join("compared")), data.to_path_buf(), sync.clone());
        let (committed, rejected) = (view.clone(), rejected.iter().map(|row| row.key).collect::<Vec<_>>());
        let order = blocking(move || Order::open(&data, &sync, &committed, &rejected)).await?;
        Ok(ViewComparison { view, seen: Some((spool, order)), removed: None })
    }
}

#[async_trait]
impl Comparison for ViewComparison {
    async fn add(&mut self, rows: &[RowVersion]) -> Result<Vec<Known>, Error> {
        let (mut spool, mut order) = self.seen.take().ok_or_else(ended)?;
        let (added, view) = (rows.to_vec(), self.view.clone());
        let added = blocking(move || {
            let recognized = order.recognize(&added);
            let is_recognized: Vec<bool> = recognized.iter().map(Option::is_some).collect();
            let missing = added.iter().zip(&recognized).filter(|(_, known)| known.is_none());
            let missing: Vec<RowHash> = missing.map(|(row, _)| row.key).collect();
            let mut looked_up = view.find_now(&missing)?.into_iter();
            let known: Vec<Known> = recognized
                .into_iter()
                .map(|known| known.or_else(|| looked_up.next()).unwrap_or_default())
                .collect();
            order.note(&added, &known);
            spool.add(&marked(added, &is_recognized))?;
            Ok(((spool, order), known))
        });
        let (seen, known) = added.await?;
        self.seen = Some(seen);
        Ok(known)
    }

    async fn end(&mut self) -> Result<Differences, Error> {
        let (spool, order) = self.seen.take().ok_or_else(ended)?;
        let mut removed = Spool::new(spool.folder());
        let view = self.view.clone();
        let compared = blocking(move || {
            let mut join =
                Join { rows: spool.sorted()?, versions: Vec::new(), found: Differences::default() };
            let (mut key, mut known) = (None, Vec::new());
            let mut gone = |join: &mut Join, key: Option<RowHash>, known: &mut Vec<RowHash>| {
                let Some(key) = key else { return Ok(()) };
                if known.iter().any(|row: &RowHash| row.is_removed()) {
                    known.clear();
                }
                if join.known(key, known)? && !known.is_empty() {
                    removed.add(&[RowVersion { key, row: RowHash::REMOVED }])?;
                }
                known.clear();
                Ok::<(), Error>(())
            };
            view.scan(|row| {
                if key != Some(row.key) {
                    gone(&mut join, key, &mut known)?;
                    key = Some(row.key);
                }
                known.push(row.row);
                Ok(())
            })?;
            gone(&mut join, key, &mut known)?;
            join.rest()?;
            match join.found.overtaken {
                0 => order.keep(),
                _ => order.forget(),
            }
            Ok::<_, Error>((join.found, removed.sorted()?))
        });
        let (found, removed) = compared.await?;
        self.removed = Some(removed);
        Ok(found)
    }

    async fn removed(&mut self, limit: usize) -> Result<Vec<RowHash>, Error> {
        let Some(mut removed) = self.removed.take() else { return Ok(Vec::new()) };
        let read = blocking(move || {
            let mut keys = Vec::new();
            while keys.len() < limit
                && let Some(row) = removed.next()?
            {
                keys.push(row.key);
            }
            Ok((keys, removed))
        });
        let (keys, removed) = read.await?;
        self.removed = Some(removed);
        Ok(keys)
    }
}

/// Marks the rows that were not looked up. Rows of a source have no marks of their own.
fn marked(mut rows: Vec<RowVersion>, is_recognized: &[bool]) -> Vec<RowVersion> {
    for (row, recognized) in rows.iter_mut().zip(is_recognized) {
        row.row = row.row.with_changes(u8::from(*recognized));
    }
    rows
}

/// The rows of the source, beside committed keys that come in their order.
struct Join {
    rows: SortedRows,
    /// The rows under one key.
    versions: Vec<RowHash>,
    found: Differences,
}

impl Join {
    /// Counts the keys of the source up to this committed one, and it. Returns whether the source
    /// has no row under it.
    fn known(&mut self, key: RowHash, known: &[RowHash]) -> Result<bool, Error> {
        while let Some(row) = self.rows.peek()
            && row.key < key
        {
            self.take(row.key)?;
            self.count(row.key, &[]);
        }
        self.take(key)?;
        self.count(key, known);
        Ok(self.versions.is_empty())
    }

    /// Counts the keys behind the last committed one.
    fn rest(&mut self) -> Result<(), Error> {
        while let Some(row) = self.rows.peek() {
            self.take(row.key)?;
            self.count(row.key, &[]);
        }
        Ok(())
    }

    fn count(&mut self, key: RowHash, known: &[RowHash]) {
        self.found.count(key, &self.versions, known);
        let is_known = |row: &RowHash| known.iter().any(|known| known.is_row(*row));
        let is_overtaken = matches!(&*self.versions, [row] if row.changes() > 0 && !is_known(row));
        self.found.overtaken += u64::from(is_overtaken);
    }

    /// Takes the rows under a key, if they are next.
    fn take(&mut self, key: RowHash) -> Result<(), Error> {
        self.versions.clear();
        while self.rows.peek().is_some_and(|row| row.key == key)
            && let Some(row) = self.rows.next()?
        {
            // Two are enough to know that there are several.
            if self.versions.len() < 2 {
                self.versions.push(row.row);
            }
        }
        Ok(())
    }
}

fn ended() -> Error {
    Error::internal("rows were added to a comparison that had ended")
}
