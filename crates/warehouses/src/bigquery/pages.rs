//! The pages of a result, fetched one ahead and decoded row by row.
//!
//! A result is a table of its own that lasts a day: all pages are of one state of what was read.
//!
//! Source: BigQuery REST reference, `jobs.getQueryResults`: a page has 10 MB at most; `pageToken` may be
//! there without rows; timestamps are floats unless each page is asked for otherwise.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_model::address::encoded;
use tidegate_model::{Error, ErrorKind};
use tidegate_transport::poll::Poll;
use tokio::task::JoinHandle;

use super::client::Client;
use super::errors;
use super::job::{Job, incomplete};
use super::types::{Field, Schema};

/// Rows of the first page: how wide they are is not known yet.
const FIRST_ROWS: u64 = 2_000;
/// About how large a page is wanted, in bytes of its JSON.
const PAGE_BYTES: u64 = 4 * 1024 * 1024;
/// Rows of a page, at most.
const ROWS_MAX: u64 = 100_000;
/// How long a question about a job waits for its end, in milliseconds.
const PATIENCE: u64 = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(default)]
    job_complete: bool,
    schema: Option<Schema>,
    total_rows: Option<String>,
    total_bytes_processed: Option<String>,
    page_token: Option<String>,
    #[serde(borrow)]
    rows: Option<&'a RawValue>,
}

/// Rows that have arrived.
pub struct Page {
    body: Bytes,
    rows: std::vec::IntoIter<Range<usize>>,
    fields: Option<Vec<Field>>,
    total: Option<u64>,
    processed: u64,
    next: Option<String>,
}

impl Page {
    fn read(body: Bytes) -> Result<Option<Page>, Error> {
        let unreadable = || errors::unreadable("a page of a result");
        let answer: Answer<'_> = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        if !answer.job_complete {
            return Ok(None);
        }
        let rows: Vec<&RawValue> = match answer.rows {
            Some(rows) => serde_json::from_str(rows.get()).map_err(|_| unreadable())?,
            None => Vec::new(),
        };
        let begin = body.as_ptr() as usize;
        let rows = rows.into_iter().map(|row| {
            let at = row.get().as_ptr() as usize - begin;
            at..at + row.get().len()
        });
        let rows: Vec<Range<usize>> = rows.collect();
        let total = answer.total_rows.map(|rows| rows.parse().map_err(|_| unreadable())).transpose()?;
        let processed = answer.total_bytes_processed.and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        let fields = answer.schema.map(|schema| schema.fields.into_iter().map(Field::from).collect());
        let next = answer.page_token.filter(|token| !token.is_empty());
        Ok(Some(Page { rows: rows.into_iter(), fields, total, processed, next, body }))
    }

    /// Counts the bytes that the query has processed, which each page says; for one page of a result.
    pub fn note_processed(&self, client: &Client) {
        client.processed.fetch_add(self.processed, Ordering::Relaxed);
    }

    /// Returns how many rows the whole result has, if the page says it.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Returns the JSON of the next row.
    pub fn next_row(&mut self) -> Option<Bytes> {
        self.rows.next().map(|range| self.body.slice(range))
    }

    /// Returns how many rows of this size make a page of the wanted size.
    fn rows_wanted(&self) -> Option<u64> {
        let rows = self.rows.len() as u64;
        let width = (self.body.len() as u64).checked_div(rows)?.max(1);
        Some((PAGE_BYTES / width).clamp(100, ROWS_MAX))
    }
}

/// A result whose pages are fetched.
pub struct Pages {
    job: Arc<Job>,
    doing: String,
    fields: Vec<Field>,
    seen: u64,
    rows_wanted: u64,
    ahead: Option<Ahead>,
}

/// A page that is being fetched; it is no longer when this is dropped.
struct Ahead(JoinHandle<Result<Page, Error>>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pages {
    /// Begins to fetch the result of a job, whose columns have to be `fields`.
    pub fn new(job: Arc<Job>, fields: Vec<Field>, doing: &str) -> Pages {
        let mut pages =
            Pages { job, doing: doing.to_owned(), fields, seen: 0, rows_wanted: FIRST_ROWS, ahead: None };
        pages.fetch(None);
        pages
    }

    /// Returns the job whose result this is.
    pub fn job(&self) -> Arc<Job> {
        Arc::clone(&self.job)
    }

    fn fetch(&mut self, token: Option<String>) {
        let (job, doing, rows) = (Arc::clone(&self.job), self.doing.clone(), self.rows_wanted);
        self.ahead =
            Some(Ahead(tokio::spawn(async move { fetch(&job, token.as_deref(), rows, &doing).await })));
    }

    /// Returns the next page; `None` after the last one.
    ///
    /// # Errors
    /// If a page cannot be had, rows are missing or columns have changed.
    pub async fn next(&mut self) -> Result<Option<Page>, Error> {
        let Some(mut ahead) = self.ahead.take() else { return Ok(None) };
        let fetched = (&mut ahead.0).await;
        let page = fetched
            .map_err(|cause| Error::internal("fetching a result ended abnormally").caused_by(cause))??;
        if let Some(fields) = &page.fields
            && !(fields.len() == self.fields.len()
                && fields.iter().zip(&self.fields).all(|(one, other)| one.reads_as(other)))
        {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("{}: its columns have changed since they were described", self.doing),
            ));
        }
        self.seen += page.rows.len() as u64;
        if let Some(rows) = page.rows_wanted() {
            self.rows_wanted = rows;
        }
        match &page.next {
            Some(token) => self.fetch(Some(token.clone())),
            None => {
                self.job.close();
                page.note_processed(self.job.client());
                if page.total.is_some_and(|total| total != self.seen) {
                    return Err(incomplete(&self.doing));
                }
            }
        }
        Ok(Some(page))
    }
}

/// Fetches a page. While the job runs, it is asked again; a question without an answer, too.
async fn fetch(job: &Job, token: Option<&str>, rows: u64, doing: &str) -> Result<Page, Error> {
    let mut path = format!("{}&maxResults={rows}&timeoutMs={PATIENCE}", job.result_path());
    if let Some(token) = token {
        path.push_str(&format!("&pageToken={}", encoded(token)));
    }
    let mut poll = Poll::default();
    loop {
        match job.client().body(&path).await.and_then(Page::read) {
            Ok(Some(page)) => return Ok(page),
            Ok(None) => {
                poll.answered();
                poll.pause().await;
            }
            Err(error) => {
                // A job that has failed has failed for all questions.
                if token.is_none()
                    && let Some(failure) = job.failure().await
                {
                    job.close();
                    return Err(failure.context(doing));
                }
                poll.unanswered(error, job.client().clock.now())
                    .await
                    .map_err(|error| error.context(doing))?;
            }
        }
    }
}
