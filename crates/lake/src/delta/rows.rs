//! Rows of Arrow batches, on their way into a feed.

use std::sync::Arc;

use arrow_array::RecordBatch;
use delta_kernel::EngineData;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use tidegate_model::{Batch, Checkpoint, Columns, Error, ErrorKind, Row, Value};
use tidegate_transport::arrow;
use tidegate_transport::sql::rows::{BATCH_BYTES, held_bytes, malformed};

use crate::feed::Sender;

/// Why a read ends early.
pub(super) enum Stop {
    /// It cannot continue.
    Failed(Error),
    /// The rest is not wanted.
    Dropped,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Collects rows into batches.
pub(super) struct Rows {
    label: String,
    columns: Arc<Columns>,
    limit: usize,
    sender: Sender,
    batch: Batch<Row>,
    bytes: usize,
}

/// Where the described columns are in a batch of the library; `None` for one that it lacks.
pub(super) struct Indexes(Vec<Option<usize>>);

impl Rows {
    /// Sends batches of up to `limit` rows with these columns. `label` names the table.
    pub(super) fn new(label: String, columns: Arc<Columns>, limit: usize, sender: Sender) -> Rows {
        let batch = Batch::of(Vec::new());
        Rows { label, columns, limit: limit.max(1), sender, batch, bytes: 0 }
    }

    /// Returns where the columns are in these batches.
    pub(super) fn indexes(&self, record: &RecordBatch) -> Indexes {
        let schema = record.schema();
        let at = |name: &String| schema.index_of(name).ok();
        Indexes(self.columns.names().iter().map(at).collect())
    }

    /// Adds a row.
    pub(super) fn add(&mut self, record: &RecordBatch, indexes: &Indexes, at: usize) {
        let mut values = Vec::with_capacity(indexes.0.len());
        let mut unreadable = Vec::new();
        for (index, column) in indexes.0.iter().enumerate() {
            let value = match column {
                None => Value::Absent,
                Some(column) => arrow::value(record.column(*column), at).unwrap_or_else(|reason| {
                    unreadable.push((index, reason));
                    Value::Null
                }),
            };
            self.bytes += held_bytes(&value);
            values.push(value);
        }
        let row = Row { columns: Arc::clone(&self.columns), values };
        match unreadable.is_empty() {
            true => self.batch.items.push(row),
            false => self.batch.push_malformed(malformed(&self.label, row, &unreadable)),
        }
    }

    /// Returns whether the batch has to be sent before the next row is added.
    pub(super) fn is_full(&self) -> bool {
        self.batch.items.len() + self.batch.malformed.len() >= self.limit || self.bytes >= BATCH_BYTES
    }

    /// Returns whether there is no row to send.
    pub(super) fn is_empty(&self) -> bool {
        self.batch.items.is_empty() && self.batch.malformed.is_empty()
    }

    /// Sends the batch, which has this checkpoint after it.
    pub(super) fn send(&mut self, checkpoint: Option<Checkpoint>) -> Result<(), Stop> {
        let batch = std::mem::replace(&mut self.batch, Batch::of(Vec::new()));
        // Each batch has its own list of names: threads that drop rows do not wait for each other.
        self.columns = self.columns.apart();
        self.bytes = 0;
        self.sender.blocking_send(Ok(Batch { checkpoint, ..batch })).map_err(|_| Stop::Dropped)
    }

    /// Sends the error that ended the read.
    pub(super) fn end(self, stop: Stop) {
        if let Stop::Failed(error) = stop {
            let _ = self.sender.blocking_send(Err(error));
        }
    }

    /// Returns where the batches go.
    pub(super) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Returns what the table is called in messages.
    pub(super) fn label(&self) -> &str {
        &self.label
    }
}

/// Returns the rows of the library as Arrow has them.
///
/// # Errors
/// [`ErrorKind::Internal`] for rows in another form, which this library does not make.
pub(super) fn record(label: &str, data: Box<dyn EngineData>) -> Result<RecordBatch, Error> {
    let data = ArrowEngineData::try_from_engine_data(data).map_err(|cause| {
        Error::new(ErrorKind::Internal, format!("reading {label}: rows in an unknown form")).caused_by(cause)
    })?;
    Ok(data.record_batch().clone())
}
