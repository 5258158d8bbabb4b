//! Moves the status of rows from the tables into history files.
//!
//! One task does it, beside the runs. A file is written once enough rows of a sync wait, the day is
//! over, or the last file is hours old: runs that are small and many have few files. The order makes
//! a crash at any moment harmless: the file is whole and durable before it is listed, and it is
//! listed in the transaction that removes its blocks.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Clock, Error, ObjectKind, RunId, SyncId};
use tokio::sync::{mpsc, oneshot};

use super::contents::Contents;
use super::dialect::Database;
use super::failed_rows;
use super::history_files::{self, NewFile};
use super::statement::{Statement, from_word, sql};
use super::trim::{self, Age};
use crate::blocking::blocking;
use crate::history::erase::sync_of;
use crate::history::{BlockId, History, HistoryFile, block::Block, day_of, parquet::HistoryWriter};

/// Rows of a run that wait in tables before a file is made of them.
pub(super) const PENDING_ROWS_MAX: u64 = 500_000;
/// Rows of a sync of which a file is made when a run ends.
const FILE_ROWS: u64 = 100_000;
/// The least time between files of fewer rows.
const FILE_SPAN: SignedDuration = SignedDuration::from_hours(6);
/// How long the end of a run waits for its file.
const WAIT: Duration = Duration::from_secs(10);
/// Rows in memory at a time.
const PAGE_ROWS: u64 = 20_000;

/// Hands syncs to the task.
pub(super) struct Archive {
    database: Arc<Database>,
    history: History,
    /// The name of this data folder in the list of files.
    folder: String,
    queue: mpsc::UnboundedSender<Job>,
    /// Syncs whose turn will come anyway.
    waiting: Arc<Mutex<HashSet<SyncId>>>,
}

struct Job {
    /// `None` for every sync.
    sync: Option<SyncId>,
    done: Option<oneshot::Sender<()>>,
}

impl Archive {
    /// Starts the task with what a dead process left behind.
    pub(super) fn open(
        database: Arc<Database>,
        history: History,
        folder: String,
        clock: Arc<dyn Clock>,
        history_days: u32,
        (failed_row_days, contents): (u32, Arc<Contents>),
    ) -> Archive {
        // Holds a job for each sync, and one for each run that ends.
        let (queue, jobs) = mpsc::unbounded_channel();
        let waiting = Arc::new(Mutex::new(HashSet::new()));
        let task = Task {
            database: Arc::clone(&database),
            history: history.clone(),
            folder: folder.clone(),
            waiting: Arc::clone(&waiting),
            clock,
            history_days,
            failed_row_days,
            contents,
            trimmed: None,
            behind: false,
        };
        tokio::spawn(task.work(jobs));
        let archive = Archive { database, history, folder, queue, waiting };
        archive.send(Job { sync: None, done: None });
        archive
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// Makes a file of a sync's rows when its turn comes, if it is time for one.
    pub(super) fn soon(&self, sync: &SyncId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.insert(sync.clone()) {
            self.send(Job { sync: Some(sync.clone()), done: None });
        }
    }

    /// Makes a file of a sync's rows, if it is time for one, and waits for it, but not for long if those
    /// of other syncs come first. If that fails, the rows stay in the tables, where they are found as
    /// well.
    pub(super) async fn now(&self, sync: &SyncId) {
        let (done, finished) = oneshot::channel();
        self.send(Job { sync: Some(sync.clone()), done: Some(done) });
        let _ = tokio::time::timeout(WAIT, finished).await;
    }

    /// Removes whole days of history before that of `before`, and what is as old.
    pub(super) async fn trim(&self, before: Timestamp) -> Result<(), Error> {
        trim::trim(&self.database, &self.history, &self.folder, Age::before(before)).await
    }

    fn send(&self, job: Job) {
        // The task ends only after this is gone, or with the runtime.
        let _ = self.queue.send(job);
    }
}

struct Task {
    database: Arc<Database>,
    history: History,
    folder: String,
    waiting: Arc<Mutex<HashSet<SyncId>>>,
    clock: Arc<dyn Clock>,
    history_days: u32,
    failed_row_days: u32,
    contents: Arc<Contents>,
    trimmed: Option<Date>,
    /// Whether a sync was left to another process, which may have died since.
    behind: bool,
}

impl Task {
    async fn work(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = jobs.recv().await {
            if let Err(error) = self.archive(job.sync.as_ref()).await {
                tracing::warn!(error = %error.chain(), "history rows stay in the state database for now");
            }
            if let Some(sync) = &job.sync {
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(sync);
            }
            if let Err(error) = self.trim_daily().await {
                tracing::warn!(error = %error.chain(), "old history could not be removed");
            }
            if let Some(done) = job.done {
                let _ = done.send(());
            }
        }
    }

    async fn archive(&mut self, sync: Option<&SyncId>) -> Result<(), Error> {
        // Two processes on one data folder must not write the same file. What is left
        // to the other one is looked at again with the next run.
        let Some(_lock) = self.database.lock_file("history")? else {
            self.behind = true;
            return Ok(());
        };
        if let (Some(sync), false) = (sync, std::mem::take(&mut self.behind)) {
            return self.archive_sync(sync).await;
        }
        self.adopt_all().await?;
        self.archive_all().await
    }

    async fn archive_all(&self) -> Result<(), Error> {
        for record in self.database.all(sql("SELECT DISTINCT sync FROM blocks ORDER BY sync")).await? {
            self.archive_sync(&SyncId::new(record.get::<String>("sync")?)).await?;
        }
        Ok(())
    }

    /// Lists the files of a folder of which the store knows none: it is new, or an older copy.
    async fn adopt_all(&self) -> Result<(), Error> {
        if history_files::any(&self.database, &self.folder, None).await? {
            return Ok(());
        }
        let history = self.history.clone();
        for name in blocking(move || history.names()).await? {
            self.adopt(&name).await?;
        }
        Ok(())
    }

    /// Lists a file that is there and is not listed: its writer died. What it holds leaves the
    /// tables.
    async fn adopt(&self, name: &str) -> Result<(), Error> {
        let Some(file) = HistoryFile::parse(&self.history, name) else { return Ok(()) };
        if history_files::any(&self.database, &self.folder, Some(name)).await? {
            return Ok(());
        }
        let path = file.path.clone();
        let sync = match blocking(move || sync_of(&path)).await {
            Ok(sync) => sync,
            Err(error) => {
                tracing::warn!(error = %error.chain(), "a file is left out of the history");
                return Ok(());
            }
        };
        let midnight = |day: Date| day.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).ok();
        let low = midnight(file.day).unwrap_or(Timestamp::MIN);
        let high = file.day.tomorrow().ok().and_then(midnight).unwrap_or(Timestamp::MAX);
        let new = NewFile {
            name,
            sync: &sync,
            day: file.day,
            first: &file.first,
            last: &file.last,
            span: (low, high),
        };
        let mut tx = self.database.write().await?;
        history_files::add(&mut tx, &self.folder, &new).await?;
        tx.commit().await
    }

    async fn archive_sync(&self, sync: &SyncId) -> Result<(), Error> {
        if !self.is_time(sync).await? {
            return Ok(());
        }
        for group in self.pending(sync).await?.chunk_by(|a, b| (a.day, a.object) == (b.day, b.object)) {
            let (Some(first), history) = (group.first(), self.history.clone()) else { continue };
            let (day, of_sync) = (first.day, history.folder_of(sync));
            let names = blocking(move || {
                history.tidy(&of_sync, day)?;
                history.names_of_day(&of_sync, day)
            })
            .await?;
            for name in names {
                self.adopt(&name).await?;
            }
            self.write_file(sync, group).await?;
        }
        Ok(())
    }

    /// Whether a file is to be made of the rows of a sync that wait in tables.
    async fn is_time(&self, sync: &SyncId) -> Result<bool, Error> {
        let statement = sql("SELECT MIN(committed_at) AS oldest, CAST(SUM(row_count) AS BIGINT) AS row_count
            FROM blocks WHERE sync = $1");
        let Some(record) = self.database.first(statement.bind(sync)).await? else { return Ok(false) };
        let Some(oldest) = record.maybe_time("oldest")? else { return Ok(false) };
        let now = self.clock.now();
        if record.count("row_count")? >= FILE_ROWS || day_of(oldest) < day_of(now) {
            return Ok(true);
        }
        let last = history_files::last(&self.database, &self.folder, sync).await?;
        Ok(last.is_none_or(|last| now.duration_since(last) >= FILE_SPAN || last > now))
    }

    async fn pending(&self, sync: &SyncId) -> Result<Vec<Pending>, Error> {
        let statement = sql("SELECT run, seq, object, committed_at, row_count FROM blocks
            WHERE sync = $1 ORDER BY run, seq");
        let records = self.database.all(statement.bind(sync)).await?;
        let pending = records.iter().map(|record| {
            let at = record.time("committed_at")?;
            Ok(Pending {
                id: (RunId::new(record.get::<String>("run")?), record.count("seq")?),
                object: from_word(&record.get::<String>("object")?, "object")?,
                at,
                day: day_of(at),
                rows: record.count("row_count")?,
            })
        });
        pending.collect()
    }

    /// One file of blocks of one day, unless another machine was faster.
    async fn write_file(&self, sync: &SyncId, group: &[Pending]) -> Result<(), Error> {
        let ([first, ..], [.., last]) = (group, group) else { return Ok(()) };
        let name = self.history.name_of(sync, first.day, &first.id, &last.id);
        let path = self.history.path_of(&name);
        let (of_sync, object, target) = (sync.clone(), first.object, path.clone());
        let mut writer = blocking(move || HistoryWriter::create(target, &of_sync, object)).await?;
        for (from, to) in pages(group) {
            let (condition, args) = history_files::blocks(sync, from, to);
            let text =
                format!("SELECT run, committed_at, body FROM blocks WHERE {condition} ORDER BY run, seq");
            let mut bodies = Vec::new();
            for record in self.database.all(Statement::assembled(text, args)).await? {
                let run = RunId::new(record.get::<String>("run")?);
                bodies.push((record.time("committed_at")?, run, record.get::<Vec<u8>>("body")?));
            }
            writer = blocking(move || {
                for (at, run, body) in bodies {
                    writer.write(at, &run, Block::decode(&body)?)?;
                }
                Ok(writer)
            })
            .await?;
        }
        blocking(move || writer.finish()).await?;
        let new = NewFile {
            name: &name,
            sync,
            day: first.day,
            first: &first.id,
            last: &last.id,
            span: (first.at, last.at),
        };
        let mut tx = self.database.write().await?;
        let removed = history_files::add(&mut tx, &self.folder, &new).await?;
        if removed == group.len() as u64 {
            return tx.commit().await;
        }
        drop(tx);
        blocking(move || {
            std::fs::remove_file(&path).map_err(|cause| super::failure::of_io(cause, "removing", &path))
        })
        .await
    }

    async fn trim_daily(&mut self) -> Result<(), Error> {
        let now = self.clock.now();
        let today = day_of(now);
        if self.trimmed == Some(today) {
            return Ok(());
        }
        if self.trimmed.is_some() {
            // Syncs that do not run any more have files of their last days, too.
            let Some(_lock) = self.database.lock_file("history")? else { return Ok(()) };
            self.archive_all().await?;
        }
        let before = |days: u32| {
            let kept = SignedDuration::from_hours(24 * i64::from(days));
            (days > 0).then(|| now.checked_sub(kept).unwrap_or(Timestamp::MIN))
        };
        if let Some(before) = before(self.history_days) {
            trim::trim(&self.database, &self.history, &self.folder, Age::before(before)).await?;
        }
        if let Some(before) = before(self.failed_row_days) {
            failed_rows::forget(&self.database, &self.contents, before).await?;
        }
        self.trimmed = Some(today);
        Ok(())
    }
}

struct Pending {
    id: BlockId,
    object: ObjectKind,
    at: Timestamp,
    day: Date,
    rows: u64,
}

/// The first and last blocks of portions that fit into memory.
fn pages(group: &[Pending]) -> Vec<(&BlockId, &BlockId)> {
    let mut pages: Vec<(&BlockId, &BlockId)> = Vec::new();
    let mut rows = 0;
    for block in group {
        rows += block.rows;
        match pages.last_mut() {
            Some(page) if rows <= PAGE_ROWS => page.1 = &block.id,
            _ => {
                pages.push((&block.id, &block.id));
                rows = block.rows;
            }
        }
    }
    pages
}
