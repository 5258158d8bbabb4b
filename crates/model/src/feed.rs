//! A stream of batches that knows where to read on.

use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{Error, Reason, Row};

/// A place in a feed. Only the one who made it can read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checkpoint(pub serde_json::Value);

/// A piece of input that could not be made a row: a torn line, a broken message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it stands, for example `orders.csv:17`.
    pub place: String,
    /// What it says, as far as it could be read.
    pub payload: String,
    /// Why it is no row.
    pub reason: Reason,
}

/// Some items and the place behind them.
#[derive(Clone, Debug)]
pub struct Batch<T> {
    /// What was read, in order.
    pub items: Vec<T>,
    /// What could not be read; it never reaches the destination.
    pub unreadable: Vec<Unreadable>,
    /// Where to read on once every item has its outcome. `None` where the
    /// engine keeps the place itself, as with a cursor column.
    pub checkpoint: Option<Checkpoint>,
    /// Rows that were seen but wait for their time: a cursor in the future.
    pub waiting: u64,
}

impl<T> Batch<T> {
    /// A batch of items alone.
    pub fn of(items: Vec<T>) -> Batch<T> {
        Batch { items, unreadable: Vec::new(), checkpoint: None, waiting: 0 }
    }
}

/// Batches in order. After an error, read again from the last settled place.
pub type Feed<T = Row> = BoxStream<'static, Result<Batch<T>, Error>>;
