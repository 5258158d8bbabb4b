//! Rows as columns: their hashes, and what people search for.

use crate::RowHash;
use crate::store::RowVersion;

/// Rows as columns, for what is true of many rows at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowColumns {
    keys: Vec<RowHash>,
    rows: Vec<RowHash>,
    key_texts: TextColumn,
    users: TextColumn,
}

impl RowColumns {
    /// Creates columns without rows and with room for `rows` of them.
    pub fn with_capacity(rows: usize) -> RowColumns {
        RowColumns {
            keys: Vec::with_capacity(rows),
            rows: Vec::with_capacity(rows),
            key_texts: TextColumn { text: String::new(), ends: Vec::with_capacity(rows) },
            users: TextColumn { text: String::new(), ends: Vec::with_capacity(rows) },
        }
    }

    /// Adds a row; see [`RowResult`](crate::store::RowResult).
    pub fn push(&mut self, version: RowVersion, key_text: impl FnOnce(&mut String), user: &str) {
        self.keys.push(version.key);
        self.rows.push(version.row);
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

    /// Returns the hashes of both, row by row.
    pub fn versions(&self) -> impl Iterator<Item = RowVersion> {
        self.keys.iter().zip(&self.rows).map(|(&key, &row)| RowVersion { key, row })
    }

    /// Returns their keys as text.
    pub fn key_texts(&self) -> &TextColumn {
        &self.key_texts
    }

    /// Returns their users.
    pub fn users(&self) -> &TextColumn {
        &self.users
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
