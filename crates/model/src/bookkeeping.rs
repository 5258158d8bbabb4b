//! What a mirror keeps at its source, so that the source compares (`state: source`).

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::{Batch, Error, Row, RowHash};

/// Hashes that a source has made of a row: of its key, and of the columns that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceHashes {
    /// Of its key.
    pub key: u128,
    /// Of the columns that are read.
    pub row: u128,
    /// Whether the source has other rows with the same key. A source whose keys are unique has none.
    pub several: bool,
}

/// Rows that a source has found to differ, and its hashes of them.
#[derive(Clone, Debug)]
pub struct DifferingRows {
    /// The rows, and those that could not be read whole.
    pub batch: Batch<Row>,
    /// The hashes of the rows.
    pub hashes: Vec<SourceHashes>,
    /// The hashes of those that could not be read whole.
    pub malformed: Vec<SourceHashes>,
}

/// A row that was read, or has a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedRow {
    /// Hash of its key in the ledger.
    pub key: RowHash,
    /// The hashes of its source.
    pub hashes: SourceHashes,
    /// Whether it was committed as it is. Otherwise its entry has no hash.
    pub known: bool,
}

/// An entry for each key that a mirror has committed, at the source: the hash of the row that was committed.
///
/// The ledger decides; an entry only spares a row that is as it was the way to Tidegate. So an entry
/// never says more than the ledger: before a row is sent, the hash of its entry is removed, and it is
/// written once the row is committed. A crash in between leaves an entry without a hash, and the next run
/// compares the row with the ledger. Entries are those of all keys once [`Bookkeeping::complete`] has said so.
#[async_trait]
pub trait Bookkeeping: Send + Sync {
    /// Returns the name of the entries to continue with, and whether they are those of `name`, and complete. If they
    /// are not, all entries are removed, and the name is a new one. A dry run changes nothing.
    ///
    /// # Errors
    /// If the entries cannot be read or made.
    async fn begin(&self, name: Option<&str>) -> Result<(String, bool), Error>;

    /// Returns the rows whose hash is not the one of their entry, and those whose key other rows have, too; all
    /// rows if `all`.
    ///
    /// # Errors
    /// If reading cannot begin. A failure afterwards is an item of the feed and ends it.
    async fn rows(
        &self,
        all: bool,
        batch_rows: usize,
    ) -> Result<BoxStream<'static, Result<DifferingRows, Error>>, Error>;

    /// Returns the number of rows of the source that have a key without nulls.
    ///
    /// # Errors
    /// If they cannot be counted.
    async fn count(&self) -> Result<u64, Error>;

    /// Returns keys of entries whose rows are gone, in their order, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// If the entries cannot be compared.
    async fn removed(&self, after: Option<RowHash>, limit: usize) -> Result<Vec<RowHash>, Error>;

    /// Notes rows; of those under one key the last one counts. They may be held until [`Bookkeeping::flush`].
    ///
    /// # Errors
    /// If the entries cannot be written.
    async fn note(&self, rows: &[NotedRow]) -> Result<(), Error>;

    /// Writes what is held. Called before any of the rows is sent that were read, and at the end of a run.
    ///
    /// # Errors
    /// As [`Bookkeeping::note`].
    async fn flush(&self) -> Result<(), Error>;

    /// Notes keys that the ledger knows and whose rows are gone.
    ///
    /// # Errors
    /// As [`Bookkeeping::note`].
    async fn note_removed(&self, keys: &[RowHash]) -> Result<(), Error>;

    /// Notes that each key that the ledger knows has an entry, once all of them are written.
    ///
    /// # Errors
    /// As [`Bookkeeping::note`].
    async fn complete(&self) -> Result<(), Error>;

    /// Removes the hashes of rows that are about to be sent and were not noted.
    ///
    /// # Errors
    /// As [`Bookkeeping::note`].
    async fn doubt(&self, keys: &[RowHash]) -> Result<(), Error>;

    /// Removes the entries of these keys.
    ///
    /// # Errors
    /// As [`Bookkeeping::note`].
    async fn forget(&self, keys: &[RowHash]) -> Result<(), Error>;

    /// Returns whether it keeps what it is told; a dry run does not.
    fn keeps(&self) -> bool;
}
