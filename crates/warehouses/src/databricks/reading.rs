//! The rows of a statement's Arrow parts.

use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use tidegate_model::{Error, Feed, Json, Reason, Row, Value};
use tidegate_transport::arena::Arena;
use tidegate_transport::arrow;
use tidegate_transport::sql::reading::{self, Cells, Wire};
use tidegate_transport::sql::table::Relation as _;

use super::client::Client;
use super::errors;
use super::relation::{Table, shapes};
use super::result::Rows;
use super::statement::{Results, Sql, Statement};
use super::types::Shape;

/// Returns the rows of a statement over a table. `not_due` counts the rows that are not due, and is asked
/// last.
pub fn feed(
    client: &Arc<Client>,
    table: &Table,
    sql: Sql,
    not_due: Option<String>,
    batch_rows: usize,
) -> Feed<Row> {
    let label = table.relation.label();
    let reading = Reading {
        client: Arc::clone(client),
        doing: format!("reading {label}"),
        shapes: shapes(table),
        sql,
        not_due,
        rows: None,
        arena: Arena::default(),
    };
    reading::feed(reading, label, table.names(), batch_rows)
}

/// A read that is under way.
struct Reading {
    client: Arc<Client>,
    /// What is done, for messages.
    doing: String,
    /// How the cells of each column arrive.
    shapes: Vec<Shape>,
    sql: Sql,
    not_due: Option<String>,
    /// The result, once the statement is submitted.
    rows: Option<Rows>,
    arena: Arena,
}

#[async_trait]
impl Wire for Reading {
    /// Rows, and how many of them are decoded.
    type Part = (RecordBatch, usize);

    async fn next(&mut self) -> Result<Option<Self::Part>, Error> {
        let rows = match &mut self.rows {
            Some(rows) => rows,
            None => {
                let submitted = Statement::read(&self.client, &self.sql, Results::Links, &self.doing).await;
                let (statement, answer) = submitted?;
                self.rows.insert(Rows::new(statement, answer, &self.doing)?)
            }
        };
        match rows.next().await? {
            Some(batch) if batch.num_columns() != self.shapes.len() => {
                Err(errors::unreadable("rows with columns that were not asked for"))
            }
            batch => Ok(batch.map(|batch| (batch, 0))),
        }
    }

    fn row(&mut self, (batch, at): &mut Self::Part, cells: &mut Cells) -> Result<bool, Error> {
        if *at == batch.num_rows() {
            return Ok(false);
        }
        for (column, shape) in self.shapes.iter().enumerate() {
            cells.push(cell(batch, column, *at, *shape, &mut self.arena));
        }
        *at += 1;
        Ok(true)
    }

    async fn not_due(&mut self) -> Result<u64, Error> {
        // The result is closed at the warehouse before it counts.
        self.rows = None;
        let Some(sql) = &self.not_due else { return Ok(0) };
        let (_, rows) = self.client.ask(&sql.clone().into(), &self.doing).await?;
        let cell = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        cell.ok_or_else(|| errors::unreadable("a count"))
    }
}

/// Returns the value of a cell, or its bytes as far as there are some, and why it has no value.
fn cell(
    held: &RecordBatch,
    column: usize,
    at: usize,
    shape: Shape,
    arena: &mut Arena,
) -> Result<Value, (Bytes, Reason)> {
    let value = arrow::value_in(held.column(column), at, arena).map_err(|reason| (Bytes::new(), reason))?;
    match (shape, value) {
        (Shape::Json, Value::Text(text)) => {
            Json::parse(text.clone()).map(Value::Json).map_err(|reason| (text.into_bytes(), reason))
        }
        (_, value) => Ok(value),
    }
}
