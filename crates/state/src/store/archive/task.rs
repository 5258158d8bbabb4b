//! Makes history files of blocks, one sync after the other.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Clock, Error, RunId, SyncId};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::pending::{self, Pending, pages};
use super::{Job, LOCK};
use crate::blocking::blocking;
use crate::history::erase::sync_of;
use crate::history::{
    History, HistoryFile, block::Block, day_of, new_version_of, parquet::HistoryWriter, user_marks,
};
use crate::lookback::run_files::RunFiles;
use crate::store::contents::Contents;
use crate::store::dialect::Database;
use crate::store::history_files::{self, Counted, NewFile};
use crate::store::shared_history::{IN_BUCKET, SharedHistory};
use crate::store::statement::{Statement, sql};
use crate::store::trim::{self, Age, PlausibleTime};
use crate::store::user_index::{self, PART_FILES};
use crate::store::{bucket, failed_rows, failure};

/// Rows of a sync of which a file is made when a run ends.
const FILE_ROWS: u64 = 100_000;
/// The least time between files of fewer rows.
const FILE_SPAN: SignedDuration = SignedDuration::from_hours(6);
/// Files whose users are read at once, if they are not known.
const FILES_READ: u64 = 64;
/// How long no file is made after one could not be uploaded.
const UPLOAD_PAUSE: Duration = Duration::from_secs(60);
/// How often it is asked whether another machine erased a user.
const ERASURES_ASKED: Duration = Duration::from_secs(10);

/// What makes the files.
pub(super) struct Task {
    pub(super) database: Arc<Database>,
    pub(super) history: History,
    pub(super) folder: String,
    pub(super) shared: Option<Arc<SharedHistory>>,
    pub(super) run_files: RunFiles,
    pub(super) waiting: Arc<Mutex<HashSet<SyncId>>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) history_days: u32,
    pub(super) failed_row_days: u32,
    pub(super) contents: Arc<Contents>,
    pub(super) trimmed: Option<Date>,
    pub(super) plausible: PlausibleTime,
    /// Whether a sync was left to another process, which may have died since.
    pub(super) behind: bool,
    pub(super) upload_failed: Option<Instant>,
    /// When it was asked last whether another machine erased a user.
    pub(super) asked: tokio::time::Instant,
    /// Files that were listed with their users since a part of the index was made.
    pub(super) waiting_files: u64,
    /// The last file whose users were read, while there may be more of which they are not known.
    pub(super) unknown_after: Option<String>,
}

impl Task {
    /// Does one job after the other, until nothing sends any more.
    pub(super) async fn work(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = self.next(&mut jobs).await {
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

    /// Waits for a job, and meanwhile reads the users of files of which they are not known. However busy the syncs
    /// are, it is asked whether a user was erased.
    async fn next(&mut self, jobs: &mut mpsc::UnboundedReceiver<Job>) -> Option<Job> {
        loop {
            if self.asked.elapsed() >= ERASURES_ASKED {
                self.follow_erasures().await;
            }
            if self.unknown_after.is_none() {
                if self.shared.is_none() {
                    return jobs.recv().await;
                }
                let rest = ERASURES_ASKED.saturating_sub(self.asked.elapsed());
                if let Ok(job) = tokio::time::timeout(rest, jobs.recv()).await {
                    return job;
                }
                continue;
            }
            match jobs.try_recv() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            if let Err(error) = self.read_users().await {
                self.unknown_after = None;
                tracing::warn!(error = %error.chain(), "rows of one user are found slowly: each file is opened");
            }
        }
    }

    /// Removes the copies of files in whose place another machine listed one without a user.
    async fn follow_erasures(&mut self) {
        self.asked = tokio::time::Instant::now();
        let Some(shared) = &self.shared else { return };
        match shared.are_erasures_new().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::debug!(error = %error.chain(), "whether a user was erased is not known");
                return;
            }
        }
        let tidied = match self.database.lock_file(LOCK) {
            Ok(Some(_lock)) => shared.tidy().await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = tidied {
            tracing::warn!(error = %error.chain(), "copies of history files may hold a user who was erased");
        }
    }

    /// Reads the users of a few files of this machine.
    async fn read_users(&mut self) -> Result<(), Error> {
        let Some(after) = self.unknown_after.take() else { return Ok(()) };
        // An erasure takes rows out of the same files.
        let Some(_lock) = self.database.lock_file(LOCK)? else { return Ok(()) };
        let names = user_index::unknown(&self.database, self.listing(), &after, FILES_READ).await?;
        let Some(last) = names.last().cloned() else { return self.pack_users().await };
        let history = self.history.clone();
        let found = blocking(move || {
            let mut found = Vec::new();
            for name in names {
                // A copy that is not on this machine stays where it is.
                match user_marks::read(&history.path_of(&name)) {
                    Ok(users) => found.extend(users.map(|users| (name, users))),
                    Err(error) => {
                        tracing::warn!(error = %error.chain(), "a history file is opened for each user");
                    }
                }
            }
            Ok(found)
        });
        let found = found.await?;
        user_index::note(&self.database, self.listing(), &found).await?;
        self.waiting_files += found.len() as u64;
        self.unknown_after = Some(last);
        Ok(())
    }

    /// Makes a part of the index, if enough files wait.
    async fn pack_users(&mut self) -> Result<(), Error> {
        if self.waiting_files >= PART_FILES {
            user_index::pack(&self.database, self.listing()).await?;
            self.waiting_files = 0;
        }
        Ok(())
    }

    async fn archive(&mut self, sync: Option<&SyncId>) -> Result<(), Error> {
        // Two processes on one data folder must not write the same file. What is left
        // to the other one is looked at again with the next run.
        let Some(_lock) = self.database.lock_file(LOCK)? else {
            self.behind = true;
            return Ok(());
        };
        if let (Some(sync), false) = (sync, std::mem::take(&mut self.behind)) {
            self.archive_sync(sync).await?;
        } else {
            match &self.shared {
                Some(shared) => {
                    shared.take_over(&self.folder).await?;
                    shared.tidy().await?;
                }
                None => self.adopt_all().await?,
            }
            self.archive_all().await?;
            self.waiting_files = user_index::waiting(&self.database, self.listing()).await?;
            self.unknown_after = Some(String::new());
        }
        self.pack_users().await?;
        match &self.shared {
            Some(shared) => shared.bound().await,
            None => Ok(()),
        }
    }

    async fn archive_all(&mut self) -> Result<(), Error> {
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
            users: None,
        };
        let mut tx = self.database.write().await?;
        history_files::add(&mut tx, &self.folder, &new).await?;
        tx.commit().await
    }

    async fn archive_sync(&mut self, sync: &SyncId) -> Result<(), Error> {
        let paused = self.upload_failed.is_some_and(|failed| failed.elapsed() < UPLOAD_PAUSE);
        if paused || !self.is_time(sync).await? {
            return Ok(());
        }
        let pending = pending::of_sync(&self.database, sync).await?;
        for group in pending.chunk_by(|a, b| (a.day, a.object) == (b.day, b.object)) {
            if self.shared.is_none() {
                self.adopt_day(sync, group).await?;
            }
            self.write_file(sync, group).await?;
        }
        Ok(())
    }

    /// Lists what a process that died has made of a day, and removes what it had begun.
    async fn adopt_day(&self, sync: &SyncId, group: &[Pending]) -> Result<(), Error> {
        let (Some(first), history) = (group.first(), self.history.clone()) else { return Ok(()) };
        let (day, of_sync) = (first.day, history.folder_of(sync));
        let names = blocking(move || {
            history.tidy(&of_sync, day)?;
            history.names_of_day(&of_sync, day)
        });
        for name in names.await? {
            self.adopt(&name).await?;
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
        let last = history_files::last(&self.database, self.listing(), sync).await?;
        Ok(last.is_none_or(|last| now.duration_since(last) >= FILE_SPAN || last > now))
    }

    /// The name under which new files are listed.
    fn listing(&self) -> &str {
        if self.shared.is_some() { IN_BUCKET } else { &self.folder }
    }

    /// One file of blocks of one day, unless another machine was faster or took rows of a user out meanwhile.
    async fn write_file(&mut self, sync: &SyncId, group: &[Pending]) -> Result<(), Error> {
        let ([first, ..], [.., last]) = (group, group) else { return Ok(()) };
        let mut name = self.history.name_of(sync, first.day, &first.id, &last.id);
        if self.shared.is_some() {
            // Another machine may write a file of the same blocks at the same time.
            name = new_version_of(&name);
        }
        let path = self.history.path_of(&name);
        let (of_sync, object, target) = (sync.clone(), first.object, path.clone());
        let mut writer = blocking(move || HistoryWriter::create(target, &of_sync, object)).await?;
        let mut read = Counted::default();
        for (from, to) in pages(group) {
            let (condition, args) = history_files::blocks(sync, from, to);
            let text = format!(
                "SELECT run, committed_at, row_count, body FROM blocks WHERE {condition} ORDER BY run, seq"
            );
            let mut bodies = Vec::new();
            for record in self.database.all(Statement::assembled(text, args)).await? {
                let run = RunId::new(record.get::<String>("run")?);
                read = Counted { blocks: read.blocks + 1, rows: read.rows + record.count("row_count")? };
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
        let users = blocking(move || writer.finish()).await?;
        let shared = self.shared.clone();
        let uploaded = match &shared {
            Some(shared) => {
                let uploaded = shared.publish(&name).await;
                self.upload_failed = uploaded.is_err().then(Instant::now);
                Some(uploaded?)
            }
            None => None,
        };
        let new = NewFile {
            name: &name,
            sync,
            day: first.day,
            first: &first.id,
            last: &last.id,
            span: (first.at, last.at),
            users: Some(&users),
        };
        let mut tx = self.database.write().await?;
        let removed = history_files::add(&mut tx, self.listing(), &new).await?;
        if removed == read && removed.blocks == group.len() as u64 {
            uploaded.map_or(Ok(()), |uploaded| uploaded.still_there())?;
            tx.commit().await?;
            self.waiting_files += 1;
            return Ok(());
        }
        drop(tx);
        if let Some(shared) = &shared {
            return shared.withdraw(&name).await;
        }
        blocking(move || {
            std::fs::remove_file(&path).map_err(|cause| failure::of_io(cause, "removing", &path))
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
            let Some(_lock) = self.database.lock_file(LOCK)? else { return Ok(()) };
            self.archive_all().await?;
        }
        let by_clock = now;
        let now = self.plausible.at(&self.database, by_clock).await?;
        let before = |now: Timestamp, days: u32| {
            let kept = SignedDuration::from_hours(24 * i64::from(days));
            (days > 0).then(|| now.checked_sub(kept).unwrap_or(Timestamp::MIN))
        };
        let age = before(now, self.history_days).map(Age::before);
        if let Some(age) = age {
            trim::trim(&self.database, &self.history, &[&self.folder, IN_BUCKET], age).await?;
            let by_clock = before(by_clock, self.history_days).map_or(age, Age::before);
            trim::warn_of_rest(&self.database, age, by_clock).await?;
        }
        if let Some(before) = before(now, self.failed_row_days) {
            failed_rows::forget(&self.database, &self.contents, before).await?;
        }
        self.trimmed = Some(today);
        self.sweep(now, age).await
    }

    /// Removes files of the bucket that nothing names, if no process has done it today.
    async fn sweep(&self, now: Timestamp, age: Option<Age>) -> Result<(), Error> {
        let Some(shared) = &self.shared else { return Ok(()) };
        if bucket::is_sweep_due(&self.database, now).await? {
            shared.sweep(age.map(Age::day), false).await?;
            self.run_files.sweep_bucket().await?;
            bucket::note_sweep(&self.database, now).await?;
        }
        Ok(())
    }
}
