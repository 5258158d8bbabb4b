//! The rows of a job's pages.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::{Error, Feed, Row, Value};
use tidegate_transport::poll::Poll;
use tidegate_transport::sql::reading::{self, Cells, Wire};
use tidegate_transport::sql::table::Relation as _;

use super::client::Client;
use super::decode;
use super::errors;
use super::job::Job;
use super::pages::{Page, Pages};
use super::source::Found;
use super::statement::Sql;
use super::types::Field;

/// Returns the rows of a statement over what was found. `not_due` counts the rows that are not due, and is
/// asked last.
pub fn feed(
    client: &Arc<Client>,
    found: &Found,
    sql: Sql,
    not_due: Option<String>,
    batch_rows: usize,
) -> Feed<Row> {
    let label = found.table.relation.label();
    let reading = Reading {
        client: Arc::clone(client),
        doing: format!("reading {label}"),
        fields: found.table.columns.clone(),
        location: found.location.clone(),
        sql,
        not_due,
        pages: None,
        again: Some(Poll::default()),
    };
    reading::feed(reading, label, found.table.names(), batch_rows)
}

/// A read that is under way.
struct Reading {
    client: Arc<Client>,
    /// What is done, for messages.
    doing: String,
    fields: Vec<Field>,
    location: Option<String>,
    sql: Sql,
    not_due: Option<String>,
    /// The result, once the statement is submitted.
    pages: Option<Pages>,
    /// Before the first page: whether the query may be submitted again.
    again: Option<Poll>,
}

impl Reading {
    async fn begin(&self, sql: &Sql, fields: Vec<Field>) -> Result<Pages, Error> {
        let job = Job::submit(&self.client, sql, self.location.as_deref()).await;
        let job = job.map_err(|error| error.context(&self.doing))?;
        Ok(Pages::new(job, fields, &self.doing))
    }
}

#[async_trait]
impl Wire for Reading {
    type Part = Page;

    async fn next(&mut self) -> Result<Option<Page>, Error> {
        loop {
            if self.pages.is_none() {
                self.pages = Some(self.begin(&self.sql, self.fields.clone()).await?);
            }
            let Some(pages) = &mut self.pages else { continue };
            match (pages.next().await, self.again.take()) {
                (Ok(page), _) => return Ok(page),
                (Err(error), None) => return Err(error),
                // No row of it was seen: a job that failed for reasons of BigQuery is run once more.
                (Err(error), Some(mut poll)) => {
                    poll.unanswered(error, self.client.clock.now()).await?;
                    self.pages = None;
                }
            }
        }
    }

    fn row(&mut self, page: &mut Page, cells: &mut Cells) -> Result<bool, Error> {
        let Some(json) = page.next_row() else { return Ok(false) };
        let row = decode::cells(&json).map_err(|_| errors::unreadable("a row"))?;
        if row.len() != self.fields.len() {
            return Err(errors::unreadable("rows with columns that were not asked for"));
        }
        for cell in row.values(&self.fields) {
            cells.push(cell.map_err(|(text, reason)| (text.into(), reason)));
        }
        Ok(true)
    }

    async fn not_due(&mut self) -> Result<u64, Error> {
        let Some(sql) = self.not_due.take() else { return Ok(0) };
        let counts = vec![decode::count_field()];
        let mut pages = self.begin(&sql.into(), counts.clone()).await?;
        let mut found = None;
        while let Some(mut page) = pages.next().await? {
            if let Some(row) = page.next_row() {
                let cells = decode::cells(&row).map_err(|_| errors::unreadable("a count"))?;
                found = cells.values(&counts).next().and_then(Result::ok);
            }
        }
        match found {
            Some(Value::Int(count)) => Ok(count.unsigned_abs()),
            _ => Err(errors::unreadable("a count")),
        }
    }
}
