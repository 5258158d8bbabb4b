//! The two databases, and everything in which they differ.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::Postgres;
use sqlx::query::Query;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Transaction};
use tidegate_model::Error;

use super::failure;
use super::server::Server;
use super::sqlite_copy;
use super::statement::{Arg, Record, Statement};
use crate::folder;

/// A database that keeps our tables.
pub(crate) enum Database {
    /// One file in the data folder.
    Sqlite {
        folder: PathBuf,
        /// SQLite has one writer at a time; one connection makes callers queue here, not spin there.
        writer: SqlitePool,
        readers: SqlitePool,
    },
    /// A server, shared by many processes.
    Postgres { folder: PathBuf, server: Server },
}

/// A transaction; dropping it undoes it.
pub(crate) enum Tx {
    Sqlite { inner: Transaction<'static, Sqlite>, folder: PathBuf },
    Postgres { inner: Transaction<'static, Postgres>, server: Server },
}

const READERS_MAX: u32 = 4;
/// Room for what runs write and soon remove, in KiB as SQLite wants it: without it each removed page would
/// be read from the disk's cache first.
const WRITER_CACHE: &str = "-16384";
/// How long a caller queues for a connection. SQLite's writer serves commits
/// of all syncs in turn, so this is long.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long SQLite waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// The advisory lock under which tables are changed; any number that is ours.
const MIGRATIONS: i64 = 0x7469_6465_6761_7465;
/// The advisory lock under which the index of users is changed.
const USER_INDEX: i64 = MIGRATIONS + 1;

const FOR_SHARE: &str = " FOR KEY SHARE";

/// The tables of which rows of a user are removed.
const ERASED_FROM: [&str; 9] = [
    "blocks",
    "dismissed_blocks",
    "failed_blocks",
    "history_files",
    "intents",
    "kept_users",
    "requests",
    "sent_users",
    "user_index",
];
/// How the names of copies begin that are made before tables are changed.
pub(crate) const FORMER_VERSION: &str = "tidegate.db.before-step-";

impl Database {
    /// Opens `<data>/tidegate.db`, making it on first use.
    pub(crate) async fn embedded(data: &Path) -> Result<Database, Error> {
        let file = data.join("tidegate.db");
        // SQLite gives its other files the mode of this one. It holds rows of customers.
        folder::ensure_file(&file)
            .map_err(|cause| failure::of_io(cause, "opening the state database", &file))?;
        ["tidegate.db-wal", "tidegate.db-shm"].iter().for_each(|name| folder::close(&data.join(name)));
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            // A row in this database is a promise: it is on the disk when we say so.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // Blocks of rows come and go: most of their pages are written over before
            // a checkpoint has to copy them into the file.
            .page_size(8192)
            .pragma("wal_autocheckpoint", "4000")
            .pragma("journal_size_limit", "67108864")
            .busy_timeout(BUSY_TIMEOUT)
            // A statement that takes long is no news for whoever reads the log.
            .disable_statement_logging();
        let fail = |cause| failure::of_sqlite(cause, data).context("opening the state database");
        // A connection is asked whether it lives when it is given back: it does not die while it rests.
        let pool = || SqlitePoolOptions::new().test_before_acquire(false).acquire_timeout(ACQUIRE_TIMEOUT);
        let writer = pool()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().pragma("cache_size", WRITER_CACHE))
            .await
            .map_err(fail)?;
        let readers =
            pool().max_connections(READERS_MAX).max_lifetime(None).connect_lazy_with(options.read_only(true));
        Ok(Database::Sqlite { folder: data.to_path_buf(), writer, readers })
    }

    /// Whether it is a server, which machines may share that share no folder.
    pub(crate) fn is_server(&self) -> bool {
        matches!(self, Database::Postgres { .. })
    }

    /// Begins to write. In SQLite the write lock is taken now, not at the first
    /// write, so that a transaction never fails half way for another's sake.
    pub(crate) async fn write(&self) -> Result<Tx, Error> {
        match self {
            Database::Sqlite { folder, writer, .. } => {
                let inner = begin_sqlite(writer).await.map_err(|cause| failure::of_sqlite(cause, folder))?;
                Ok(Tx::Sqlite { inner, folder: folder.clone() })
            }
            Database::Postgres { server, .. } => {
                Ok(Tx::Postgres { inner: server.begin().await?, server: server.clone() })
            }
        }
    }

    /// Begins to read: until its end nothing that is read changes.
    pub(crate) async fn snapshot(&self) -> Result<Tx, Error> {
        match self {
            Database::Sqlite { folder, readers, .. } => {
                let inner = readers.begin().await.map_err(|cause| failure::of_sqlite(cause, folder))?;
                Ok(Tx::Sqlite { inner, folder: folder.clone() })
            }
            Database::Postgres { server, .. } => {
                let mut tx = Tx::Postgres { inner: server.begin().await?, server: server.clone() };
                let once = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
                tx.execute(super::statement::sql(once)).await?;
                Ok(tx)
            }
        }
    }

    /// See [`Tx::for_share`].
    pub(crate) fn for_share(&self) -> &'static str {
        if self.is_server() { FOR_SHARE } else { "" }
    }

    /// Runs one statement that changes something, in its own transaction.
    pub(crate) async fn execute(&self, statement: Statement) -> Result<u64, Error> {
        match self {
            // Alone it is a transaction: the thread of the connection is called once, and not three times.
            // Source: <https://www.sqlite.org/lang_transaction.html>, "Implicit versus explicit transactions".
            Database::Sqlite { folder, writer, .. } => {
                let done = sqlite_query(statement).execute(writer).await;
                Ok(done.map_err(|cause| failure::of_sqlite(cause, folder))?.rows_affected())
            }
            Database::Postgres { .. } => {
                let mut tx = self.write().await?;
                let changed = tx.execute(statement).await?;
                tx.commit().await?;
                Ok(changed)
            }
        }
    }

    /// Reads all rows of one statement.
    pub(crate) async fn all(&self, statement: Statement) -> Result<Vec<Record>, Error> {
        match self {
            Database::Sqlite { folder, readers, .. } => {
                let rows = sqlite_query(statement).fetch_all(readers).await;
                let rows = rows.map_err(|cause| failure::of_sqlite(cause, folder))?;
                Ok(rows.into_iter().map(Record::Sqlite).collect())
            }
            Database::Postgres { server, .. } => server.all(statement).await,
        }
    }

    /// Reads the first row of one statement.
    pub(crate) async fn first(&self, statement: Statement) -> Result<Option<Record>, Error> {
        Ok(self.all(statement).await?.into_iter().next())
    }

    /// Renews leases, beside everything else that is asked of the database.
    pub(crate) async fn renew(&self, statement: Statement) -> Result<Vec<Record>, Error> {
        match self {
            Database::Sqlite { .. } => Ok(Vec::new()),
            Database::Postgres { server, .. } => server.renew(statement).await,
        }
    }

    /// Takes a lock in the data folder; `None` while another process holds it. It goes with
    /// the file, and so with the process.
    pub(crate) fn lock_file(&self, name: &str) -> Result<Option<File>, Error> {
        let path = self.path_of_lock(name);
        let fail = |cause| failure::of_io(cause, "locking", &path);
        let file = folder::ensure_file(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(fail(cause)),
        }
    }

    /// Takes a lock in the data folder when no other process holds it any more.
    pub(crate) async fn wait_for_file(&self, name: &str) -> Result<File, Error> {
        if let Some(file) = self.lock_file(name)? {
            return Ok(file);
        }
        let path = self.path_of_lock(name);
        let fail = move |cause| failure::of_io(cause, "locking", &path);
        let file = folder::ensure_file(&self.path_of_lock(name)).map_err(&fail)?;
        crate::blocking::blocking(move || file.lock().map(|()| file).map_err(fail)).await
    }

    fn path_of_lock(&self, name: &str) -> PathBuf {
        let (Database::Sqlite { folder, .. } | Database::Postgres { folder, .. }) = self;
        folder.join("locks").join(format!("{}.lock", folder::file_name(name)))
    }

    /// Overwrites what removed rows left behind: free pages, the log of SQLite, and copies of former
    /// versions.
    pub(crate) async fn scrub(&self) -> Result<(), Error> {
        match self {
            Database::Sqlite { folder, writer, .. } => {
                remove_former_versions(folder)?;
                let fail = |cause| failure::of_sqlite(cause, folder);
                let mut connection = writer.acquire().await.map_err(fail)?;
                let vacuum = "VACUUM; PRAGMA wal_checkpoint(TRUNCATE);";
                sqlx::raw_sql(vacuum).execute(&mut *connection).await.map_err(fail)?;
            }
            Database::Postgres { server, .. } => {
                for table in ERASED_FROM {
                    server.maintain(format!("VACUUM (FULL) {table}")).await?;
                }
            }
        }
        Ok(())
    }

    /// Writes what is committed into another file, if this is a file itself.
    pub(crate) async fn copy_to(&self, file: &Path) -> Result<(), Error> {
        match self {
            Database::Sqlite { folder, .. } => sqlite_copy::copy(&folder.join("tidegate.db"), file).await,
            Database::Postgres { .. } => {
                Err(Error::internal("tables of a server are copied by its own tools"))
            }
        }
    }

    /// Copies a file before its tables are changed, unless that was done before. The tables of a
    /// server are left to its own tools.
    pub(crate) async fn copy_before_step(&self, step: u64) -> Result<(), Error> {
        let Database::Sqlite { folder, .. } = self else { return Ok(()) };
        let copy = folder.join(format!("{FORMER_VERSION}{step}"));
        if copy.exists() {
            return Ok(());
        }
        let fail = |cause| failure::of_io(cause, "copying the state database", &copy);
        let unfinished = copy.with_extension("tmp");
        folder::create_file(&unfinished).map_err(fail)?.sync_all().map_err(fail)?;
        self.copy_to(&unfinished).await?;
        File::open(&unfinished).and_then(|file| file.sync_all()).map_err(fail)?;
        std::fs::rename(&unfinished, &copy).and_then(|()| folder::sync(folder)).map_err(fail)?;
        tracing::warn!(copy = %copy.display(), "the state steps forward to a new version; a copy of the former is kept");
        Ok(())
    }

    /// Keeps two processes from changing the tables at the same time. SQLite's
    /// write lock does that already.
    pub(crate) async fn lock_tables(&self, tx: &mut Tx) -> Result<(), Error> {
        self.lock_until_commit(tx, MIGRATIONS).await
    }

    /// Keeps other processes from changing the index of users until the transaction ends, likewise.
    pub(crate) async fn lock_user_index(&self, tx: &mut Tx) -> Result<(), Error> {
        self.lock_until_commit(tx, USER_INDEX).await
    }

    async fn lock_until_commit(&self, tx: &mut Tx, lock: i64) -> Result<(), Error> {
        if let Database::Postgres { .. } = self {
            tx.all(super::statement::sql("SELECT pg_advisory_xact_lock($1)").bind(lock)).await?;
        }
        Ok(())
    }
}

impl Tx {
    /// Runs a statement; how many rows it changed.
    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<u64, Error> {
        match self {
            Tx::Sqlite { inner, folder } => {
                let done = sqlite_query(statement).execute(&mut **inner).await;
                Ok(done.map_err(|cause| failure::of_sqlite(cause, folder))?.rows_affected())
            }
            Tx::Postgres { inner, server } => {
                let done = server.answer(server.query(statement).execute(&mut **inner)).await;
                Ok(done?.rows_affected())
            }
        }
    }

    /// Runs a statement; its rows.
    pub(crate) async fn all(&mut self, statement: Statement) -> Result<Vec<Record>, Error> {
        match self {
            Tx::Sqlite { inner, folder } => {
                let rows = sqlite_query(statement).fetch_all(&mut **inner).await;
                let rows = rows.map_err(|cause| failure::of_sqlite(cause, folder))?;
                Ok(rows.into_iter().map(Record::Sqlite).collect())
            }
            Tx::Postgres { inner, server } => {
                let rows = server.answer(server.query(statement).fetch_all(&mut **inner)).await;
                Ok(rows?.into_iter().map(Record::Postgres).collect())
            }
        }
    }

    /// Runs a statement; its first row.
    pub(crate) async fn first(&mut self, statement: Statement) -> Result<Option<Record>, Error> {
        Ok(self.all(statement).await?.into_iter().next())
    }

    /// Runs several statements without values, as a migration has them.
    pub(crate) async fn script(&mut self, text: &'static str) -> Result<(), Error> {
        match self {
            Tx::Sqlite { inner, folder } => sqlx::raw_sql(text)
                .execute(&mut **inner)
                .await
                .map_err(|cause| failure::of_sqlite(cause, folder))?
                .rows_affected(),
            // PostgreSQL orders text by its server's language, SQLite by its bytes.
            // Names of runs sort by their start only in the latter order.
            Tx::Postgres { inner, .. } => {
                sqlx::raw_sql(AssertSqlSafe(text.replace("TEXT", r#"TEXT COLLATE "C""#)))
                    .execute(&mut **inner)
                    .await
                    .map_err(failure::of_postgres)?
                    .rows_affected()
            }
        };
        Ok(())
    }

    /// Makes it true and durable.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        match self {
            Tx::Sqlite { inner, folder } => {
                inner.commit().await.map_err(|cause| failure::of_sqlite(cause, &folder))
            }
            Tx::Postgres { inner, server } => server.answer(inner.commit()).await,
        }
    }

    /// Returns the end of a `SELECT` whose rows no other transaction may change or hold
    /// until this one ends. SQLite has one writer at a time.
    pub(crate) fn for_update(&self) -> &'static str {
        match self {
            Tx::Sqlite { .. } => "",
            Tx::Postgres { .. } => " FOR UPDATE",
        }
    }

    /// Returns the end of a `SELECT` whose rows stay what they are until this transaction
    /// ends, as far as [`Tx::for_update`] is concerned. Any number may hold them so.
    pub(crate) fn for_share(&self) -> &'static str {
        match self {
            Tx::Sqlite { .. } => "",
            Tx::Postgres { .. } => FOR_SHARE,
        }
    }
}

fn remove_former_versions(data: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(data).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(FORMER_VERSION) {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(|cause| failure::of_io(cause, "removing", &path))?;
        }
    }
    Ok(())
}

/// Begins to write on the one connection that does.
///
/// A full disk makes SQLite undo the whole transaction; sqlx continues
/// counting it, and its connection could begin no other one ever again. Source:
/// <https://www.sqlite.org/lang_transaction.html>, "Response To Errors Within A Transaction".
async fn begin_sqlite(writer: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    const BEGIN: &str = "BEGIN IMMEDIATE";
    /// Others may use the connection in between, and meet the full disk in their turn.
    const ATTEMPTS: usize = 8;
    for _ in 0..ATTEMPTS {
        match writer.begin_with(BEGIN).await {
            Err(sqlx::Error::InvalidSavePointStatement) => writer.acquire().await?.close().await?,
            begun => return begun,
        }
    }
    writer.begin_with(BEGIN).await
}

fn sqlite_query(statement: Statement) -> Query<'static, Sqlite, SqliteArguments> {
    let mut query = sqlx::query(AssertSqlSafe(statement.text));
    for arg in statement.args {
        query = match arg {
            Arg::Int(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
            Arg::Bytes(value) => query.bind(value),
        };
    }
    query
}
