//! Rows as they arrive: one statement after the other, batch after batch.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tidegate_model::{Batch, Columns, Error, ErrorKind, Feed, Reason, Row, Value};
use tidegate_transport::arena::Arena;
use tidegate_transport::sql::rows::{BATCH_BYTES, malformed};
use tidegate_transport::sql::table::Relation as _;
use tokio_postgres::RowStream;
use tokio_postgres::types::ToSql;

use super::client::{Access, Session};
use super::decode::{Raw, Shape};
use super::query::Relation;

/// A statement of a read.
pub struct Step {
    /// The statement.
    pub sql: String,
    /// The values of its `$1`, `$2` ….
    pub parameters: Vec<Box<dyn ToSql + Send + Sync>>,
}

/// A read that is under way. Dropping it ends it at the server, too.
pub struct Reading {
    /// How to explain failures.
    pub access: Access,
    /// The transaction.
    pub session: Session,
    /// What is read.
    pub relation: Relation,
    /// The names of the columns.
    pub columns: Arc<Columns>,
    /// How their cells arrive.
    pub shapes: Vec<Shape>,
    /// What is still to be asked.
    pub steps: VecDeque<Step>,
    /// Counts the rows that wait, asked last.
    pub waiting: Option<String>,
    /// Rows in a batch, at most.
    pub batch_rows: usize,
}

impl Reading {
    /// Returns the read as a feed. Nothing is asked before the first batch is.
    pub fn feed(self) -> Feed<Row> {
        let arrivals = Arrivals { reading: self, rows: None, arena: Arena::default() };
        stream::try_unfold(Some(arrivals), |arrivals| async move {
            let Some(mut arrivals) = arrivals else { return Ok(None) };
            match arrivals.next_batch().await? {
                Next::More(batch) => Ok(Some((batch, Some(arrivals)))),
                Next::Last(batch) => {
                    let Reading { access, session, .. } = arrivals.reading;
                    access.done(session).await;
                    Ok((!batch_is_empty(&batch)).then_some((batch, None)))
                }
            }
        })
        .boxed()
    }

    async fn ask(&self, step: &Step) -> Result<RowStream, Error> {
        let parameters = step.parameters.iter().map(|parameter| parameter.as_ref() as &(dyn ToSql + Sync));
        (self.session.client.query_raw(step.sql.as_str(), parameters).await)
            .map_err(self.access.explained(&self.relation))
    }

    async fn count_waiting(&self) -> Result<u64, Error> {
        let Some(sql) = &self.waiting else { return Ok(0) };
        let count = self.session.client.query_one(sql.as_str(), &[]).await;
        let count: i64 =
            count.and_then(|row| row.try_get(0)).map_err(self.access.explained(&self.relation))?;
        Ok(count.unsigned_abs())
    }
}

/// A read and what has arrived of it.
struct Arrivals {
    reading: Reading,
    rows: Option<Pin<Box<RowStream>>>,
    arena: Arena,
}

enum Next {
    More(Batch<Row>),
    Last(Batch<Row>),
}

fn batch_is_empty(batch: &Batch<Row>) -> bool {
    batch.items.is_empty() && batch.malformed.is_empty() && batch.not_due == 0
}

impl Arrivals {
    async fn next_batch(&mut self) -> Result<Next, Error> {
        let limit = self.reading.batch_rows.max(1);
        let mut batch = Batch::of(Vec::with_capacity(limit.min(16_384)));
        let mut bytes = 0;
        self.reading.session.running = true;
        loop {
            let Some(rows) = &mut self.rows else {
                let Some(step) = self.reading.steps.pop_front() else { break };
                self.rows = Some(Box::pin(self.reading.ask(&step).await?));
                continue;
            };
            match rows.next().await {
                None => self.rows = None,
                Some(Err(error)) => {
                    return Err(self.reading.access.explain(&error, Some(&self.reading.relation)));
                }
                Some(Ok(row)) => {
                    bytes += self.take(&row, &mut batch)?;
                    if batch.items.len() + batch.malformed.len() >= limit || bytes >= BATCH_BYTES {
                        return Ok(Next::More(batch));
                    }
                }
            }
        }
        batch.not_due = self.reading.count_waiting().await?;
        self.reading.session.running = false;
        Ok(Next::Last(batch))
    }

    /// Adds a row to a batch. Returns how many bytes its cells had.
    fn take(&mut self, row: &tokio_postgres::Row, batch: &mut Batch<Row>) -> Result<usize, Error> {
        let mut bytes = 0;
        let mut values = Vec::with_capacity(self.reading.shapes.len());
        let mut unreadable: Vec<(usize, Reason)> = Vec::new();
        for (at, shape) in self.reading.shapes.iter().enumerate() {
            let cell = row.try_get::<_, Option<Raw<'_>>>(at).map_err(|_| {
                Error::new(
                    ErrorKind::Unexpected,
                    "PostgreSQL sent a row with fewer columns than it had announced",
                )
            })?;
            bytes += cell.as_ref().map_or(0, |Raw(cell)| cell.len());
            let value = match cell {
                None => Value::Null,
                Some(Raw(cell)) => shape.decode(cell, &mut self.arena).unwrap_or_else(|reason| {
                    unreadable.push((at, reason));
                    Value::Bytes(Bytes::copy_from_slice(cell))
                }),
            };
            values.push(value);
        }
        let row = Row { columns: Arc::clone(&self.reading.columns), values };
        match unreadable.first() {
            None => batch.items.push(row),
            Some(_) => {
                batch.push_malformed(malformed(&self.reading.relation.label(), row, &unreadable));
            }
        }
        Ok(bytes)
    }
}
