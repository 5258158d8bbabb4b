//! Moves the status of rows from the tables into history files.
//!
//! One task does it, beside the runs. A file is written once enough rows of a sync wait, the day is
//! over, or the last file is hours old: runs that are small and many have few files. The order makes
//! a crash at any moment harmless: the file is whole and durable before it is listed, and it is
//! listed in the transaction that removes its blocks. With a bucket it is durable there before it is listed, so
//! until then its rows are in the tables, and an upload that fails is tried again with them.

mod pending;
mod task;

use std::collections::HashSet;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tidegate_model::store::RowQuery;
use tidegate_model::{Clock, Error, SyncId};
use tokio::sync::{mpsc, oneshot};

use self::task::Task;
use super::contents::Contents;
use super::dialect::{Database, Tx};
use super::history_files;
use super::shared_history::{IN_BUCKET, SharedHistory};
use super::trim::{self, Age, PlausibleTime};
use crate::blocking::blocking;
use crate::failure::storage;
use crate::history::{Filter, History, HistoryFile, Line, erase, read};
use crate::lookback::run_files::RunFiles;

/// Rows of a run that wait in tables before a file is made of them.
pub(super) const PENDING_ROWS_MAX: u64 = 500_000;
/// The lock of the process that makes files.
const LOCK: &str = "history";
/// How long the end of a run waits for its file.
const WAIT: Duration = Duration::from_secs(10);
/// How often a copy that was removed before it was read is made again.
const ATTEMPTS: usize = 5;

/// Hands syncs to the task.
pub(super) struct Archive {
    database: Arc<Database>,
    history: History,
    /// The name of this data folder in the list of files.
    folder: String,
    shared: Option<Arc<SharedHistory>>,
    queue: mpsc::UnboundedSender<Job>,
    /// Syncs whose turn will come anyway.
    waiting: Arc<Mutex<HashSet<SyncId>>>,
}

/// Where files are listed and kept.
pub(super) struct HistoryParts {
    /// The name of this data folder in the list of files.
    pub(super) folder: String,
    /// The bucket, if there is one.
    pub(super) shared: Option<Arc<SharedHistory>>,
    /// Files that the daily cleaning includes.
    pub(super) run_files: RunFiles,
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
        HistoryParts { folder, shared, run_files }: HistoryParts,
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
            shared: shared.clone(),
            run_files,
            waiting: Arc::clone(&waiting),
            clock,
            history_days,
            failed_row_days,
            contents,
            trimmed: None,
            plausible: PlausibleTime::default(),
            behind: false,
            upload_failed: None,
            asked: tokio::time::Instant::now(),
            waiting_files: 0,
            unknown_after: None,
        };
        tokio::spawn(task.work(jobs));
        let archive = Archive { database, history, folder, shared, queue, waiting };
        archive.send(Job { sync: None, done: None });
        archive
    }

    /// Returns the files that can hold wanted rows; those of the newest day and run first.
    pub(super) async fn files(&self, tx: &mut Tx, query: &RowQuery) -> Result<Vec<HistoryFile>, Error> {
        history_files::find(tx, &self.history, &[&self.folder, IN_BUCKET], query).await
    }

    /// Returns the newest `limit` rows of a file that are wanted, newest first; `None` if another file
    /// was listed in its place meanwhile.
    pub(super) async fn newest(
        &self,
        file: &HistoryFile,
        filter: &Filter,
        limit: usize,
    ) -> Result<Option<Vec<Line>>, Error> {
        for _ in 0..ATTEMPTS {
            let (path, filter) = (file.path.clone(), filter.clone());
            if let Some(lines) = blocking(move || read::newest(&path, &filter, limit)).await? {
                return Ok(Some(lines));
            }
            let Some(shared) = self.shared.as_ref().filter(|_| file.is_shared) else {
                // Unless it was removed by hand, it was merged into another one or went with its day.
                let is_listed = history_files::any(&self.database, &self.folder, Some(&file.name)).await?;
                return Ok(is_listed.then(Vec::new));
            };
            if !shared.fetch(&file.name).await? {
                if !shared.is_listed(&file.name).await? {
                    return Ok(None);
                }
                tracing::warn!(
                    file = file.name,
                    "a history file is not in the bucket: its rows are not listed"
                );
                return Ok(Some(Vec::new()));
            }
        }
        Err(storage("copies of history files are removed faster than they are read".to_owned())
            .hint("let more of them stay on this machine: `cache_gib` of --bucket"))
    }

    /// Erases a user from all history files. Returns how many rows these were. The caller holds the lock.
    ///
    /// # Errors
    /// If a file is damaged or cannot be rewritten, after all others were.
    pub(super) async fn erase(&self, user: &str) -> Result<u64, Error> {
        if let Some(shared) = &self.shared {
            shared.take_over(&self.folder).await?;
            return shared.erase(user).await;
        }
        let (files, id) = (self.history.clone(), user.to_owned());
        blocking(move || {
            files.tidy_all()?;
            let (mut rows, mut failed) = (0, None);
            for name in files.names()? {
                match erase::erase(&files.path_of(&name), &id) {
                    Ok(of_file) => rows += of_file,
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            failed.map_or(Ok(rows), Err)
        })
        .await
    }

    /// Waits until no process of this machine makes a history file, and keeps them from it.
    pub(super) async fn lock(&self) -> Result<File, Error> {
        self.database.wait_for_file(LOCK).await
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

    /// Reads the users of files again that have lost rows to an erasure, when the turn comes.
    pub(super) fn erased(&self) {
        self.send(Job { sync: None, done: None });
    }

    /// Removes whole days of history before that of `before`, and what is as old.
    pub(super) async fn trim(&self, before: Timestamp) -> Result<(), Error> {
        let age = Age::before(before);
        trim::trim(&self.database, &self.history, &[&self.folder, IN_BUCKET], age).await?;
        match &self.shared {
            Some(shared) => shared.sweep(Some(age.day()), false).await,
            None => Ok(()),
        }
    }

    fn send(&self, job: Job) {
        // The task ends only after this is gone, or with the runtime.
        let _ = self.queue.send(job);
    }
}
