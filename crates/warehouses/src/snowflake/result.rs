//! The partitions of a result, fetched one ahead and decoded as they are needed.

use std::sync::Arc;

use tidegate_model::{Error, ErrorKind};
use tokio::task::JoinHandle;

use super::client::VENDOR;
use super::part::Part;
use super::statement::{Done, Partition, Statement};

/// A result whose partitions are fetched.
pub struct Rows {
    statement: Arc<Statement>,
    doing: String,
    total: u64,
    seen: u64,
    partitions: Vec<Partition>,
    /// The partition that comes next: its number, and its content or the way to it.
    next: usize,
    ahead: Ahead,
}

/// A partition that is there, or on its way.
enum Ahead {
    Here(Part),
    OnItsWay(Download),
    Nothing,
}

/// A download that ends when it is dropped.
struct Download(JoinHandle<Result<Part, Error>>);

impl Drop for Download {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Rows {
    /// Begins to fetch the result of a statement that has ended.
    pub fn new(done: Done, doing: &str) -> Rows {
        Rows {
            statement: Arc::new(done.statement),
            doing: doing.to_owned(),
            total: done.manifest.num_rows,
            seen: 0,
            partitions: done.manifest.partition_info,
            next: 0,
            ahead: Ahead::Here(done.first),
        }
    }

    fn fetch(&mut self) {
        let (statement, doing, index) = (Arc::clone(&self.statement), self.doing.clone(), self.next);
        self.ahead = match index < self.partitions.len() {
            true => {
                Ahead::OnItsWay(Download(tokio::spawn(async move { statement.part(index, &doing).await })))
            }
            false => Ahead::Nothing,
        };
    }

    /// Returns the next partition; `None` after the last one.
    ///
    /// # Errors
    /// If a partition cannot be had, or rows are missing.
    pub async fn next(&mut self) -> Result<Option<Part>, Error> {
        let part = match std::mem::replace(&mut self.ahead, Ahead::Nothing) {
            Ahead::Here(part) => part,
            Ahead::OnItsWay(mut download) => (&mut download.0)
                .await
                .map_err(|cause| Error::internal("fetching a result ended abnormally").caused_by(cause))??,
            Ahead::Nothing => {
                return if self.seen == self.total { Ok(None) } else { Err(self.damaged()) };
            }
        };
        let rows = part.len() as u64;
        // Small results may come without a list of partitions.
        if self.partitions.get(self.next).is_some_and(|announced| announced.row_count != rows) {
            return Err(self.damaged());
        }
        self.seen += rows;
        self.next += 1;
        self.fetch();
        Ok(Some(part))
    }

    fn damaged(&self) -> Error {
        let doing = &self.doing;
        Error::new(
            ErrorKind::Unexpected,
            format!(
                "{doing}: a part of the result from {VENDOR} is damaged: it has not the rows that were announced"
            ),
        )
    }
}
