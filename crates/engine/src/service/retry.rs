//! Sending failed rows again, page by page.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_model::store::{FailedRow, FailedRowQuery, FailedRowStore, StatusKind};
use tidegate_model::{
    Batch, Cause, Claim, Error, ErrorKind, Feed, KeptRow, Origin, Progress, Row, RowHash, Run, SyncId, Value,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::runs::OpenSync;
use crate::pipeline::{self, Import, Input};

/// Failed rows that are looked at together, at most.
const PAGE_ROWS: u64 = 1_000;
/// Bytes that are kept of them, about.
const PAGE_BYTES: u64 = 8 << 20;

/// Which failed rows to send again, or to dismiss.
#[derive(Clone, Debug, Default)]
pub struct RetryFilter {
    /// Of one user only.
    pub user: Option<String>,
    /// Rows in doubt instead of rejected ones.
    pub in_doubt: bool,
    /// With this reason code only.
    pub reason: Option<String>,
    /// The row with this key only.
    pub key: Option<RowHash>,
}

impl RetryFilter {
    fn query(&self, sync: &SyncId, limit: usize) -> FailedRowQuery {
        FailedRowQuery {
            sync: Some(sync.clone()),
            user: self.user.clone(),
            key: self.key,
            reason: self.reason.clone(),
            status: Some(if self.in_doubt { StatusKind::InDoubt } else { StatusKind::Rejected }),
            limit,
            ..FailedRowQuery::default()
        }
    }
}

/// The result of a retry.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RetryResult {
    /// The run, if there was anything to send.
    pub run: Option<Run>,
    /// Rows that the source no longer has. A mirror acts on them in its next run.
    pub gone: u64,
    /// Inputs that could not be parsed, or of which not everything is kept: fix the source and read it again.
    pub malformed: u64,
}

/// Failed rows that a retry did not send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    gone: u64,
    /// What could not be parsed, rows of which only a part was kept and that the source cannot look
    /// up, and those of which nothing is kept.
    malformed: u64,
}

impl Engine {
    /// Sends rejected rows, or rows in doubt, again: as the source has them now if it can look them
    /// up, else as they were. Memory does not follow their number. If another process holds the
    /// sync, asks it, and gives up if it does not begin within 30 s.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn retry(
        &self,
        id: &SyncId,
        filter: &RetryFilter,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<RetryResult, Error> {
        self.import_spec(id)?;
        let (open, claim) = match self.ready(id, Cause::Retry).await {
            Ok(ready) => ready,
            // The process that holds it does it.
            Err(error) if error.kind() == ErrorKind::Held => {
                return self.ask_for_retry(id, filter, error, &stop).await;
            }
            Err(error) => return Err(error),
        };
        let retried = self.retry_open(&open, &claim, filter, stop, progress).await;
        claim.release().await;
        retried
    }

    /// Sends failed rows of what is opened again.
    pub(super) async fn retry_open(
        &self,
        open: &OpenSync,
        claim: &Claim,
        filter: &RetryFilter,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<RetryResult, Error> {
        let OpenSync::Import(import) = open else {
            return Err(Error::internal(format!("the import `{}` was opened as an export", claim.sync())));
        };
        let left = Arc::new(Mutex::new(Left::default()));
        let rows = self.rows_to_retry(import, filter, left.clone()).await;
        if let Err(error) = &rows {
            self.note_failure(claim, import.platform.object().kind, Cause::Retry, error).await;
        }
        let run = match rows? {
            None => None,
            Some(rows) => {
                let parts = self.parts(claim);
                Some(pipeline::run(import, &parts, Cause::Retry, Input::Rows(rows), stop, progress).await?)
            }
        };
        let left = *left.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(RetryResult { run, gone: left.gone, malformed: left.malformed })
    }

    /// Returns the rows to retry, the first of them read; `None` if there are none.
    async fn rows_to_retry(
        &self,
        import: &Import,
        filter: &RetryFilter,
        left: Arc<Mutex<Left>>,
    ) -> Result<Option<Feed<Row>>, Error> {
        let sync = self.import_spec(&import.sync)?;
        let dataset = import.source.describe(&import.selection).await?;
        let totals = self.config.store.failed_row_totals(&import.sync).await?;
        let rows = PAGE_BYTES / (totals.bytes / totals.rows.max(1)).max(1);
        let limit = usize::try_from(rows.clamp(16, PAGE_ROWS)).unwrap_or(16);
        let mut rows = RowsToRetry {
            store: self.config.store.clone(),
            import: import.clone(),
            key: sync.primary_key.clone().unwrap_or(dataset.key),
            query: filter.query(&import.sync, limit),
            began: self.config.clock.now(),
            after: None,
            ready: VecDeque::new(),
            lookup: None,
            left,
        }
        .feed();
        let first = rows.next().await.transpose()?;
        Ok(first.map(|first| stream::iter([Ok(first)]).chain(rows).boxed()))
    }

    /// Closes failed rows that need no delivery, with a note that says why. Returns how many.
    ///
    /// # Errors
    /// If there is no such sync, the note is blank, or the store cannot be written.
    pub async fn dismiss(&self, id: &SyncId, filter: &RetryFilter, note: &str) -> Result<u64, Error> {
        self.sync(id)?;
        let note = note.trim();
        if note.is_empty() {
            return Err(Error::settings("a dismissal needs a note")
                .hint("say in the note why these rows need no delivery"));
        }
        let query = filter.query(id, usize::MAX);
        self.config.store.dismiss_failed_rows(&query, note, self.config.clock.now()).await
    }
}

/// Failed rows as they are now.
struct RowsToRetry {
    store: Arc<dyn FailedRowStore>,
    import: Import,
    key: Vec<String>,
    query: FailedRowQuery,
    /// Rows that fail later are not retried once more.
    began: Timestamp,
    /// The last row that was looked at.
    after: Option<FailedRow>,
    /// What is ready to be sent.
    ready: VecDeque<Batch<Row>>,
    /// What the source gives of a page, and how many rows are still expected.
    lookup: Option<(Feed<Row>, u64)>,
    left: Arc<Mutex<Left>>,
}

/// A row as it was kept.
struct Kept {
    hash: RowHash,
    row: Row,
    /// Whether nothing of it is missing.
    is_whole: bool,
}

impl RowsToRetry {
    fn feed(self) -> Feed<Row> {
        stream::try_unfold(self, |mut rows| async move { Ok(rows.next().await?.map(|batch| (batch, rows))) })
            .boxed()
    }

    async fn next(&mut self) -> Result<Option<Batch<Row>>, Error> {
        loop {
            if let Some((feed, expected)) = &mut self.lookup {
                if let Some(batch) = feed.next().await.transpose()? {
                    let found = (batch.items.len() + batch.malformed.len()) as u64;
                    *expected = expected.saturating_sub(found);
                    if found > 0 {
                        return Ok(Some(batch));
                    }
                    continue;
                }
                let gone = *expected;
                self.lookup = None;
                self.note(|left| left.gone += gone);
            }
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let page = self.store.failed_rows_in_order(&self.query, self.after.as_ref()).await?;
            let Some(last) = page.last() else { return Ok(None) };
            self.after = Some(last.clone());
            let page = page.into_iter().filter(|row| row.first_at <= self.began).collect();
            self.take(page).await?;
        }
    }

    fn note(&self, what: impl FnOnce(&mut Left)) {
        what(&mut self.left.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sorts the rows of a page by how they are found again.
    async fn take(&mut self, page: Vec<FailedRow>) -> Result<(), Error> {
        let mut unchanged = Batch::of(Vec::new());
        let (mut kept, mut locations) = (Vec::new(), Vec::new());
        for FailedRow { key: hash, row: version, entry, .. } in page {
            match entry.payload {
                // What was kept is no row of the source. The next run sends the deletion again.
                _ if version.is_removed() => self.note(|left| left.gone += 1),
                Some(KeptRow::Whole(row)) if self.has_columns(&row) && !self.import.source.rows_change() => {
                    unchanged.items.push(row);
                    unchanged.origins.push(Origin::Known(hash));
                }
                Some(KeptRow::Whole(row)) if self.has_columns(&row) || self.has_key(&row) => {
                    kept.push(Kept { hash, row, is_whole: true });
                }
                Some(KeptRow::Whole(_)) => self.note(|left| left.malformed += 1),
                Some(KeptRow::Part(part)) => match part.location {
                    Some(location) => locations.push(location.to_string()),
                    None if self.has_key(&part.row) => {
                        kept.push(Kept { hash, row: part.row, is_whole: false });
                    }
                    None => self.note(|left| left.malformed += 1),
                },
                // Nothing says where it is at the source, so nothing says that it is not there.
                None => self.note(|left| left.malformed += 1),
            }
        }
        if !unchanged.items.is_empty() {
            self.ready.push_back(unchanged);
        }
        self.look_up(kept).await?;
        self.reread(locations).await
    }

    /// Whether a kept row has the columns of today.
    fn has_columns(&self, row: &Row) -> bool {
        let columns = self.import.columns.names();
        match self.import.open {
            true => row.columns.names().starts_with(columns),
            false => row.columns.names() == columns,
        }
    }

    fn has_key(&self, row: &Row) -> bool {
        !self.key.is_empty() && self.key.iter().all(|name| row.get(name).is_some())
    }

    /// Takes kept rows as the source has them now; whole ones as they were if it cannot look them up.
    async fn look_up(&mut self, kept: Vec<Kept>) -> Result<(), Error> {
        let key = |row: &Row| self.key.iter().map(|name| row.get(name).cloned()).collect();
        let values: Option<Vec<Vec<Value>>> = kept.iter().map(|kept| key(&kept.row)).collect();
        let (source, selection) = (&self.import.source, &self.import.selection);
        let found = match values {
            Some(values) if !self.key.is_empty() && !values.is_empty() => {
                source.lookup(selection, &self.key, &values).await?
            }
            _ => None,
        };
        if let Some(feed) = found {
            self.lookup = Some((feed, kept.len() as u64));
            return Ok(());
        }
        let mut batch = Batch::of(Vec::new());
        for Kept { hash, row, is_whole } in kept {
            // A source that may have any column has the columns of a part as well.
            if is_whole && self.has_columns(&row) {
                batch.items.push(row);
                batch.origins.push(Origin::Known(hash));
            } else {
                self.note(|left| left.malformed += 1);
            }
        }
        if !batch.items.is_empty() {
            self.ready.push_back(batch);
        }
        Ok(())
    }

    /// Takes what stands at these locations now, if the source can read them again.
    async fn reread(&mut self, locations: Vec<String>) -> Result<(), Error> {
        if locations.is_empty() {
            return Ok(());
        }
        let Some(mut found) = self.import.source.reread(&self.import.selection, &locations).await? else {
            self.note(|left| left.malformed += locations.len() as u64);
            return Ok(());
        };
        let count = found.items.len() + found.malformed.len();
        self.note(|left| left.gone += locations.len().saturating_sub(count) as u64);
        // A row with a key of its own closes the piece that stood in its place.
        found.fixed.extend(found.origins.iter().map(Origin::to_string));
        if count > 0 {
            self.ready.push_back(found);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tidegate_model::store::RowEntry;
    use tidegate_model::{Columns, ObjectKind, RowPart, RunId};

    use super::*;
    use crate::scheduler::tests::Stage;

    /// A source such as JSON Lines: its rows may have any columns, and cannot be looked up.
    #[tokio::test(start_paused = true)]
    async fn a_row_that_was_kept_in_part_is_not_sent_as_if_it_were_whole() {
        let stage = Stage::start(1, 8);
        let sync = SyncId::new("s0");
        let mut import = stage.engine.import(&sync, None).await.expect("opens");
        import.open = true;
        let row = Row { columns: Columns::new(["id", "note"]), values: vec![Value::Int(1), Value::Null] };
        let part = RowPart { row: row.clone(), cut: vec!["note".to_owned()], ..RowPart::default() };
        let page = vec![
            failed(&sync, RowHash(1), Some(KeptRow::Part(Box::new(part)))),
            failed(&sync, RowHash(1), Some(KeptRow::Whole(row))),
        ];
        let left = Left { malformed: 1, gone: 0 };
        assert_eq!(taken(&stage, import, page).await, (1, left), "the whole one, and the other one is told");
    }

    /// A row of a mirror whose deletion was rejected: the identifier of the user, and nothing else.
    #[tokio::test(start_paused = true)]
    async fn a_retry_does_not_create_the_user_whose_deletion_was_rejected() {
        let stage = Stage::start(1, 8);
        let sync = SyncId::new("s0");
        let import = stage.engine.import(&sync, None).await.expect("opens");
        let columns = import.columns.clone();
        let mut values = vec![Value::Null; columns.names().len()];
        let unnamed = Row { columns: columns.clone(), values: values.clone() };
        values[0] = Value::Text("5".into());
        let named = Row { columns, values };
        let page =
            [named, unnamed].map(|row| failed(&sync, RowHash::REMOVED.with_changes(3), Some(row.into())));
        let left = Left { malformed: 0, gone: 2 };
        assert_eq!(taken(&stage, import, page.into()).await, (0, left), "the next run deletes them");
    }

    /// A row that was listed at the end of a run, or whose contents were removed by the retention.
    #[tokio::test(start_paused = true)]
    async fn a_row_of_which_nothing_is_kept_is_not_said_to_be_gone_from_the_source() {
        let stage = Stage::start(1, 8);
        let sync = SyncId::new("s0");
        let import = stage.engine.import(&sync, None).await.expect("opens");
        let page = vec![failed(&sync, RowHash(1), None)];
        assert_eq!(taken(&stage, import, page).await, (0, Left { malformed: 1, gone: 0 }));
    }

    /// A failed row of this version, of which this was kept.
    fn failed(sync: &SyncId, version: RowHash, payload: Option<KeptRow>) -> FailedRow {
        let entry = RowEntry {
            at: Timestamp::UNIX_EPOCH,
            sync: sync.clone(),
            run: RunId::new("r"),
            object: ObjectKind::Event,
            user: String::new(),
            key: "1".to_owned(),
            status: StatusKind::Rejected,
            reason: None,
            payload,
        };
        let first_at = Timestamp::UNIX_EPOCH;
        FailedRow { key: RowHash(1), row: version, entry, first_at, attempts: 1, position: 1 }
    }

    /// Returns how many rows of a page are sent, and what is said of the others.
    async fn taken(stage: &Stage, import: Import, page: Vec<FailedRow>) -> (usize, Left) {
        let left = Arc::new(Mutex::new(Left::default()));
        let sync = import.sync.clone();
        let mut rows = RowsToRetry {
            store: stage.engine.config.store.clone(),
            import,
            key: vec!["id".to_owned()],
            query: RetryFilter::default().query(&sync, 10),
            began: stage.engine.config.clock.now(),
            after: None,
            ready: VecDeque::new(),
            lookup: None,
            left: left.clone(),
        };
        rows.take(page).await.expect("sorted");
        let sent = rows.ready.iter().map(|batch| batch.items.len()).sum();
        let left = *left.lock().expect("no panic");
        (sent, left)
    }

    #[tokio::test(start_paused = true)]
    async fn failed_rows_are_not_dismissed_without_a_note_by_whoever_asks() {
        let stage = Stage::start(1, 8);
        let (sync, filter) = (SyncId::new("s0"), RetryFilter::default());
        for note in ["", " \n"] {
            let error = stage.engine.dismiss(&sync, &filter, note).await.expect_err("no note");
            assert_eq!((error.kind(), error.message()), (ErrorKind::Settings, "a dismissal needs a note"));
        }
        assert_eq!(stage.engine.dismiss(&sync, &filter, "a test user").await.expect("none to close"), 0);
    }
}
