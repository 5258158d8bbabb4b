//! Rows that were delivered, as the ledger gets them.

use crate::RowHash;
use crate::row_status::{RowResult, RowStatus};
use crate::store::RowVersion;

/// Delivered rows. Columnar, since almost all rows of a batch are delivered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivered {
    indexes: Vec<u32>,
    keys: Vec<RowHash>,
    rows: Vec<RowHash>,
    key_texts: TextColumn,
    users: TextColumn,
}

impl Delivered {
    /// Creates an empty list with room for `rows` rows.
    pub fn with_capacity(rows: usize) -> Delivered {
        Delivered {
            indexes: Vec::with_capacity(rows),
            keys: Vec::with_capacity(rows),
            rows: Vec::with_capacity(rows),
            key_texts: TextColumn { text: String::new(), ends: Vec::with_capacity(rows) },
            users: TextColumn { text: String::new(), ends: Vec::with_capacity(rows) },
        }
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
        self.indexes.push(index);
        self.keys.push(key);
        self.rows.push(row);
        self.key_texts.push(key_text);
        self.users.push(|text| text.push_str(user));
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
        &self.keys
    }

    /// Returns the hashes of the rows.
    pub fn rows(&self) -> &[RowHash] {
        &self.rows
    }

    /// Returns the versions of the rows whose index in their batch is `first` or higher.
    pub fn versions_from(&self, first: u32) -> impl Iterator<Item = RowVersion> {
        let versions = self.keys.iter().zip(&self.rows).map(|(&key, &row)| RowVersion { key, row });
        self.indexes.iter().zip(versions).filter(move |(index, _)| **index >= first).map(|(_, version)| version)
    }

    /// Their keys as text.
    pub fn key_texts(&self) -> &TextColumn {
        &self.key_texts
    }

    /// Their users.
    pub fn users(&self) -> &TextColumn {
        &self.users
    }

    /// Returns each result with its index in the batch.
    pub fn results(&self) -> impl Iterator<Item = (u32, RowResult)> {
        let texts = self.key_texts.iter().zip(self.users.iter());
        let hashes = self.keys.iter().zip(&self.rows);
        self.indexes.iter().zip(hashes.zip(texts)).map(|(&index, ((&key, &row), (key_text, user)))| {
            let status = RowStatus::Delivered;
            (
                index,
                RowResult { key, key_text: key_text.into(), row, user: user.into(), status, payload: None },
            )
        })
    }
}

/// More bytes than this are not expected of a text before it is there.
const EXPECTED_MAX: usize = 64;

/// Texts in one buffer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextColumn {
    text: String,
    ends: Vec<usize>,
}

impl TextColumn {
    fn push(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.text);
        if self.ends.is_empty() {
            // The others are about as long: their room is made at once.
            self.text.reserve(self.text.len().min(EXPECTED_MAX) * self.ends.capacity());
        }
        self.ends.push(self.text.len());
    }

    /// Returns all texts joined, without separators.
    pub fn joined(&self) -> &str {
        &self.text
    }

    /// Returns the length of each text, in bytes.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        let mut start = 0;
        self.ends.iter().map(move |&end| end - std::mem::replace(&mut start, end))
    }

    /// Returns the texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.spans().map(|(start, end)| &self.text[start..end])
    }

    fn spans(&self) -> impl Iterator<Item = (usize, usize)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied())
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
