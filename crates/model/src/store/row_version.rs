//! Which versions of rows were committed.

use crate::{RowHash, Value};

/// Committed rows of one span of the cursor, kept while a later run may read them again.
#[derive(Clone, Debug, PartialEq)]
pub struct LookbackChunk {
    /// Chunks of a sync are numbered in the order of the cursor.
    pub seq: u64,
    /// The highest cursor value among the rows; `None` if there is no cursor.
    pub high: Option<Value>,
    /// The rows, in any order; a row that occurs twice may be listed twice.
    pub rows: Vec<RowVersion>,
}

/// A row under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowVersion {
    /// Hash of the key columns or of the origin, as in [`RowResult::key`](super::RowResult::key).
    pub key: RowHash,
    /// Hash of this version, as in [`RowResult::row`](super::RowResult::row).
    pub row: RowHash,
}

/// The last committed rows under one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// No row was committed under the key.
    #[default]
    Nothing,
    /// One row was, which is the usual case.
    One(RowHash),
    /// One run committed several rows under the key.
    Several(Vec<RowHash>),
}

impl Known {
    /// Returns the rows.
    pub fn rows(&self) -> &[RowHash] {
        match self {
            Known::Nothing => &[],
            Known::One(row) => std::slice::from_ref(row),
            Known::Several(rows) => rows,
        }
    }

    /// Leaves nothing if the row is gone. A run acts on what is gone after everything else.
    #[must_use]
    pub fn live(self) -> Known {
        match self.rows().iter().any(|row| row.is_removed()) {
            true => Known::Nothing,
            false => self,
        }
    }

    /// Adds a row, unless it is there.
    pub fn add(&mut self, row: RowHash) {
        match self {
            Known::Nothing => *self = Known::One(row),
            Known::One(known) if *known != row => *self = Known::Several(vec![*known, row]),
            Known::Several(rows) if !rows.contains(&row) => rows.push(row),
            Known::One(_) | Known::Several(_) => {}
        }
    }
}
