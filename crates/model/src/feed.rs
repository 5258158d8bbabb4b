//! A stream of batches, each with the checkpoint to resume from.

use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{Error, Reason, Row, RowHash, Text};

/// A position in a feed, opaque to all but its maker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checkpoint(pub serde_json::Value);

/// Input that could not be parsed into a row: an incomplete line, a broken message.
#[derive(Clone, Debug, PartialEq)]
pub struct MalformedRecord {
    /// Its location, for example `orders.csv:17`.
    pub location: String,
    /// Its text, as far as it could be read; empty if `row` says more.
    pub payload: String,
    /// Why it is not a row.
    pub reason: Reason,
    /// The row as far as it could be read, so that it keeps its key, its user and its cursor.
    pub row: Option<Box<PartialRow>>,
    /// How many items of its batch were read before it: of two rows with one key, the later one
    /// decides. [`Batch::push_malformed`] sets it.
    pub items_before: usize,
}

impl MalformedRecord {
    /// Creates one of which no value could be read.
    pub fn new(location: impl Into<String>, payload: impl Into<String>, reason: Reason) -> MalformedRecord {
        MalformedRecord {
            location: location.into(),
            payload: payload.into(),
            reason,
            row: None,
            items_before: 0,
        }
    }

    /// Creates a row of which some values could not be read.
    pub fn partial(location: impl Into<String>, reason: Reason, row: PartialRow) -> MalformedRecord {
        MalformedRecord { row: Some(Box::new(row)), ..MalformedRecord::new(location, "", reason) }
    }
}

/// A row of which some values could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialRow {
    /// The row. A value that could not be read is kept as the bytes that the source gave
    /// ([`crate::Value::Bytes`]), so that different rows stay different.
    pub row: Row,
    /// The indexes of the values that could not be read.
    pub unreadable: Vec<usize>,
    /// Its origin, if the source knows one.
    pub origin: Option<Origin>,
}

/// Identifies an item that has no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Its location in the source: `name` followed by `number`, for example `orders.csv:` and 17.
    Location {
        /// The text before the number; shared by the items of one file or partition.
        name: Text,
        /// The line, row or offset.
        number: u64,
    },
    /// The hash under which the ledger knows it already.
    Known(RowHash),
    /// The source no longer has the row under this key.
    Removed(RowHash),
}

impl Origin {
    /// Returns the hash of a location ([`MalformedRecord::location`]). A row that is fixed at its
    /// location keeps the hash.
    pub fn hash_of(location: &str, scratch: &mut Vec<u8>) -> RowHash {
        RowHash::of_values([&crate::Value::Text(location.into())], scratch)
    }

    /// Returns the hash that identifies the origin.
    pub fn hash(&self, scratch: &mut Vec<u8>) -> RowHash {
        match self {
            Origin::Known(hash) | Origin::Removed(hash) => *hash,
            Origin::Location { .. } => Origin::hash_of(&self.to_string(), scratch),
        }
    }
}

impl std::fmt::Display for Origin {
    /// Writes the location; nothing if there is none.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Location { name, number } => write!(f, "{name}{number}"),
            Origin::Known(_) | Origin::Removed(_) => Ok(()),
        }
    }
}

/// Some items and the checkpoint after them.
#[derive(Clone, Debug)]
pub struct Batch<T> {
    /// What was read, in order.
    pub items: Vec<T>,
    /// The origin of each item, in their order; empty if items have none.
    pub origins: Vec<Origin>,
    /// Input that could not be parsed, in order; it never reaches the destination.
    pub malformed: Vec<MalformedRecord>,
    /// Locations ([`MalformedRecord::location`]) at which earlier malformed input is fixed. A
    /// location that was never malformed has no effect.
    pub fixed: Vec<String>,
    /// The checkpoint to resume from once every item has its outcome. `None` if the engine
    /// keeps the position itself, as with a cursor column.
    pub checkpoint: Option<Checkpoint>,
    /// Rows that were seen but are not due: their cursor is in the future.
    pub not_due: u64,
    /// Rows that were read and left out, since they are as they were committed.
    pub unchanged: u64,
    /// Rows that were read and left out, since changes of them are ignored.
    pub ignored: u64,
}

impl<T> Batch<T> {
    /// Creates a batch of items, without a checkpoint.
    pub fn of(items: Vec<T>) -> Batch<T> {
        Batch {
            items,
            origins: Vec::new(),
            malformed: Vec::new(),
            fixed: Vec::new(),
            checkpoint: None,
            not_due: 0,
            unchanged: 0,
            ignored: 0,
        }
    }

    /// Adds input that could not be parsed, after the items that the batch has by now.
    pub fn push_malformed(&mut self, record: MalformedRecord) {
        self.malformed.push(MalformedRecord { items_before: self.items.len(), ..record });
    }

    /// Appends a batch that was read after this one. Items have origins in both or in neither.
    pub fn append(&mut self, more: Batch<T>) {
        let Batch { items, origins, malformed, fixed, checkpoint, not_due, unchanged, ignored } = more;
        let before = self.items.len();
        self.malformed.extend(
            malformed
                .into_iter()
                .map(|record| MalformedRecord { items_before: before + record.items_before, ..record }),
        );
        self.items.extend(items);
        self.origins.extend(origins);
        self.fixed.extend(fixed);
        self.checkpoint = checkpoint.or(self.checkpoint.take());
        self.not_due += not_due;
        self.unchanged += unchanged;
        self.ignored += ignored;
    }
}

/// Batches in order. After an error, read again from the last checkpoint.
pub type Feed<T = Row> = BoxStream<'static, Result<Batch<T>, Error>>;
