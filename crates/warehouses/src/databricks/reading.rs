//! Rows as they arrive, batch after batch.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tidegate_model::{Batch, Columns, Error, Feed, Json, Reason, Row, Value};
use tidegate_transport::arrow;
use tidegate_transport::sql::rows::{BATCH_BYTES, held_bytes, malformed};

use super::client::Client;
use super::errors;
use super::result::Rows;
use super::statement::{Results, Sql, Statement};
use super::types::Shape;

/// A read that is under way. Dropping it ends it at the warehouse, too.
pub struct Reading {
    /// The workspace.
    pub client: Arc<Client>,
    /// What is read, for messages.
    pub label: String,
    /// The names of the columns.
    pub columns: Arc<Columns>,
    /// How their cells arrive.
    pub shapes: Vec<Shape>,
    /// The statement.
    pub sql: Sql,
    /// Counts the rows that are not due, asked last.
    pub not_due: Option<String>,
    /// Rows in a batch, at most.
    pub batch_rows: usize,
}

impl Reading {
    /// Returns the read as a feed. Nothing is asked before the first batch is.
    pub fn feed(self) -> Feed<Row> {
        let arrivals = Arrivals { reading: self, rows: None, held: None };
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
}

/// A read and what has arrived of it.
struct Arrivals {
    reading: Reading,
    rows: Option<Rows>,
    /// Rows that are decoded next, and how many of them are done.
    held: Option<(RecordBatch, usize)>,
}

impl Arrivals {
    async fn next_batch(&mut self) -> Result<(Batch<Row>, bool), Error> {
        let limit = self.reading.batch_rows.max(1);
        let mut batch = Batch::of(Vec::with_capacity(limit.min(16_384)));
        // Each batch has its own list of names: threads that drop rows do not wait for each other.
        let columns = self.reading.columns.apart();
        let mut bytes = 0;
        loop {
            let Some((held, at)) = &mut self.held else {
                let rows = match &mut self.rows {
                    Some(rows) => rows,
                    None => self.rows.insert(self.reading.begin().await?),
                };
                match rows.next().await? {
                    Some(held) if held.num_columns() != self.reading.shapes.len() => {
                        return Err(errors::unreadable("rows with columns that were not asked for"));
                    }
                    Some(held) => self.held = Some((held, 0)),
                    None => break,
                }
                continue;
            };
            if *at == held.num_rows() {
                self.held = None;
                continue;
            }
            bytes += self.reading.take(held, *at, &columns, &mut batch);
            *at += 1;
            if batch.items.len() + batch.malformed.len() >= limit || bytes >= BATCH_BYTES {
                return Ok((batch, false));
            }
        }
        // The result is closed at the warehouse before it counts.
        self.rows = None;
        batch.not_due = self.reading.count_not_due().await?;
        Ok((batch, true))
    }
}

impl Reading {
    fn doing(&self) -> String {
        format!("reading {}", self.label)
    }

    async fn begin(&self) -> Result<Rows, Error> {
        let doing = self.doing();
        let (statement, answer) = Statement::read(&self.client, &self.sql, Results::Links, &doing).await?;
        Rows::new(statement, answer, &doing)
    }

    async fn count_not_due(&self) -> Result<u64, Error> {
        let Some(sql) = &self.not_due else { return Ok(0) };
        let (_, rows) = self.client.ask(&sql.clone().into(), &self.doing()).await?;
        let cell = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        cell.ok_or_else(|| errors::unreadable("a count"))
    }

    /// Adds a row to a batch. Returns about how many bytes its cells have.
    fn take(&self, held: &RecordBatch, at: usize, columns: &Arc<Columns>, batch: &mut Batch<Row>) -> usize {
        let mut bytes = 0;
        let mut values = Vec::with_capacity(self.shapes.len());
        let mut unreadable: Vec<(usize, Reason)> = Vec::new();
        for (index, shape) in self.shapes.iter().enumerate() {
            let value = cell(held, index, at, *shape).unwrap_or_else(|(raw, reason)| {
                unreadable.push((index, reason));
                Value::Bytes(raw)
            });
            bytes += held_bytes(&value);
            values.push(value);
        }
        let row = Row { columns: Arc::clone(columns), values };
        match unreadable.first() {
            None => batch.items.push(row),
            Some(_) => batch.malformed.push(malformed(&self.label, row, &unreadable)),
        }
        bytes
    }
}

/// Returns the value of a cell, or its bytes as far as there are some, and why it has no value.
fn cell(held: &RecordBatch, column: usize, at: usize, shape: Shape) -> Result<Value, (Bytes, Reason)> {
    let value = arrow::value(held.column(column), at).map_err(|reason| (Bytes::new(), reason))?;
    match (shape, value) {
        (Shape::Json, Value::Text(text)) => {
            Json::parse(text.clone()).map(Value::Json).map_err(|reason| (text.into_bytes(), reason))
        }
        (_, value) => Ok(value),
    }
}
