//! All rows of a source beside those that were committed.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::{Known, RowVersion};
use crate::{Error, RowHash};

/// How the rows of a source differ from those that were committed, counted by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// Keys that were committed by earlier runs.
    pub known: u64,
    /// Keys that were not committed before.
    pub added: u64,
    /// Keys whose row has other values than the one that was committed.
    pub changed: u64,
    /// Keys whose row is the one that was committed.
    pub unchanged: u64,
    /// Committed keys that the source no longer has.
    pub removed: u64,
    /// Keys that more than one row of the source has. They are counted in none of the above.
    pub duplicate_keys: u64,
}

/// The result of a [`Comparison`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// How many rows are known, added, changed and removed.
    pub compared: Compared,
    /// Keys that more than one row has: the first [`Differences::DUPLICATES_MAX`] of them.
    pub duplicates: Vec<RowHash>,
    /// Keys whose row is not the one that was committed, although [`Comparison::add`] said so.
    pub overtaken: u64,
}

impl Differences {
    /// The most duplicate keys that are listed. A source with more of them has no key.
    pub const DUPLICATES_MAX: usize = 100_000;

    /// Counts one key: the rows of the source under it, and what was committed under it.
    pub fn count(&mut self, key: RowHash, rows: &[RowHash], known: &[RowHash]) {
        let compared = &mut self.compared;
        compared.known += u64::from(!known.is_empty());
        match (rows, known) {
            ([], []) => {}
            ([], _) => compared.removed += 1,
            ([_], []) => compared.added += 1,
            ([row], known) if known.iter().any(|known| known.is_row(*row)) => compared.unchanged += 1,
            ([_], _) => compared.changed += 1,
            _ => {
                compared.duplicate_keys += 1;
                if self.duplicates.len() < Differences::DUPLICATES_MAX {
                    self.duplicates.push(key);
                }
            }
        }
    }
}

/// Compares all rows of a source with those that were committed before it was opened.
///
/// Memory does not follow the number of rows.
#[async_trait]
pub trait Comparison: Send + Sync {
    /// Adds rows of the source, in any order. Returns what was committed last under each key. For a row
    /// that an earlier comparison has met this may be what was committed then; if something else has been
    /// since, [`Differences::overtaken`] counts it.
    ///
    /// # Errors
    /// If what is remembered cannot be read, or the rows cannot be noted.
    async fn add(&mut self, rows: &[RowVersion]) -> Result<Vec<Known>, Error>;

    /// Compares, once every row of the source was added.
    ///
    /// # Errors
    /// As [`Comparison::add`].
    async fn end(&mut self) -> Result<Differences, Error>;

    /// Returns the next removed keys in their order, at most `limit`; empty at the end. Called
    /// after [`Comparison::end`].
    ///
    /// # Errors
    /// As [`Comparison::add`].
    async fn removed(&mut self, limit: usize) -> Result<Vec<RowHash>, Error>;
}

/// What the hashes of a source stood for when its rows were read: under a hash of a key and of the hash of
/// its row, the version of the row. It holds whenever it is looked at, so it may be lost, and a run that fails
/// leaves nothing wrong in it.
#[async_trait]
pub trait HashMemo: Send + Sync {
    /// Returns whether an earlier run has kept one.
    fn is_there(&self) -> bool;

    /// Returns the versions under these hashes, in their order.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn find(&self, hashes: &[RowHash]) -> Result<Vec<Option<RowHash>>, Error>;

    /// Adds entries to the next memo, in any order.
    ///
    /// # Errors
    /// If they cannot be noted.
    async fn add(&mut self, entries: &[RowVersion]) -> Result<(), Error>;

    /// Keeps what was added in place of what was there.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn keep(self: Box<Self>) -> Result<(), Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_counted_once() {
        let mut differences = Differences::default();
        let (old, new) = (RowHash(1 << 8), RowHash(2 << 8));
        for (key, rows, known) in [
            (1, &[old][..], &[][..]),
            (2, &[old], &[old.with_changes(3)]),
            (3, &[new], &[old]),
            (4, &[], &[old]),
            (5, &[old, new], &[old]),
            (6, &[new, new], &[]),
        ] {
            differences.count(RowHash(key), rows, known);
        }
        let compared =
            Compared { known: 4, added: 1, changed: 1, unchanged: 1, removed: 1, duplicate_keys: 2 };
        assert_eq!(
            differences,
            Differences { compared, duplicates: vec![RowHash(5), RowHash(6)], overtaken: 0 }
        );
    }
}
