//! Whether the state is the newest one there is, or was put back from a copy.
//!
//! An older state does not know what was sent after it was copied, and would send it again. A *mark* counts up
//! while syncs run: in the database first, then beside it, in the data folder and in the bucket. So what is beside
//! the database is never ahead of it, unless the database was put back. Tables that `pg_restore` has written
//! again are recognized without that: the row in `origin` names the transaction that wrote it.
//!
//! A copy that was made within the last [`PACE`] before a process was killed looks like the state of now.

use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tidegate_model::Error;
use tidegate_model::store::OlderState;
use tokio::sync::Mutex;
use tokio::time::{self, Instant, MissedTickBehavior};
use uuid::Uuid;

use super::dialect::{Database, Tx};
use super::statement::sql;
use crate::blocking::blocking;
use crate::failure::of_io;
use crate::folder;
use crate::shared_files::{SharedFiles, is_left_behind};

/// How often the mark counts up while a sync runs.
const PACE: Duration = Duration::from_secs(2);
/// How often a process that runs syncs writes it into the bucket.
const BUCKET_PACE: Duration = Duration::from_secs(30);
/// How long that may take before it is given up until the next time.
const PATIENCE: Duration = Duration::from_secs(5);
const IN_FILE: &str = "SELECT id, mark, 1 AS is_own FROM recency";
/// `is_own` is 1 if the row of `origin` was written by the transaction and in the table that it names. Restored from a
/// dump, both differ. Source: PostgreSQL, "System Columns".
const IN_SERVER: &str = "SELECT id, mark, (SELECT COUNT(*) FROM origin
        WHERE CAST(CAST(xmin AS TEXT) AS BIGINT) = written_by AND CAST(tableoid AS BIGINT) = written_to) AS is_own
    FROM recency";
/// What is said if the marks in the bucket cannot be read.
const UNREAD: &str = "the bucket does not answer: whether the state was put back from a copy is not known";
/// The folder of marks, in the data folder and in the bucket.
pub(crate) const FOLDER: &str = "recency";

/// The mark of a state.
pub(super) struct Recency {
    database: Arc<Database>,
    /// The id of the database. A data folder may have stood beside another one before.
    id: String,
    /// The file in the data folder.
    file: PathBuf,
    bucket: Option<InBucket>,
    /// The highest mark that this process knows of.
    seen: AtomicU64,
    /// How many leases this process holds.
    held: AtomicUsize,
    /// Whether the mark has counted up since none was held.
    has_begun: AtomicBool,
    /// Whether a sync may have sent something since the mark counted up last.
    is_due: AtomicBool,
}

/// The marks in the bucket: one for each machine, so that none replaces another's.
struct InBucket {
    files: SharedFiles,
    name: String,
    was_read: AtomicBool,
    written: Mutex<Option<(u64, Instant)>>,
}

impl Recency {
    /// Opens the mark of a database, and counts it up from now on while leases are held.
    pub(super) async fn open(
        database: Arc<Database>,
        data: &Path,
        shared: Option<(SharedFiles, &str)>,
    ) -> Result<Arc<Recency>, Error> {
        let id = identify(&database).await?;
        let bucket = shared.map(|(files, machine)| InBucket {
            files,
            name: format!("{FOLDER}/{machine}"),
            was_read: AtomicBool::new(false),
            written: Mutex::default(),
        });
        let recency = Arc::new(Recency {
            database,
            file: data.join(FOLDER).join(folder::file_name(&id)),
            id,
            bucket,
            seen: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            has_begun: AtomicBool::new(false),
            is_due: AtomicBool::new(false),
        });
        tokio::spawn(keep_counting(Arc::downgrade(&recency)));
        Ok(recency)
    }

    /// Returns what is known of the state if it is older than what was sent.
    pub(super) async fn older(&self) -> Result<Option<OlderState>, Error> {
        // Before the database is asked: what is beside it was in it before.
        let seen = self.highest_seen().await?;
        let statement = if self.database.is_server() { IN_SERVER } else { IN_FILE };
        if let Some(state) = self.database.first(sql(statement)).await?
            && state.get::<String>("id")? == self.id
            && state.count("mark")? >= seen
            && state.count("is_own")? == 1
        {
            return Ok(None);
        }
        let newest = sql("SELECT started_at FROM runs ORDER BY id DESC LIMIT 1");
        let newest_run = self.database.first(newest).await?.map(|run| run.time("started_at")).transpose()?;
        Ok(Some(OlderState { newest_run }))
    }

    /// Takes the state as it is for the newest one.
    pub(super) async fn accept(&self) -> Result<(), Error> {
        let seen = self.highest_seen().await?;
        let mut tx = self.database.write().await?;
        self.database.lock_tables(&mut tx).await?;
        let known = tx.first(sql("SELECT mark FROM recency")).await?;
        let known = known.map_or(Ok(0), |known| known.count("mark"))?;
        let mark = known.max(seen) + 1;
        tx.execute(sql("DELETE FROM recency")).await?;
        let insert = sql("INSERT INTO recency (id, mark) VALUES ($1, $2)");
        tx.execute(insert.bind(self.id.as_str()).bind(mark)).await?;
        sign(&self.database, &mut tx).await?;
        tx.commit().await?;
        self.note(mark).await;
        self.publish(true).await;
        Ok(())
    }

    /// A lease was taken, which will [end](Recency::end).
    pub(super) fn hold(&self) {
        self.held.fetch_add(1, Ordering::AcqRel);
        self.is_due.store(true, Ordering::Release);
    }

    /// Counts up before the first one of the leases that are held sends something.
    pub(super) async fn begin(self: &Arc<Self>) -> Result<(), Error> {
        if !self.has_begun.swap(true, Ordering::AcqRel) {
            self.count_up().await.inspect_err(|_| self.has_begun.store(false, Ordering::Release))?;
            // It waits for no bucket that does not answer.
            let recency = Arc::clone(self);
            tokio::spawn(async move { recency.publish(true).await });
        }
        Ok(())
    }

    /// A lease has ended.
    pub(super) async fn end(&self) {
        if self.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.has_begun.store(false, Ordering::Release);
            // An unreachable database must not block exit.
            let _ = time::timeout(2 * PATIENCE, self.tick(true)).await;
        }
    }

    /// Counts up if anything may have been sent since the last time.
    async fn tick(&self, is_last: bool) {
        let holds = self.held.load(Ordering::Acquire) > 0;
        if !self.is_due.swap(holds, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.count_up().await {
            self.is_due.store(true, Ordering::Release);
            tracing::debug!(trouble = error.chain(), "the mark of the state could not be written");
            return;
        }
        self.publish(is_last).await;
    }

    /// Counts the mark up, in the database and then beside it. That of an older state stays as it is.
    async fn count_up(&self) -> Result<(), Error> {
        let mut tx = self.database.write().await?;
        let statement = sql("UPDATE recency SET mark = mark + 1 WHERE id = $1 AND mark >= $2 RETURNING mark");
        let statement = statement.bind(self.id.as_str()).bind(self.seen.load(Ordering::Acquire));
        let record = tx.first(statement).await?;
        tx.commit().await?;
        match record {
            Some(record) => self.note(record.count("mark")?).await,
            None => tracing::warn!("the state database was put back from a copy while this process used it"),
        }
        Ok(())
    }

    /// Writes a mark that the database has into the data folder.
    async fn note(&self, mark: u64) {
        self.seen.fetch_max(mark, Ordering::AcqRel);
        let file = self.file.clone();
        if let Err(error) = blocking(move || raise(&file, mark)).await {
            // The database keeps it, and the next one is written again.
            tracing::debug!(trouble = error.chain(), "the mark of the state is not in the data folder");
        }
    }

    /// Writes the mark into the bucket, if there is one; not more often than it has to be, unless `at_once`.
    async fn publish(&self, at_once: bool) {
        let Some(bucket) = &self.bucket else { return };
        let mut written = bucket.written.lock().await;
        let mark = self.seen.load(Ordering::Acquire);
        let is_known =
            written.is_some_and(|(last, at)| last >= mark || !at_once && at.elapsed() < BUCKET_PACE);
        if is_known {
            return;
        }
        let upload = bucket.files.write(&bucket.name, mark.to_string().into_bytes());
        match time::timeout(PATIENCE, upload).await {
            Ok(Ok(())) => *written = Some((mark, Instant::now())),
            Ok(Err(error)) => {
                tracing::debug!(trouble = error.chain(), "the mark of the state is not in the bucket");
            }
            Err(_) => tracing::debug!("the bucket does not answer: the mark of the state is not in it"),
        }
    }

    /// Returns the highest mark that this process, the data folder and the bucket know of.
    async fn highest_seen(&self) -> Result<u64, Error> {
        let file = self.file.clone();
        let beside = blocking(move || read(&file)).await?;
        self.seen.fetch_max(beside, Ordering::AcqRel);
        if let Some(bucket) = self.bucket.as_ref().filter(|bucket| !bucket.was_read.load(Ordering::Acquire)) {
            match time::timeout(PATIENCE, bucket.highest()).await {
                Ok(Ok(highest)) => {
                    self.seen.fetch_max(highest, Ordering::AcqRel);
                    bucket.was_read.store(true, Ordering::Release);
                }
                // Syncs run on without the bucket.
                Ok(Err(error)) => tracing::warn!(trouble = error.chain(), "{UNREAD}"),
                Err(_) => tracing::warn!("{UNREAD}"),
            }
        }
        Ok(self.seen.load(Ordering::Acquire))
    }
}

impl InBucket {
    /// Returns the highest mark. Lower ones of machines that are gone are removed.
    async fn highest(&self) -> Result<u64, Error> {
        let listed: Vec<_> = self.files.list(FOLDER).try_collect().await?;
        let mut marks = Vec::with_capacity(listed.len());
        for file in listed {
            let bytes = self.files.read(&file.name).await?.unwrap_or_default();
            marks.push((number(&bytes), file));
        }
        marks.sort_unstable_by_key(|(mark, _)| *mark);
        let highest = marks.pop().map_or(0, |(mark, _)| mark);
        for (_, file) in marks {
            if is_left_behind(&file, self.files.now()) && file.name != self.name {
                self.files.remove(&file.name).await?;
            }
        }
        Ok(highest)
    }
}

/// Counts the mark up while leases are held, until the store is closed.
async fn keep_counting(recency: Weak<Recency>) {
    let mut ticks = time::interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(recency) = recency.upgrade() else { return };
        recency.tick(false).await;
    }
}

/// Returns the id of a database, which gets one when it is opened first.
async fn identify(database: &Database) -> Result<String, Error> {
    if let Some(record) = database.first(sql("SELECT id FROM recency")).await? {
        return record.get("id");
    }
    let mut tx = database.write().await?;
    database.lock_tables(&mut tx).await?;
    if let Some(record) = tx.first(sql("SELECT id FROM recency")).await? {
        return record.get("id");
    }
    let id = Uuid::new_v4().to_string();
    tx.execute(sql("INSERT INTO recency (id, mark) VALUES ($1, 0)").bind(id.as_str())).await?;
    sign(database, &mut tx).await?;
    tx.commit().await?;
    Ok(id)
}

/// Writes down the transaction and the table of the row that says so.
async fn sign(database: &Database, tx: &mut Tx) -> Result<(), Error> {
    if database.is_server() {
        tx.execute(sql("DELETE FROM origin")).await?;
        let insert = sql("INSERT INTO origin (written_by, written_to)
            VALUES (txid_current() % 4294967296, CAST(CAST('origin' AS regclass) AS BIGINT))");
        tx.execute(insert).await?;
    }
    Ok(())
}

/// Writes a mark into a file, unless a higher one is there.
fn raise(file: &Path, mark: u64) -> Result<(), Error> {
    let fail = |cause| of_io(cause, "writing", file);
    file.parent().map_or(Ok(()), folder::create).map_err(fail)?;
    folder::ensure_file(file).map_err(fail)?;
    let mut open = fs::OpenOptions::new().read(true).write(true).open(file).map_err(fail)?;
    // Processes that share the folder take turns.
    open.lock().map_err(fail)?;
    let mut bytes = Vec::new();
    open.read_to_end(&mut bytes).map_err(fail)?;
    if number(&bytes) < mark {
        open.rewind().map_err(fail)?;
        // One write of one length: a process that is killed leaves the former number or this one.
        open.write_all(format!("{mark:020}").as_bytes()).map_err(fail)?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<u64, Error> {
    match fs::read(file) {
        Ok(bytes) => Ok(number(&bytes)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(cause) => Err(of_io(cause, "reading", file)),
    }
}

/// Returns the mark in a file; 0 for what is none.
fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}
