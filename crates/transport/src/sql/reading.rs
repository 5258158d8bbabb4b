//! A read as a feed: rows in batches, whatever the wire is that they arrive by.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tidegate_model::{Batch, Columns, Error, Feed, Reason, Row, Value};

use super::rows::{BATCH_BYTES, held_bytes, malformed};

/// The wire of one read. Dropping it ends the read at the other side, too.
#[async_trait]
pub trait Wire: Send + 'static {
    /// Rows that arrive together.
    type Part: Send;

    /// Returns the next rows; `None` after the last ones. The first call submits the statement.
    ///
    /// # Errors
    /// What keeps the rows from arriving.
    async fn next(&mut self) -> Result<Option<Self::Part>, Error>;

    /// Decodes the next row of a part into `cells`, in the order of the columns. Returns `false` after the
    /// last row of the part.
    ///
    /// # Errors
    /// A row that has not the form of the wire.
    fn row(&mut self, part: &mut Self::Part, cells: &mut Cells) -> Result<bool, Error>;

    /// Counts the rows that are not due. Called once, after the last part.
    ///
    /// # Errors
    /// What keeps them from being counted.
    async fn not_due(&mut self) -> Result<u64, Error>;
}

/// The cells of one row, while it is decoded.
#[derive(Debug, Default)]
pub struct Cells {
    values: Vec<Value>,
    unreadable: Vec<(usize, Reason)>,
    bytes: usize,
}

impl Cells {
    /// Appends a cell: its value, or its bytes as far as there are some and why it has no value.
    pub fn push(&mut self, cell: Result<Value, (Bytes, Reason)>) {
        let value = cell.unwrap_or_else(|(raw, reason)| {
            self.unreadable.push((self.values.len(), reason));
            Value::Bytes(raw)
        });
        self.bytes += held_bytes(&value);
        self.values.push(value);
    }
}

/// Returns a read as a feed of batches of at most `batch_rows` rows. Nothing is asked before the first batch
/// is. `label` names the selection in messages.
pub fn feed<W: Wire>(wire: W, label: String, columns: Arc<Columns>, batch_rows: usize) -> Feed<Row> {
    let arrivals = Arrivals { wire, label, columns, limit: batch_rows.max(1), part: None };
    stream::try_unfold(Some(arrivals), |arrivals| async move {
        let Some(mut arrivals) = arrivals else { return Ok(None) };
        let (batch, is_last) = arrivals.next_batch().await?;
        let is_empty = batch.items.is_empty() && batch.malformed.is_empty() && batch.not_due == 0;
        match (is_last, is_empty) {
            (true, true) => Ok(None),
            (true, false) => Ok(Some((batch, None))),
            (false, _) => Ok(Some((batch, Some(arrivals)))),
        }
    })
    .boxed()
}

/// A read and what has arrived of it.
struct Arrivals<W: Wire> {
    wire: W,
    label: String,
    columns: Arc<Columns>,
    limit: usize,
    part: Option<W::Part>,
}

impl<W: Wire> Arrivals<W> {
    async fn next_batch(&mut self) -> Result<(Batch<Row>, bool), Error> {
        let mut batch = Batch::of(Vec::with_capacity(self.limit.min(16_384)));
        // Each batch has its own list of names: threads that drop rows do not wait for each other.
        let columns = self.columns.apart();
        let mut bytes = 0;
        loop {
            let Some(part) = &mut self.part else {
                match self.wire.next().await? {
                    Some(part) => self.part = Some(part),
                    None => break,
                }
                continue;
            };
            let mut cells = Cells { values: Vec::with_capacity(columns.names().len()), ..Cells::default() };
            if !self.wire.row(part, &mut cells)? {
                self.part = None;
                continue;
            }
            let Cells { values, unreadable, bytes: held } = cells;
            let row = Row { columns: Arc::clone(&columns), values };
            match unreadable.is_empty() {
                true => batch.items.push(row),
                false => batch.push_malformed(malformed(&self.label, row, &unreadable)),
            }
            bytes += held;
            if batch.items.len() + batch.malformed.len() >= self.limit || bytes >= BATCH_BYTES {
                return Ok((batch, false));
            }
        }
        batch.not_due = self.wire.not_due().await?;
        Ok((batch, true))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    /// Parts of numbers; 7 cannot be read.
    struct Numbers(Vec<Vec<i64>>, u64);

    #[async_trait]
    impl Wire for Numbers {
        type Part = std::vec::IntoIter<i64>;

        async fn next(&mut self) -> Result<Option<Self::Part>, Error> {
            Ok((!self.0.is_empty()).then(|| self.0.remove(0).into_iter()))
        }

        fn row(&mut self, part: &mut Self::Part, cells: &mut Cells) -> Result<bool, Error> {
            let Some(number) = part.next() else { return Ok(false) };
            cells.push(match number {
                7 => Err((Bytes::from_static(b"seven"), Reason::new("unknown_form", "no number"))),
                number => Ok(Value::Int(number)),
            });
            Ok(true)
        }

        async fn not_due(&mut self) -> Result<u64, Error> {
            Ok(self.1)
        }
    }

    async fn read(parts: Vec<Vec<i64>>, not_due: u64) -> Vec<(usize, usize, u64)> {
        let feed = feed(Numbers(parts, not_due), "t".to_owned(), Columns::new(["n"]), 3);
        let batches: Vec<Batch<Row>> = feed.try_collect().await.unwrap();
        batches.iter().map(|batch| (batch.items.len(), batch.malformed.len(), batch.not_due)).collect()
    }

    #[tokio::test]
    async fn batches_do_not_follow_the_parts_that_rows_arrive_in() {
        assert_eq!(read(vec![vec![1, 2], vec![], vec![3, 4, 5, 6]], 0).await, [(3, 0, 0), (3, 0, 0)]);
        assert_eq!(read(vec![vec![1, 7], vec![3, 4]], 2).await, [(2, 1, 0), (1, 0, 2)]);
        assert_eq!(read(Vec::new(), 0).await, []);
        assert_eq!(read(Vec::new(), 5).await, [(0, 0, 5)]);
    }

    #[tokio::test]
    async fn a_row_with_a_cell_that_cannot_be_read_is_kept_beside_the_others() {
        let feed = feed(Numbers(vec![vec![7]], 0), "t".to_owned(), Columns::new(["n"]), 3);
        let batches: Vec<Batch<Row>> = feed.try_collect().await.unwrap();
        let malformed = &batches[0].malformed[0];
        assert_eq!(
            (malformed.location.as_str(), malformed.reason.message.as_str()),
            ("t, column n", "`n`: no number")
        );
    }
}
