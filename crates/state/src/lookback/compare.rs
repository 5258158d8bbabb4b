//! Compares all rows of a source with those that were committed.
//!
//! The rows that are read are sorted on disk ([`super::spool`]) and merged with what is remembered
//! in one pass, which finds added, changed and removed keys, and those that occur twice.

use std::path::Path;

use async_trait::async_trait;
use tidegate_model::store::{Known, Lookback, RowVersion};
use tidegate_model::{Comparison, Differences, Error, RowHash};

use super::spool::{SortedRows, Spool};
use super::view::View;
use crate::blocking::blocking;

/// A comparison with what was committed when it was opened.
pub(crate) struct ViewComparison {
    view: View,
    spool: Option<Spool>,
    /// What was removed, once it is known.
    removed: Option<SortedRows>,
}

impl ViewComparison {
    /// Begins a comparison; files are sorted in a folder below `data`.
    pub(crate) fn new(view: View, data: &Path) -> ViewComparison {
        ViewComparison { view, spool: Some(Spool::new(&data.join("compared"))), removed: None }
    }
}

#[async_trait]
impl Comparison for ViewComparison {
    async fn add(&mut self, rows: &[RowVersion]) -> Result<Vec<Known>, Error> {
        let mut spool = self.spool.take().ok_or_else(ended)?;
        let added = rows.to_vec();
        let spool = blocking(move || spool.add(&added).map(|()| spool));
        let keys: Vec<RowHash> = rows.iter().map(|row| row.key).collect();
        let (spool, known) = tokio::join!(spool, self.view.find(&keys));
        self.spool = Some(spool?);
        known
    }

    async fn end(&mut self) -> Result<Differences, Error> {
        let spool = self.spool.take().ok_or_else(ended)?;
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
            self.found.count(row.key, &self.versions, &[]);
        }
        self.take(key)?;
        self.found.count(key, &self.versions, known);
        Ok(self.versions.is_empty())
    }

    /// Counts the keys behind the last committed one.
    fn rest(&mut self) -> Result<(), Error> {
        while let Some(row) = self.rows.peek() {
            self.take(row.key)?;
            self.found.count(row.key, &self.versions, &[]);
        }
        Ok(())
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
