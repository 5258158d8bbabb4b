//! Rows as they arrive, batch after batch.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tidegate_model::{Batch, Columns, Error, Feed, MalformedRecord, PartialRow, Reason, Row, Value};
use tidegate_transport::poll::Poll;

use super::client::Client;
use super::decode;
use super::errors;
use super::job::Job;
use super::pages::{Page, Pages};
use super::statement::Sql;
use super::types::Field;

/// A batch ends after the row that fills this many bytes: what is held does not grow with the width
/// of rows.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// A read that is under way. Dropping it ends it in BigQuery, too.
pub struct Reading {
    /// Who asks.
    pub client: Arc<Client>,
    /// What is read, for messages.
    pub label: String,
    /// The names of the columns.
    pub columns: Arc<Columns>,
    /// The columns.
    pub fields: Vec<Field>,
    /// Where the data is, if that is known.
    pub location: Option<String>,
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
        let arrivals = Arrivals { reading: self, pages: None, page: None, again: Some(Poll::default()) };
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

    fn doing(&self) -> String {
        format!("reading {}", self.label)
    }

    async fn begin(&self) -> Result<Pages, Error> {
        let job = Job::submit(&self.client, &self.sql, self.location.as_deref()).await;
        let job = job.map_err(|error| error.context(self.doing()))?;
        Ok(Pages::new(job, self.fields.clone(), &self.doing()))
    }

    async fn count_not_due(&self) -> Result<u64, Error> {
        let Some(sql) = &self.not_due else { return Ok(0) };
        let job = Job::submit(&self.client, &sql.clone().into(), self.location.as_deref()).await;
        let job = job.map_err(|error| error.context(self.doing()))?;
        let counts = vec![decode::count_field()];
        let mut pages = Pages::new(job, counts.clone(), &self.doing());
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

    /// Adds a row to a batch. Returns about how many bytes it has.
    fn take(&self, json: &Bytes, columns: &Arc<Columns>, batch: &mut Batch<Row>) -> Result<usize, Error> {
        let cells = decode::cells(json).map_err(|_| errors::unreadable("a row"))?;
        if cells.len() != self.fields.len() {
            return Err(errors::unreadable("rows with columns that were not asked for"));
        }
        let mut values = Vec::with_capacity(self.fields.len());
        let mut unreadable: Vec<(usize, Reason)> = Vec::new();
        for (index, value) in cells.values(&self.fields).enumerate() {
            values.push(value.unwrap_or_else(|(text, reason)| {
                unreadable.push((index, reason));
                Value::Bytes(text.into())
            }));
        }
        let row = Row { columns: Arc::clone(columns), values };
        match unreadable.first() {
            None => batch.items.push(row),
            Some(_) => batch.malformed.push(self.malformed(row, &unreadable)),
        }
        Ok(json.len() + self.fields.len() * size_of::<Value>())
    }

    /// Returns a row of which some values could not be read.
    fn malformed(&self, row: Row, unreadable: &[(usize, Reason)]) -> MalformedRecord {
        let name = |at: usize| self.columns.names().get(at).map_or("", String::as_str);
        let columns: Vec<&str> = unreadable.iter().map(|(at, _)| name(*at)).collect();
        let location = format!("{}, column {}", self.label, columns.join(", "));
        let (at, reason) = &unreadable[0];
        let reason = Reason::new(reason.code.clone(), format!("`{}`: {}", name(*at), reason.message));
        let unreadable = unreadable.iter().map(|(at, _)| *at).collect();
        let row = Some(Box::new(PartialRow { row, unreadable, origin: None }));
        MalformedRecord { location, payload: String::new(), reason, row }
    }
}

/// A read and what has arrived of it.
struct Arrivals {
    reading: Reading,
    pages: Option<Pages>,
    page: Option<Page>,
    /// Before the first page: whether the query may be submitted again.
    again: Option<Poll>,
}

impl Arrivals {
    async fn next_batch(&mut self) -> Result<(Batch<Row>, bool), Error> {
        let limit = self.reading.batch_rows.max(1);
        let mut batch = Batch::of(Vec::with_capacity(limit.min(16_384)));
        // Each batch has its own list of names: threads that drop rows do not wait for each other.
        let columns = self.reading.columns.apart();
        let mut bytes = 0;
        loop {
            let Some(row) = self.page.as_mut().and_then(Page::next_row) else {
                let pages = match &mut self.pages {
                    Some(pages) => pages,
                    None => self.pages.insert(self.reading.begin().await?),
                };
                match (pages.next().await, self.again.take()) {
                    (Ok(Some(page)), _) => self.page = Some(page),
                    (Ok(None), _) => break,
                    (Err(error), None) => return Err(error),
                    // No row of it was seen: a job that failed for reasons of BigQuery is run once more.
                    (Err(error), Some(mut poll)) => {
                        poll.unanswered(error, self.reading.client.clock.now()).await?;
                        self.pages = None;
                    }
                }
                continue;
            };
            bytes += self.reading.take(&row, &columns, &mut batch)?;
            if batch.items.len() + batch.malformed.len() >= limit || bytes >= BATCH_BYTES {
                return Ok((batch, false));
            }
        }
        batch.not_due = self.reading.count_not_due().await?;
        Ok((batch, true))
    }
}
