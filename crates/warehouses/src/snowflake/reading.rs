//! Rows as they arrive, batch after batch.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tidegate_model::{Batch, Columns, Error, Feed, Reason, Row, Value};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::rows::{BATCH_BYTES, held_bytes, malformed};

use super::cell;
use super::client::Client;
use super::errors;
use super::part::{Cell, Part};
use super::result::Rows;
use super::statement::Sql;
use super::types::SqlType;

/// A read that is under way. Dropping it ends it at Snowflake, too.
pub struct Reading {
    /// The account.
    pub client: Arc<Client>,
    /// What is read, for messages.
    pub label: String,
    /// The names of the columns.
    pub columns: Arc<Columns>,
    /// Their types.
    pub types: Vec<SqlType>,
    /// The statement.
    pub sql: Sql,
    /// Counts the rows that are not due, asked last.
    pub not_due: Option<Sql>,
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
    held: Option<(Part, usize)>,
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
                    Some(part) => self.held = Some((part, 0)),
                    None => break,
                }
                continue;
            };
            if *at == held.len() {
                self.held = None;
                continue;
            }
            bytes += self.reading.take(&held.row(*at)?, &columns, &mut batch)?;
            *at += 1;
            if batch.items.len() + batch.malformed.len() >= limit || bytes >= BATCH_BYTES {
                return Ok((batch, false));
            }
        }
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
        let done = self.client.run(&self.sql, &doing).await.map_err(RequestError::into_error)?;
        match done.manifest.row_type.len() == self.types.len() {
            true => Ok(Rows::new(done, &doing)),
            false => Err(errors::unreadable("rows with columns that were not asked for")),
        }
    }

    async fn count_not_due(&self) -> Result<u64, Error> {
        let Some(sql) = &self.not_due else { return Ok(0) };
        let counted = self.client.query(sql, &self.doing()).await;
        let (_, rows) = counted.map_err(RequestError::into_error)?;
        let cell = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        cell.ok_or_else(|| errors::unreadable("a count"))
    }

    /// Adds a row to a batch. Returns about how many bytes its cells have.
    fn take(
        &self,
        cells: &[Cell<'_>],
        columns: &Arc<Columns>,
        batch: &mut Batch<Row>,
    ) -> Result<usize, Error> {
        if cells.len() != self.types.len() {
            return Err(errors::unreadable("a row with too few or too many cells"));
        }
        let mut bytes = 0;
        let mut values = Vec::with_capacity(cells.len());
        let mut unreadable: Vec<(usize, Reason)> = Vec::new();
        for (index, (cell, sql_type)) in cells.iter().zip(&self.types).enumerate() {
            let value = match &cell.0 {
                None => Value::Null,
                Some(text) => cell::value(sql_type, text).unwrap_or_else(|reason| {
                    unreadable.push((index, reason));
                    Value::Bytes(Bytes::copy_from_slice(text.as_bytes()))
                }),
            };
            bytes += held_bytes(&value);
            values.push(value);
        }
        let row = Row { columns: Arc::clone(columns), values };
        match unreadable.is_empty() {
            true => batch.items.push(row),
            false => batch.malformed.push(malformed(&self.label, row, &unreadable)),
        }
        Ok(bytes)
    }
}
