//! The rows that were committed last, by key: what a run compares with what it reads.
//!
//! Each commit adds its rows as one chunk in the same transaction ([`block`]). Many chunks are
//! merged into sorted runs, which are files ([`file`]) that a row of the table names: what no
//! row names is no part of it, so a crash at any step leaves one valid state ([`compact`]). Machines
//! that share a database keep them in it, or in a bucket ([`run_files`]).
//! A run sees the state of its beginning ([`view`]), and memory does not follow the rows.
//!
//! With `mode: mirror` everything is remembered, and compared with all rows of the source
//! ([`compare`]); rows that stand where they stood are recognized without a search ([`order`]).
//!
//! A record is 32 bytes: key and row hash, in the order of their numbers.

pub(crate) mod block;
pub(crate) mod compact;
pub(crate) mod compaction;
pub(crate) mod compare;
pub(crate) mod file;
pub(crate) mod memo;
mod merge;
mod order;
pub(crate) mod run_files;
mod spool;
mod tiers;
pub(crate) mod view;

use tidegate_model::store::RowVersion;
use tidegate_model::{Error, ErrorKind, RowHash};

/// Bytes of a record.
pub(crate) const RECORD_BYTES: usize = 32;

fn encode(row: RowVersion) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..16].copy_from_slice(&row.key.0.to_be_bytes());
    record[16..].copy_from_slice(&row.row.0.to_be_bytes());
    record
}

fn decode(record: &[u8; RECORD_BYTES]) -> RowVersion {
    let mut halves = [[0; 16]; 2];
    halves[0].copy_from_slice(&record[..16]);
    halves[1].copy_from_slice(&record[16..]);
    let [key, row] = halves.map(|half| RowHash(u128::from_be_bytes(half)));
    RowVersion { key, row }
}

/// What is remembered of committed rows cannot be read.
pub(crate) fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Storage, format!("the remembered rows of a sync are damaged: {what}")).hint(
        "restore the data folder from a copy, or run `tidegate reset` for the sync: \
         all of its rows are sent again",
    )
}
