//! Rows as they arrive: fetched from a cursor, batch after batch.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tidegate_model::{Batch, Columns, Error, ErrorKind, Feed, Reason, Row, Value};
use tidegate_transport::sql::rows::{BATCH_BYTES, malformed};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow, SimpleQueryStream};

use crate::postgres::client::{Access, Session};
use crate::postgres::decode::Arena;

use super::cell;
use super::errors::explained;
use super::relation::Relation;
use super::types::SqlType;
use tidegate_transport::sql::table::Relation as _;

/// A read that is under way. Dropping it ends it at the server, too.
///
/// A session has one cursor at a time. Its result is computed at the first `FETCH` and stays at the server,
/// so a slow destination holds neither a slot of the workload queue nor a statement's time limit.
pub struct Reading {
    /// How to explain failures.
    pub access: Access,
    /// The connection, in a transaction.
    pub session: Session,
    /// What is read.
    pub relation: Relation,
    /// The names of the columns.
    pub columns: Arc<Columns>,
    /// Their types.
    pub types: Vec<SqlType>,
    /// The statements that are still to be read.
    pub statements: VecDeque<String>,
    /// Counts the rows that are not due, asked last.
    pub not_due: Option<String>,
    /// Rows in a batch, at most.
    pub batch_rows: usize,
    /// Rows that are fetched at once.
    pub fetch_rows: NonZeroU32,
}

impl Reading {
    /// Returns the read as a feed. Nothing is asked before the first batch is.
    pub fn feed(self) -> Feed<Row> {
        let arrivals = Arrivals { reading: self, cursor: Cursor::Closed, arena: Arena::default() };
        stream::try_unfold(Some(arrivals), |arrivals| async move {
            let Some(mut arrivals) = arrivals else { return Ok(None) };
            let (batch, is_last) = arrivals.next_batch().await?;
            if !is_last {
                return Ok(Some((batch, Some(arrivals))));
            }
            let Reading { access, session, .. } = arrivals.reading;
            access.done(session).await;
            let is_empty = batch.items.is_empty() && batch.malformed.is_empty() && batch.not_due == 0;
            Ok((!is_empty).then_some((batch, None)))
        })
        .boxed()
    }

    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        explained(&self.access, error, Some(&self.relation))
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        self.session.client.batch_execute(sql).await.map_err(|error| self.failed(&error))
    }

    async fn fetch(&self) -> Result<Pin<Box<SimpleQueryStream>>, Error> {
        let sql = format!("FETCH FORWARD {} FROM tidegate_cursor", self.fetch_rows);
        let rows = self.session.client.simple_query_raw(&sql).await;
        rows.map(Box::pin).map_err(|error| self.failed(&error))
    }

    async fn count_not_due(&self) -> Result<u64, Error> {
        let Some(sql) = &self.not_due else { return Ok(0) };
        let answer = self.session.client.simple_query(sql).await.map_err(|error| self.failed(&error))?;
        let count = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten()?.parse().ok(),
            _ => None,
        });
        count.ok_or_else(|| Error::new(ErrorKind::Unexpected, "Amazon Redshift gave no count"))
    }
}

/// The cursor of a statement.
enum Cursor {
    /// There is none.
    Closed,
    /// More may be fetched.
    Open,
    /// Rows arrive; this many have.
    Fetching(Pin<Box<SimpleQueryStream>>, u64),
}

/// A read and what has arrived of it.
struct Arrivals {
    reading: Reading,
    cursor: Cursor,
    arena: Arena,
}

impl Arrivals {
    /// Returns the next batch, and whether it is the last one.
    async fn next_batch(&mut self) -> Result<(Batch<Row>, bool), Error> {
        let limit = self.reading.batch_rows.max(1);
        let mut batch = Batch::of(Vec::with_capacity(limit.min(16_384)));
        let mut bytes = 0;
        self.reading.session.running = true;
        loop {
            match &mut self.cursor {
                Cursor::Closed => {
                    let Some(statement) = self.reading.statements.pop_front() else { break };
                    let declared = format!("DECLARE tidegate_cursor CURSOR FOR {statement}");
                    self.reading.run(&declared).await?;
                    self.cursor = Cursor::Open;
                }
                Cursor::Open => self.cursor = Cursor::Fetching(self.reading.fetch().await?, 0),
                Cursor::Fetching(rows, arrived) => match rows.next().await {
                    Some(Ok(SimpleQueryMessage::Row(row))) => {
                        *arrived += 1;
                        bytes += self.take(&row, &mut batch)?;
                        if batch.items.len() + batch.malformed.len() >= limit || bytes >= BATCH_BYTES {
                            return Ok((batch, false));
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(self.reading.failed(&error)),
                    // Fewer rows than were asked for may be followed by others: only none is the end.
                    None if *arrived > 0 => self.cursor = Cursor::Open,
                    None => {
                        self.cursor = Cursor::Closed;
                        self.reading.run("CLOSE tidegate_cursor").await?;
                    }
                },
            }
        }
        batch.not_due = self.reading.count_not_due().await?;
        self.reading.session.running = false;
        Ok((batch, true))
    }

    /// Adds a row to a batch. Returns how many bytes its cells had.
    fn take(&mut self, row: &SimpleQueryRow, batch: &mut Batch<Row>) -> Result<usize, Error> {
        let mut bytes = 0;
        let mut values = Vec::with_capacity(self.reading.types.len());
        let mut unreadable: Vec<(usize, Reason)> = Vec::new();
        if row.len() < self.reading.types.len() {
            return Err(Error::new(
                ErrorKind::Unexpected,
                "Amazon Redshift sent a row with fewer columns than it had announced",
            ));
        }
        for (at, sql_type) in self.reading.types.iter().enumerate() {
            let value = match row.try_get(at) {
                Ok(None) => Value::Null,
                Ok(Some(cell)) => {
                    bytes += cell.len();
                    cell::value(sql_type, cell, &mut self.arena).unwrap_or_else(|reason| {
                        unreadable.push((at, reason));
                        Value::Bytes(Bytes::copy_from_slice(cell.as_bytes()))
                    })
                }
                Err(_) => {
                    unreadable.push((at, Reason::new("invalid_utf8", "text that is not valid UTF-8")));
                    Value::Null
                }
            };
            values.push(value);
        }
        let row = Row { columns: Arc::clone(&self.reading.columns), values };
        match unreadable.is_empty() {
            true => batch.items.push(row),
            false => batch.push_malformed(malformed(&self.reading.relation.label(), row, &unreadable)),
        }
        Ok(bytes)
    }
}
