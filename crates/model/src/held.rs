//! Rows that are held until it is known what is done about them.

use async_trait::async_trait;

use crate::bookkeeping::SourceHashes;
use crate::{Error, Origin, Row};

/// Some rows, in the order in which they were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeldBatch {
    /// The rows.
    pub rows: Vec<Row>,
    /// The origin of each row; empty if rows have none.
    pub origins: Vec<Origin>,
    /// What the source has made of each row; empty if it makes no hashes.
    pub hashes: Vec<SourceHashes>,
}

/// Holds rows, and gives them back in their order.
///
/// Memory does not follow the number of rows. What is on disk is sealed with a key that only this process knows, and
/// is gone with it.
#[async_trait]
pub trait HeldRows: Send + Sync {
    /// Adds rows. Returns false if they do not fit: then no row is held, and no row fits any more.
    ///
    /// # Errors
    /// If they cannot be written.
    async fn add(&mut self, rows: HeldBatch) -> Result<bool, Error>;

    /// Takes the next rows, at most `limit`; none at the end. No row is added afterwards.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn next(&mut self, limit: usize) -> Result<HeldBatch, Error>;
}
