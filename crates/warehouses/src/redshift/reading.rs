//! Rows as they arrive: fetched from a cursor.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::ReadyChunks;
use tidegate_model::{Columns, Error, ErrorKind, Feed, Reason, Row, Value};
use tidegate_transport::arena::Arena;
use tidegate_transport::sql::reading::{self, Cells, Wire};
use tidegate_transport::sql::table::Relation as _;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow, SimpleQueryStream};

use crate::postgres::client::{Access, Session};

use super::cell;
use super::errors::explained;
use super::relation::Relation;
use super::types::SqlType;

/// Rows that are decoded together, of those that have arrived.
const ROWS_TOGETHER: usize = 256;

/// What is read, and on which connection.
pub struct Read {
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

impl Read {
    /// Returns the read as a feed. Nothing is asked before the first batch is.
    pub fn feed(self) -> Feed<Row> {
        let (label, columns, batch_rows) =
            (self.relation.label(), Arc::clone(&self.columns), self.batch_rows);
        let reading = Reading {
            access: self.access,
            session: Some(self.session),
            relation: self.relation,
            types: self.types,
            statements: self.statements,
            not_due: self.not_due,
            fetch_rows: self.fetch_rows,
            cursor: Cursor::Closed,
            arena: Arena::default(),
        };
        reading::feed(reading, label, columns, batch_rows)
    }
}

/// A read that is under way. Dropping it ends it at the server, too.
///
/// A session has one cursor at a time. Its result is computed at the first `FETCH` and stays at the server,
/// so a slow destination holds neither a slot of the workload queue nor a statement's time limit.
struct Reading {
    access: Access,
    /// The connection, until the read is complete.
    session: Option<Session>,
    relation: Relation,
    types: Vec<SqlType>,
    statements: VecDeque<String>,
    not_due: Option<String>,
    fetch_rows: NonZeroU32,
    cursor: Cursor,
    arena: Arena,
}

/// The cursor of a statement.
enum Cursor {
    /// There is none.
    Closed,
    /// More may be fetched.
    Open,
    /// Rows arrive; this many have.
    Fetching(Pin<Box<ReadyChunks<SimpleQueryStream>>>, usize),
}

impl Reading {
    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        explained(&self.access, error, Some(&self.relation))
    }

    fn session(&mut self) -> Result<&mut Session, Error> {
        self.session.as_mut().ok_or_else(|| Error::internal("a read that was complete goes further"))
    }

    async fn run(&mut self, sql: &str) -> Result<(), Error> {
        let ran = self.session()?.client.batch_execute(sql).await;
        ran.map_err(|error| self.failed(&error))
    }

    async fn fetch(&mut self) -> Result<Cursor, Error> {
        let sql = format!("FETCH FORWARD {} FROM tidegate_cursor", self.fetch_rows);
        let rows = self.session()?.client.simple_query_raw(&sql).await;
        let rows = rows.map_err(|error| self.failed(&error))?;
        Ok(Cursor::Fetching(Box::pin(rows.ready_chunks(ROWS_TOGETHER)), 0))
    }
}

#[async_trait]
impl Wire for Reading {
    type Part = std::vec::IntoIter<SimpleQueryRow>;

    async fn next(&mut self) -> Result<Option<Self::Part>, Error> {
        self.session()?.running = true;
        loop {
            match &mut self.cursor {
                Cursor::Closed => {
                    let Some(statement) = self.statements.pop_front() else { return Ok(None) };
                    self.run(&format!("DECLARE tidegate_cursor CURSOR FOR {statement}")).await?;
                    self.cursor = Cursor::Open;
                }
                Cursor::Open => self.cursor = self.fetch().await?,
                Cursor::Fetching(messages, arrived) => match messages.next().await {
                    Some(messages) => {
                        let row = |message| match message {
                            Ok(SimpleQueryMessage::Row(row)) => Some(Ok(row)),
                            Ok(_) => None,
                            Err(error) => Some(Err(error)),
                        };
                        let rows: Result<Vec<_>, _> = messages.into_iter().filter_map(row).collect();
                        *arrived += rows.as_ref().map_or(0, Vec::len);
                        return rows.map(|rows| Some(rows.into_iter())).map_err(|error| self.failed(&error));
                    }
                    // Fewer rows than were asked for may be followed by others: only none is the end.
                    None if *arrived > 0 => self.cursor = Cursor::Open,
                    None => {
                        self.cursor = Cursor::Closed;
                        self.run("CLOSE tidegate_cursor").await?;
                    }
                },
            }
        }
    }

    fn row(&mut self, part: &mut Self::Part, cells: &mut Cells) -> Result<bool, Error> {
        let Some(row) = part.next() else { return Ok(false) };
        if row.len() < self.types.len() {
            return Err(Error::new(
                ErrorKind::Unexpected,
                "Amazon Redshift sent a row with fewer columns than it had announced",
            ));
        }
        for (at, sql_type) in self.types.iter().enumerate() {
            cells.push(match row.try_get(at) {
                Ok(None) => Ok(Value::Null),
                Ok(Some(cell)) => cell::value(sql_type, cell, &mut self.arena)
                    .map_err(|reason| (Bytes::copy_from_slice(cell.as_bytes()), reason)),
                Err(_) => Err((Bytes::new(), Reason::new("invalid_utf8", "text that is not valid UTF-8"))),
            });
        }
        Ok(true)
    }

    async fn not_due(&mut self) -> Result<u64, Error> {
        let counted = match self.not_due.take() {
            None => 0,
            Some(sql) => {
                let answer = self.session()?.client.simple_query(&sql).await;
                let answer = answer.map_err(|error| self.failed(&error))?;
                let count = answer.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten()?.parse().ok(),
                    _ => None,
                });
                count.ok_or_else(|| Error::new(ErrorKind::Unexpected, "Amazon Redshift gave no count"))?
            }
        };
        if let Some(mut session) = self.session.take() {
            session.running = false;
            self.access.done(session).await;
        }
        Ok(counted)
    }
}
