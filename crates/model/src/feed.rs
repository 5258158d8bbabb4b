//! A stream of batches that knows where to read on.

use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{Error, Reason, Row};

/// A position in a feed, opaque to all but its maker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checkpoint(pub serde_json::Value);

/// Input that could not be parsed into a row: an incomplete line, a broken message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedRecord {
    /// Its location, for example `orders.csv:17`.
    pub location: String,
    /// Its text, as far as it could be read.
    pub payload: String,
    /// Why it is not a row.
    pub reason: Reason,
}

/// Some items and the checkpoint behind them.
#[derive(Clone, Debug)]
pub struct Batch<T> {
    /// What was read, in order.
    pub items: Vec<T>,
    /// Input that could not be parsed; it never reaches the destination.
    pub malformed: Vec<MalformedRecord>,
    /// Where something could not be read before and nothing is wrong any more, as
    /// [`MalformedRecord::place`] says it. Places where nothing was wrong do no harm.
    pub fixed: Vec<String>,
    /// The checkpoint to resume from once every item has its outcome. `None` if the engine
    /// keeps the position itself, as with a cursor column.
    pub checkpoint: Option<Checkpoint>,
    /// Rows that were seen but are not due: their cursor is in the future.
    pub not_due: u64,
}

impl<T> Batch<T> {
    /// A batch of items alone.
    pub fn of(items: Vec<T>) -> Batch<T> {
        Batch { items, malformed: Vec::new(), fixed: Vec::new(), checkpoint: None, not_due: 0 }
    }
}

/// Batches in order. After an error, read again from the last checkpoint.
pub type Feed<T = Row> = BoxStream<'static, Result<Batch<T>, Error>>;
