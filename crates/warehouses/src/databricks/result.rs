//! The parts of a result, fetched one ahead and decoded as they are needed.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use tidegate_model::{Error, ErrorKind};
use tidegate_transport::arrow::stream::{Batches, Compression, batches};
use tidegate_transport::poll::Poll;
use tokio::task::JoinHandle;

use super::client::VENDOR;
use super::errors;
use super::statement::{Answer, Link, Statement, truncated};

/// Fresh addresses for one part, before it counts as not to be had.
const LINKS_MAX: usize = 3;

/// A result whose parts are fetched.
pub struct Rows {
    statement: Arc<Statement>,
    compression: Compression,
    doing: String,
    total: u64,
    seen: u64,
    /// The part that is being fetched.
    ahead: Option<Ahead>,
    /// The part that is being decoded, and the rows that it still owes.
    current: Option<(Batches, u64)>,
}

/// A download that ends when it is dropped. It is decompressed as soon as it is there.
struct Ahead(JoinHandle<Result<(Link, Batches), Error>>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Rows {
    /// Begins to fetch the result of a statement that has ended.
    ///
    /// # Errors
    /// If the result is not complete.
    pub fn new(statement: Statement, answer: Answer, doing: &str) -> Result<Rows, Error> {
        let manifest = answer.manifest.unwrap_or_default();
        if manifest.truncated {
            return Err(truncated(doing));
        }
        let compression = match manifest.result_compression.as_deref() {
            None | Some("NONE" | "") => Compression::None,
            Some("LZ4_FRAME") => Compression::Lz4Frame,
            Some(_) => return Err(errors::unreadable("a compression of its result")),
        };
        let mut rows = Rows {
            statement: Arc::new(statement),
            compression,
            doing: doing.to_owned(),
            total: manifest.total_row_count,
            seen: 0,
            ahead: None,
            current: None,
        };
        let first = answer.result.and_then(|part| part.external_links.into_iter().next());
        if manifest.total_chunk_count > 0 || first.is_some() {
            rows.fetch(0, first);
        }
        Ok(rows)
    }

    fn fetch(&mut self, index: u64, link: Option<Link>) {
        let (statement, doing) = (Arc::clone(&self.statement), self.doing.clone());
        let compression = self.compression;
        self.ahead = Some(Ahead(tokio::spawn(async move {
            let (link, body) = fetch(&statement, index, link, &doing).await?;
            let batches = batches(body, compression).map_err(|why| damaged(&doing, &why))?;
            Ok((link, batches))
        })));
    }

    /// Returns the next rows; `None` after the last ones.
    ///
    /// # Errors
    /// If a part cannot be had, or rows are missing.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            if let Some((batches, owed)) = &mut self.current {
                if let Some(batch) = batches.next() {
                    let batch = batch.map_err(|why| damaged(&self.doing, &why))?;
                    let rows = batch.num_rows() as u64;
                    *owed =
                        owed.checked_sub(rows).ok_or_else(|| damaged(&self.doing, "it has too many rows"))?;
                    self.seen += rows;
                    return Ok(Some(batch));
                }
                if *owed > 0 {
                    return Err(damaged(&self.doing, "rows are missing"));
                }
                self.current = None;
            }
            let Some(mut ahead) = self.ahead.take() else {
                return match self.seen == self.total {
                    true => Ok(None),
                    false => Err(damaged(&self.doing, "rows are missing")),
                };
            };
            let fetched = (&mut ahead.0).await;
            let (link, batches) = fetched
                .map_err(|cause| Error::internal("fetching a result ended abnormally").caused_by(cause))??;
            if let Some(next) = link.next_chunk_index {
                self.fetch(next, None);
            }
            self.current = Some((batches, link.row_count));
        }
    }
}

fn damaged(doing: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Unexpected,
        format!("{doing}: a part of the result from {VENDOR} is damaged: {why}"),
    )
}

/// Fetches a part. An address that does not count any more is asked for again.
async fn fetch(
    statement: &Statement,
    index: u64,
    first: Option<Link>,
    doing: &str,
) -> Result<(Link, Bytes), Error> {
    let client = statement.client();
    let mut poll = Poll::default();
    let mut known = first.filter(|link| link.expiration.is_none_or(|until| client.clock.now() < until));
    for _ in 0..LINKS_MAX {
        let link = match known.take() {
            Some(link) => link,
            None => {
                let part = loop {
                    match statement.part(index).await {
                        Ok(part) => break part,
                        Err(error) => poll.unanswered(error, client.clock.now()).await?,
                    }
                };
                let link = part.external_links.into_iter().next();
                link.ok_or_else(|| errors::unreadable("a part of a result"))?
            }
        };
        let headers: Vec<(String, String)> =
            link.http_headers.clone().unwrap_or_default().into_iter().collect();
        let answered = loop {
            let unanswered = match client.download(&link.external_link, &headers).await {
                Ok(answered) if !is_transient(answered.status()) => break answered,
                Ok(answered) => Error::new(
                    ErrorKind::Unavailable,
                    format!("{doing}: the storage of the result answered {}", answered.status().as_u16()),
                ),
                Err(error) => error,
            };
            poll.unanswered(unanswered, client.clock.now()).await?;
        };
        if answered.status().is_success() {
            return Ok((link, answered.into_body()));
        }
        tracing::debug!(
            status = answered.status().as_u16(),
            "an address of a result does not count any more"
        );
    }
    Err(Error::new(
        ErrorKind::Unexpected,
        format!("{doing}: part {index} of the result is refused by its storage, with fresh addresses too"),
    ))
}

fn is_transient(status: http::StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 429)
}
