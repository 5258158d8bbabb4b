//! A read as a feed: rows in batches, whatever the wire is that they arrive by.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tidegate_model::{Batch, Columns, Error, Feed, Reason, Row, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

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
    stream::unfold(Read::Ready(Box::new(arrivals)), |read| async move {
        let mut decoding = match read {
            Read::Ready(arrivals) => Decoding::begin(*arrivals),
            Read::Decoding(decoding) => decoding,
            Read::Ended => return None,
        };
        let batch = decoding.next().await?;
        let then = if batch.is_ok() { Read::Decoding(decoding) } else { Read::Ended };
        Some((batch, then))
    })
    .boxed()
}

/// How far a read is.
enum Read<W: Wire> {
    Ready(Box<Arrivals<W>>),
    Decoding(Decoding),
    Ended,
}

/// Batches that are decoded in a task of its own: the next one is made while the one before it is used. The task ends
/// when this is dropped.
struct Decoding {
    batches: mpsc::Receiver<Result<Batch<Row>, Error>>,
    task: JoinHandle<()>,
}

impl Decoding {
    fn begin<W: Wire>(mut arrivals: Arrivals<W>) -> Decoding {
        let (sender, batches) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            let mut is_last = false;
            while !is_last {
                let batch = match arrivals.next_batch().await {
                    Ok((batch, last)) => {
                        is_last = last;
                        Ok(batch)
                    }
                    Err(error) => {
                        is_last = true;
                        Err(error)
                    }
                };
                let is_empty = batch.as_ref().is_ok_and(|batch| {
                    batch.items.is_empty() && batch.malformed.is_empty() && batch.not_due == 0
                });
                if !(is_last && is_empty) && sender.send(batch).await.is_err() {
                    return;
                }
            }
        });
        Decoding { batches, task }
    }

    async fn next(&mut self) -> Option<Result<Batch<Row>, Error>> {
        if let Some(batch) = self.batches.recv().await {
            return Some(batch);
        }
        // The rows have ended, or the task has: then rows are missing.
        let cause = (&mut self.task).await.err()?;
        Some(Err(Error::internal("reading rows ended abnormally").caused_by(cause)))
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        self.task.abort();
    }
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
    async fn a_read_that_panics_is_an_error_and_no_end_of_the_rows() {
        struct Broken;

        #[async_trait]
        impl Wire for Broken {
            type Part = ();

            async fn next(&mut self) -> Result<Option<()>, Error> {
                Ok(Some(()))
            }

            fn row(&mut self, (): &mut (), _: &mut Cells) -> Result<bool, Error> {
                panic!("a fault of the decoder")
            }

            async fn not_due(&mut self) -> Result<u64, Error> {
                Ok(0)
            }
        }

        let mut feed = feed(Broken, "t".to_owned(), Columns::new(["n"]), 3);
        assert!(feed.next().await.is_some_and(|batch| batch.is_err()));
        assert!(feed.next().await.is_none());
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
