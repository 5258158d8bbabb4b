//! Rows that a mirror finds by hashes that the source has made of them (`compare: hashes`).
//!
//! The source sends the key and a hash of each row. A memo says which version of the row a hash stood for when
//! the row was read; if the ledger knows this version under the key, the row is as it was sent. All others
//! are read by their keys. A hash that is not known, or a memo that is lost, costs a read and nothing else: what
//! decides is the version, made here of what was read.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt};
use tidegate_model::source::Hashed;
use tidegate_model::store::{Known, RowVersion};
use tidegate_model::{Batch, Comparison, Error, ErrorKind, Feed, HashMemo, Row, RowHash, Value};

use crate::pipeline::import::Import;
use crate::pipeline::read::compare::{Comparing, Judge, Seen, Versions};

/// The key and the hash of rows that are read at once.
const BATCH_ROWS: usize = 10_000;

/// What hashes stood for, and the columns of the key.
pub(crate) struct ByHash {
    memo: Box<dyn HashMemo>,
    key: Vec<String>,
}

/// Rows, and the hash of each.
struct HashedRows {
    batch: Batch<Row>,
    hashes: Vec<Value>,
}

impl ByHash {
    pub(crate) fn new(import: &Import, memo: Box<dyn HashMemo>) -> ByHash {
        let names = import.columns.names();
        let key = import.mapping.key_columns().iter().filter_map(|at| names.get(*at).cloned());
        ByHash { memo, key: key.collect() }
    }

    async fn read(&self, import: &Import, what: Hashed<'_>) -> Result<Feed<Row>, Error> {
        let connection = import.source_connection.clone();
        let feed = import.source.hashed(&import.selection, &self.key, what, BATCH_ROWS).await;
        let feed = feed.map_err(|error| error.at(&connection))?.ok_or_else(|| {
            Error::settings(format!("the source of `{}` cannot make hashes of its rows", import.sync))
                .hint("write `compare: rows`")
        })?;
        Ok(feed.map_err(move |error| error.at(&connection)).boxed())
    }

    /// Notes the versions of rows under their hashes.
    async fn note(
        &mut self,
        versions: &Versions,
        hashes: &[Value],
        scratch: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let rows = versions.rows.iter().zip(&versions.indexes);
        let mut entry = |(row, at): (&RowVersion, &usize)| {
            let hash = hashes.get(*at)?;
            Some(RowVersion { key: memo_key(row.key, hash, scratch), row: row.row })
        };
        let entries: Vec<RowVersion> = rows.filter_map(&mut entry).collect();
        self.memo.add(&entries).await
    }
}

/// The key and the hash of a row, as a memo has them.
fn memo_key(key: RowHash, hash: &Value, scratch: &mut Vec<u8>) -> RowHash {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&key.0.to_be_bytes());
    bytes[16..].copy_from_slice(&RowHash::of_values([hash], scratch).0.to_be_bytes());
    RowHash::of_bytes(&bytes)
}

/// Takes the hash off the end of each row.
fn split(import: &Import, mut batch: Batch<Row>) -> HashedRows {
    let mut take = |row: &mut Row| {
        row.columns = import.columns.clone();
        row.values.pop().unwrap_or(Value::Null)
    };
    let hashes = batch.items.iter_mut().map(&mut take).collect();
    for piece in &mut batch.malformed {
        if let Some(partial) = &mut piece.row {
            take(&mut partial.row);
        }
    }
    HashedRows { batch, hashes }
}

impl Comparing<'_> {
    /// Reads the rows whose hashes are not known, and adds all rows to a comparison.
    ///
    /// # Errors
    /// If the source cannot be read, or the rows cannot be compared.
    pub(super) async fn read_by_hash(
        &mut self,
        mut by_hash: ByHash,
        comparison: &mut dyn Comparison,
        judge: &Judge,
        seen: &mut Seen,
    ) -> Result<(), Error> {
        if by_hash.memo.is_there() && self.kind.skips_committed() {
            let mut keys = by_hash.read(self.import, Hashed::Keys).await?;
            while let Some(batch) = keys.try_next().await? {
                self.see_hashes(batch, &mut by_hash, comparison, judge, seen).await?;
            }
        } else {
            // Nothing is known of hashes: all rows are read with theirs.
            let mut rows = by_hash.read(self.import, Hashed::Rows).await?;
            while let Some(batch) = rows.try_next().await? {
                let rows = split(self.import, batch);
                self.see_rows(rows, &mut HashMap::new(), &mut by_hash, comparison, judge, seen).await?;
            }
        }
        by_hash.memo.keep().await
    }

    /// Looks at the keys and hashes of rows, and reads those that are not known.
    async fn see_hashes(
        &mut self,
        batch: Batch<Row>,
        by_hash: &mut ByHash,
        comparison: &mut dyn Comparison,
        judge: &Judge,
        seen: &mut Seen,
    ) -> Result<(), Error> {
        if !batch.malformed.is_empty() {
            return Err(unreadable_key(self.import));
        }
        let rows: Vec<(Vec<Value>, RowHash, RowHash)> =
            batch.items.into_iter().map(|row| self.key_of(row, judge, &mut seen.scratch)).collect();
        let hashes: Vec<RowHash> = rows.iter().map(|(_, _, hash)| *hash).collect();
        let found = by_hash.memo.find(&hashes).await?;
        let versions: Vec<RowVersion> = rows
            .iter()
            .zip(&found)
            .filter_map(|((_, key, _), found)| Some(RowVersion { key: *key, row: (*found)? }))
            .collect();
        let known = comparison.add(&versions).await?;
        let mut known = versions.iter().zip(known);
        let (mut unchanged, mut entries) = (0, Vec::new());
        let (mut missing, mut added) = (Vec::new(), HashMap::new());
        for ((values, key, hash), found) in rows.into_iter().zip(found) {
            if found.is_some()
                && let Some((version, known)) = known.next()
            {
                if known.rows().iter().any(|known| known.is_row(version.row)) {
                    entries.push(RowVersion { key: hash, row: version.row });
                    self.note_restored(version, &known, seen);
                    self.about_to_be_sent.remove(&key);
                    unchanged += 1;
                    continue;
                }
                added.insert(key, known);
            }
            missing.push(values);
        }
        by_hash.memo.add(&entries).await?;
        seen.held.unchanged += unchanged;
        self.progress.send_modify(|progress| {
            progress.counts.read += unchanged;
            progress.counts.skipped += unchanged;
        });
        if missing.is_empty() {
            return Ok(());
        }
        let mut rows = by_hash.read(self.import, Hashed::These(&missing)).await?;
        while let Some(batch) = rows.next().await {
            let rows = split(self.import, batch?);
            self.see_rows(rows, &mut added, by_hash, comparison, judge, seen).await?;
        }
        Ok(())
    }

    /// The key columns of a row, their hash, and the hash in the memo. An empty key is read, and rejected later.
    fn key_of(&self, mut row: Row, judge: &Judge, scratch: &mut Vec<u8>) -> (Vec<Value>, RowHash, RowHash) {
        let hash = row.values.pop().unwrap_or(Value::Null);
        let places = judge.mapping.key_columns();
        let mut values = vec![Value::Null; self.import.columns.len()];
        for (at, value) in places.iter().zip(&row.values) {
            if let Some(place) = values.get_mut(*at) {
                *place = value.clone();
            }
        }
        let whole = Row { columns: self.import.columns.clone(), values };
        let key = judge.mapping.key_of(&whole, RowHash(0), scratch);
        let memo_key = memo_key(key, &hash, scratch);
        (row.values, key, memo_key)
    }

    /// Adds rows that were read to a comparison, except for those that were added already, and notes their hashes.
    async fn see_rows(
        &mut self,
        rows: HashedRows,
        added: &mut HashMap<RowHash, Known>,
        by_hash: &mut ByHash,
        comparison: &mut dyn Comparison,
        judge: &Judge,
        seen: &mut Seen,
    ) -> Result<(), Error> {
        let HashedRows { batch, hashes } = rows;
        seen.measure(&batch.items);
        let mut versions = judge.versions(&batch, &mut seen.scratch);
        by_hash.note(&versions, &hashes, &mut seen.scratch).await?;
        // Of several rows with one key, one was added at most.
        let before: Vec<Option<Known>> = versions.rows.iter().map(|row| added.remove(&row.key)).collect();
        let new = versions.rows.iter().zip(&before).filter(|(_, known)| known.is_none());
        let new: Vec<RowVersion> = new.map(|(row, _)| *row).collect();
        let mut known = comparison.add(&new).await?.into_iter();
        let before = before.into_iter();
        versions.known = before.map(|before| before.or_else(|| known.next()).unwrap_or_default()).collect();
        for piece in &batch.malformed {
            match piece.row.as_deref().and_then(|partial| judge.partial(partial, &mut seen.scratch)) {
                Some(version) => {
                    if added.remove(&version.key).is_none() {
                        comparison.add(&[version]).await?;
                    }
                    self.about_to_be_sent.remove(&version.key);
                }
                None => seen.unreadable += 1,
            }
        }
        self.hold((batch, Vec::new()), &versions, judge, seen).await
    }
}

fn unreadable_key(import: &Import) -> Error {
    Error::new(ErrorKind::Unexpected, format!("a key of the rows of `{}` cannot be read", import.sync))
        .hint("write `compare: rows`: the row is then listed, and the others are compared")
}
