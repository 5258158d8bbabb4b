//! The rows of a statement's partitions.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_model::{Error, Feed, Row, Value};
use tidegate_transport::arena::Arena;
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::reading::{self, Cells, Wire};
use tidegate_transport::sql::table::Relation as _;

use super::cell;
use super::client::Client;
use super::errors;
use super::part::Part;
use super::relation::Table;
use super::result::Rows;
use super::statement::Sql;
use super::types::SqlType;

/// Returns the rows of a statement over a table. `not_due` counts the rows that are not due, and is asked
/// last.
pub fn feed(
    client: &Arc<Client>,
    table: &Table,
    sql: Sql,
    not_due: Option<Sql>,
    batch_rows: usize,
) -> Feed<Row> {
    let label = table.relation.label();
    let reading = Reading {
        client: Arc::clone(client),
        doing: format!("reading {label}"),
        types: table.columns.iter().map(|column| column.sql_type.clone()).collect(),
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
    types: Vec<SqlType>,
    sql: Sql,
    not_due: Option<Sql>,
    /// The result, once the statement is submitted.
    rows: Option<Rows>,
    arena: Arena,
}

#[async_trait]
impl Wire for Reading {
    /// Rows, and how many of them are decoded.
    type Part = (Part, usize);

    async fn next(&mut self) -> Result<Option<Self::Part>, Error> {
        let rows = match &mut self.rows {
            Some(rows) => rows,
            None => {
                let done = self.client.run(&self.sql, &self.doing).await.map_err(RequestError::into_error)?;
                if done.manifest.row_type.len() != self.types.len() {
                    return Err(errors::unreadable("rows with columns that were not asked for"));
                }
                self.rows.insert(Rows::new(done, &self.doing))
            }
        };
        Ok(rows.next().await?.map(|part| (part, 0)))
    }

    fn row(&mut self, (part, at): &mut Self::Part, cells: &mut Cells) -> Result<bool, Error> {
        if *at == part.len() {
            return Ok(false);
        }
        let row = part.row(*at)?;
        if row.len() != self.types.len() {
            return Err(errors::unreadable("a row with too few or too many cells"));
        }
        for (cell, sql_type) in row.iter().zip(&self.types) {
            cells.push(match &cell.0 {
                None => Ok(Value::Null),
                Some(text) => cell::value(sql_type, text, &mut self.arena)
                    .map_err(|reason| (Bytes::copy_from_slice(text.as_bytes()), reason)),
            });
        }
        *at += 1;
        Ok(true)
    }

    async fn not_due(&mut self) -> Result<u64, Error> {
        self.rows = None;
        let Some(sql) = &self.not_due else { return Ok(0) };
        let counted = self.client.query(sql, &self.doing).await;
        let (_, rows) = counted.map_err(RequestError::into_error)?;
        let cell = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        cell.ok_or_else(|| errors::unreadable("a count"))
    }
}
