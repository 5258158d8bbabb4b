//! The rows of a job's result: page by page, or by the Storage Read API.

use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use tidegate_model::{Error, ErrorKind, Feed, Row, Value};
use tidegate_transport::arena::{Alone, Arena};
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
use super::storage::{self, Stored};
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
        stored: None,
        again: Some(Poll::default()),
        arena: Arena::default(),
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
    /// The same result, if its rows are many.
    stored: Option<Stored>,
    /// Before the first page: whether the query may be submitted again.
    again: Option<Poll>,
    arena: Arena,
}

impl Reading {
    async fn begin(&self, sql: &Sql, fields: Vec<Field>) -> Result<Pages, Error> {
        let job = Job::submit(&self.client, sql, self.location.as_deref()).await;
        let job = job.map_err(|error| error.context(&self.doing))?;
        Ok(Pages::new(Arc::new(job), fields, &self.doing))
    }
}

/// Rows that arrive together.
enum Part {
    /// As JSON.
    Page(Page),
    /// As columns of Arrow, and how many of their rows are decoded.
    Batch(RecordBatch, usize),
}

#[async_trait]
impl Wire for Reading {
    type Part = Part;

    async fn next(&mut self) -> Result<Option<Part>, Error> {
        if let Some(stored) = &mut self.stored {
            return Ok(stored.next().await?.map(|batch| Part::Batch(batch, 0)));
        }
        loop {
            if self.pages.is_none() {
                self.pages = Some(self.begin(&self.sql, self.fields.clone()).await?);
            }
            let Some(pages) = &mut self.pages else { continue };
            match (pages.next().await, self.again.take()) {
                (Ok(Some(page)), Some(_)) if storage::is_for(&self.client, &self.fields, page.total()) => {
                    // The first page says how many rows there are, and is read again with the others.
                    let (job, total) = (pages.job(), page.total().unwrap_or_default());
                    self.pages = None;
                    match Stored::open(Arc::clone(&job), &self.fields, total, &self.doing).await {
                        Ok(stored) => {
                            page.note_processed(&self.client);
                            let batch = self.stored.insert(stored).next().await?;
                            return Ok(batch.map(|batch| Part::Batch(batch, 0)));
                        }
                        // Not every result has a session, and all of them have pages.
                        Err(error) if matches!(error.kind(), ErrorKind::Unexpected | ErrorKind::Missing) => {
                            tracing::warn!("{}: its rows are read page by page", error.chain());
                            self.pages = Some(Pages::new(job, self.fields.clone(), &self.doing));
                        }
                        Err(error) => return Err(error),
                    }
                }
                (Ok(page), _) => return Ok(page.map(Part::Page)),
                (Err(error), None) => return Err(error),
                // No row of it was seen: a job that failed for reasons of BigQuery is run once more.
                (Err(error), Some(mut poll)) => {
                    poll.unanswered(error, self.client.clock.now()).await?;
                    self.pages = None;
                }
            }
        }
    }

    fn row(&mut self, part: &mut Part, cells: &mut Cells) -> Result<bool, Error> {
        let page = match part {
            Part::Page(page) => page,
            Part::Batch(batch, at) if *at == batch.num_rows() => return Ok(false),
            Part::Batch(batch, at) => {
                for (column, field) in batch.columns().iter().zip(&self.fields) {
                    cells.push(storage::cells::cell(column, *at, field, &mut self.arena));
                }
                *at += 1;
                return Ok(true);
            }
        };
        let Some(json) = page.next_row() else { return Ok(false) };
        let row = decode::cells(&json).map_err(|_| errors::unreadable("a row"))?;
        if row.len() != self.fields.len() {
            return Err(errors::unreadable("rows with columns that were not asked for"));
        }
        for cell in row.values(&self.fields, &mut self.arena) {
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
                found = cells.values(&counts, &mut Alone).next().and_then(Result::ok);
            }
        }
        match found {
            Some(Value::Int(count)) => Ok(count.unsigned_abs()),
            _ => Err(errors::unreadable("a count")),
        }
    }
}
