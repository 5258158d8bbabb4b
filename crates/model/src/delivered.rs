//! Rows that were delivered, as the ledger gets them.

use crate::RowHash;
use crate::row_columns::{RowColumns, TextColumn};
use crate::row_status::{RowResult, RowStatus};
use crate::store::RowVersion;

/// Delivered rows. Columnar, since almost all rows of a batch are delivered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivered {
    indexes: Vec<u32>,
    rows: RowColumns,
}

impl Delivered {
    /// Creates an empty list with room for `rows` rows.
    pub fn with_capacity(rows: usize) -> Delivered {
        Delivered { indexes: Vec::with_capacity(rows), rows: RowColumns::with_capacity(rows) }
    }

    /// Returns rows with the index of each in its batch.
    pub fn of(indexes: Vec<u32>, rows: RowColumns) -> Delivered {
        Delivered { indexes, rows }
    }

    /// Adds the row with this index in its batch; see [`RowResult`] for the rest.
    pub fn push(
        &mut self,
        index: u32,
        key: RowHash,
        row: RowHash,
        key_text: impl FnOnce(&mut String),
        user: &str,
    ) {
        self.add(index, |rows| rows.push(RowVersion { key, row }, key_text, user));
    }

    /// Adds the row with this index in its batch, which `push` adds to the columns.
    pub fn add(&mut self, index: u32, push: impl FnOnce(&mut RowColumns)) {
        self.indexes.push(index);
        push(&mut self.rows);
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the hashes of their keys.
    pub fn keys(&self) -> &[RowHash] {
        self.rows.keys()
    }

    /// Returns the hashes of the rows.
    pub fn rows(&self) -> &[RowHash] {
        self.rows.rows()
    }

    /// Returns the hashes of both, row by row.
    pub fn versions(&self) -> impl Iterator<Item = RowVersion> {
        self.rows.versions()
    }

    /// Returns the versions of the rows whose index in their batch is `first` or higher.
    pub fn versions_from(&self, first: u32) -> impl Iterator<Item = RowVersion> {
        let indexed = self.indexes.iter().zip(self.versions());
        indexed.filter(move |(index, _)| **index >= first).map(|(_, version)| version)
    }

    /// Their keys as text.
    pub fn key_texts(&self) -> &TextColumn {
        self.rows.key_texts()
    }

    /// Their users.
    pub fn users(&self) -> &TextColumn {
        self.rows.users()
    }

    /// Returns each result with its index in the batch.
    pub fn results(&self) -> impl Iterator<Item = (u32, RowResult)> {
        let texts = self.key_texts().iter().zip(self.users().iter());
        let rows = self.indexes.iter().zip(self.versions().zip(texts));
        rows.map(|(&index, (RowVersion { key, row }, (key_text, user)))| {
            let status = RowStatus::Delivered;
            (
                index,
                RowResult { key, key_text: key_text.into(), row, user: user.into(), status, payload: None },
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_comes_back_row_by_row() {
        let mut delivered = Delivered::with_capacity(1);
        for (index, key_text, user) in [(3, "a/1", "ann"), (0, "", ""), (7, "é", "bob")] {
            let hash = RowHash(u128::from(index));
            delivered.push(index, hash, RowHash(hash.0 + 1), |out| out.push_str(key_text), user);
        }

        let results: Vec<_> = delivered.results().collect();

        let told: Vec<_> =
            results.iter().map(|(at, row)| (*at, &*row.key_text, &*row.user, row.key.0)).collect();
        assert_eq!(told, [(3, "a/1", "ann", 3), (0, "", "", 0), (7, "é", "bob", 7)]);
        assert!(
            results.iter().all(|(_, row)| row.status == RowStatus::Delivered && row.row.0 == row.key.0 + 1)
        );
        assert_eq!(delivered.key_texts().joined(), "a/1é");
        assert_eq!(delivered.users().lengths().collect::<Vec<_>>(), [3, 0, 3]);
    }
}
