//! Moves the status of rows from the tables into history files.
//!
//! One task does it, beside the runs. The order makes a crash at any moment
//! harmless: the file is whole and durable before the first of its blocks goes,
//! and a block that a file holds already is dropped, not written again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Clock, Error, ObjectKind, RunId, SyncId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::contents;
use super::dialect::Database;
use super::statement::{from_word, sql};
use crate::history::{History, block::Block, parquet::HistoryWriter};

/// Rows of a run that wait in tables before a file is made of them.
pub(super) const PENDING_ROWS_MAX: u64 = 500_000;
/// Rows in memory at a time.
const PAGE_ROWS: u64 = 20_000;

/// Hands runs to the task.
pub(super) struct Archive {
    database: Arc<Database>,
    history: History,
    queue: mpsc::UnboundedSender<Job>,
    /// Runs whose turn will come anyway.
    waiting: Arc<Mutex<HashSet<RunId>>>,
}

struct Job {
    /// `None` stands for every run that has ended.
    run: Option<RunId>,
    done: Option<oneshot::Sender<()>>,
}

impl Archive {
    /// Starts the task with the runs that a dead process left behind.
    pub(super) fn open(
        database: Arc<Database>,
        history: History,
        clock: Arc<dyn Clock>,
        history_days: u32,
        failed_row_days: u32,
    ) -> Archive {
        let (queue, jobs) = mpsc::unbounded_channel();
        let waiting = Arc::new(Mutex::new(HashSet::new()));
        let task = Task {
            database: Arc::clone(&database),
            history: history.clone(),
            waiting: Arc::clone(&waiting),
            clock,
            history_days,
            failed_row_days,
            trimmed: None,
            behind: false,
        };
        tokio::spawn(task.work(jobs));
        let archive = Archive { database, history, queue, waiting };
        archive.send(Job { run: None, done: None });
        archive
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// Makes files of a run's rows when its turn comes.
    pub(super) fn soon(&self, run: RunId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.insert(run.clone()) {
            self.send(Job { run: Some(run), done: None });
        }
    }

    /// Makes files of a run's rows and waits for them. Where that fails, the rows
    /// stay in the tables, where they are found as well.
    pub(super) async fn now(&self, run: RunId) {
        let (done, finished) = oneshot::channel();
        self.send(Job { run: Some(run), done: Some(done) });
        let _ = finished.await;
    }

    /// Removes whole days of history before that of `before`.
    pub(super) async fn trim(&self, before: Timestamp) -> Result<(), Error> {
        trim(&self.database, &self.history, before).await
    }

    fn send(&self, job: Job) {
        // The task ends only after this is gone, or with the runtime.
        let _ = self.queue.send(job);
    }
}

struct Task {
    database: Arc<Database>,
    history: History,
    waiting: Arc<Mutex<HashSet<RunId>>>,
    clock: Arc<dyn Clock>,
    history_days: u32,
    failed_row_days: u32,
    trimmed: Option<Date>,
    /// Whether a run was left to another process, which may have died since.
    behind: bool,
}

impl Task {
    async fn work(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = jobs.recv().await {
            if let Err(error) = self.archive(job.run.as_ref()).await {
                tracing::warn!(error = %error.chain(), "history rows stay in the state database for now");
            }
            if let Some(run) = &job.run {
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
            }
            if let Err(error) = self.trim_daily().await {
                tracing::warn!(error = %error.chain(), "old history could not be removed");
            }
            if let Some(done) = job.done {
                let _ = done.send(());
            }
        }
    }

    async fn archive(&mut self, run: Option<&RunId>) -> Result<(), Error> {
        // Two processes on one data folder must not write the same file. What is left
        // to the other one is looked at again with the next run.
        let Some(_lock) = self.database.lock_file("history")? else {
            self.behind = true;
            return Ok(());
        };
        if let (Some(run), false) = (run, std::mem::take(&mut self.behind)) {
            return self.archive_run(run).await;
        }
        let statement = sql("SELECT DISTINCT blocks.run AS run FROM blocks
            JOIN runs ON runs.id = blocks.run WHERE runs.ending IS NOT NULL ORDER BY blocks.run");
        for record in self.database.all(statement).await? {
            self.archive_run(&RunId::new(record.get::<String>("run")?)).await?;
        }
        Ok(())
    }

    async fn archive_run(&self, run: &RunId) -> Result<(), Error> {
        let blocks = self.pending(run).await?;
        let Some(first) = blocks.first() else {
            return Ok(());
        };
        let (history, sync) = (self.history.clone(), first.sync.clone());
        let files = blocking(move || {
            history.tidy(&sync)?;
            history.files(Some(&sync))
        })
        .await?;
        let (held, blocks): (Vec<Pending>, Vec<Pending>) =
            blocks.into_iter().partition(|block| files.iter().any(|file| file.holds(run, block.seq)));
        for block in held {
            self.forget(run, (block.seq, block.seq), block.rows).await?;
        }
        for group in blocks.chunk_by(|a, b| a.day == b.day) {
            self.write_file(run, group).await?;
        }
        Ok(())
    }

    async fn pending(&self, run: &RunId) -> Result<Vec<Pending>, Error> {
        let statement = sql("SELECT seq, sync, object, committed_at, row_count FROM blocks
            WHERE run = $1 ORDER BY seq");
        let records = self.database.all(statement.bind(run.as_str())).await?;
        let pending = records.iter().map(|record| {
            Ok(Pending {
                seq: record.count("seq")?,
                sync: SyncId::new(record.get::<String>("sync")?),
                object: from_word(&record.get::<String>("object")?, "object")?,
                day: day_of(record.time("committed_at")?),
                rows: record.count("row_count")?,
            })
        });
        pending.collect()
    }

    /// One file of blocks of one day.
    async fn write_file(&self, run: &RunId, group: &[Pending]) -> Result<(), Error> {
        let [first, ..] = group else {
            return Ok(());
        };
        let blocks = (first.seq, group.last().unwrap_or(first).seq);
        let path = self.history.path_of(&first.sync, first.day, run, blocks);
        let (sync, name, object) = (first.sync.clone(), run.clone(), first.object);
        let mut writer = blocking(move || HistoryWriter::create(path, &sync, name, object)).await?;
        for page in pages(group) {
            let statement = sql("SELECT committed_at, body FROM blocks
                WHERE run = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq");
            let statement = statement.bind(run.as_str()).bind(page.0).bind(page.1);
            let mut bodies = Vec::new();
            for record in self.database.all(statement).await? {
                bodies.push((record.time("committed_at")?, record.get::<Vec<u8>>("body")?));
            }
            writer = blocking(move || {
                for (at, body) in bodies {
                    writer.write(at, Block::decode(&body)?)?;
                }
                Ok(writer)
            })
            .await?;
        }
        blocking(move || writer.finish()).await?;
        self.forget(run, blocks, group.iter().map(|block| block.rows).sum()).await
    }

    /// Drops blocks that a file holds.
    async fn forget(&self, run: &RunId, (first, last): (u64, u64), rows: u64) -> Result<(), Error> {
        let mut tx = self.database.write().await?;
        let blocks = sql("DELETE FROM blocks WHERE run = $1 AND seq >= $2 AND seq <= $3");
        tx.execute(blocks.bind(run.as_str()).bind(first).bind(last)).await?;
        let count = sql("UPDATE runs SET pending_rows = pending_rows - $2 WHERE id = $1");
        tx.execute(count.bind(run.as_str()).bind(rows)).await?;
        tx.commit().await
    }

    async fn trim_daily(&mut self) -> Result<(), Error> {
        let now = self.clock.now();
        let today = day_of(now);
        if self.trimmed == Some(today) {
            return Ok(());
        }
        let before = |days: u32| {
            let kept = SignedDuration::from_hours(24 * i64::from(days));
            (days > 0).then(|| now.checked_sub(kept).unwrap_or(Timestamp::MIN))
        };
        if let Some(before) = before(self.history_days) {
            trim(&self.database, &self.history, before).await?;
        }
        if let Some(before) = before(self.failed_row_days) {
            contents::forget(&self.database, before).await?;
        }
        self.trimmed = Some(today);
        Ok(())
    }
}

struct Pending {
    seq: u64,
    sync: SyncId,
    object: ObjectKind,
    day: Date,
    rows: u64,
}

/// The first and last blocks of portions that fit into memory.
fn pages(group: &[Pending]) -> Vec<(u64, u64)> {
    let mut pages: Vec<(u64, u64)> = Vec::new();
    let mut rows = 0;
    for block in group {
        rows += block.rows;
        match pages.last_mut() {
            Some(page) if rows <= PAGE_ROWS => page.1 = block.seq,
            _ => {
                pages.push((block.seq, block.seq));
                rows = block.rows;
            }
        }
    }
    pages
}

async fn trim(database: &Database, history: &History, before: Timestamp) -> Result<(), Error> {
    let day = day_of(before);
    let history = history.clone();
    blocking(move || history.trim(day)).await?;
    let midnight = day.to_zoned(TimeZone::UTC).map_or(before, |midnight| midnight.timestamp());
    database.execute(sql("DELETE FROM blocks WHERE committed_at < $1").bind(midnight)).await?;
    Ok(())
}

/// The day in whose folder a block belongs.
fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Work on files and columns, beside the threads that serve everybody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        // The process is ending: the work is done by the next one.
        Err(cause) if cause.is_cancelled() => std::future::pending().await,
        Err(cause) => Err(Error::internal("work on history files ended early").caused_by(cause)),
    }
}
