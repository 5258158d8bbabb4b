//! What profiles do with SQLite, by both drivers: find a user, create or read it, and write it back.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::{OptionalExtension as _, TransactionBehavior, params};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::runtime::{Builder, Runtime};

use crate::clock::{median, on_process};

const USERS: usize = 30_000;
const SCHEMA: &str = "CREATE TABLE users (
    id          INTEGER PRIMARY KEY,
    external_id TEXT UNIQUE,
    email       TEXT,
    attributes  TEXT NOT NULL,
    updated_at  INTEGER NOT NULL
);
CREATE INDEX users_by_email ON users (email) WHERE email IS NOT NULL;";
const FIND: &str = "SELECT id FROM users WHERE external_id = ?1";
const CREATE: &str = "INSERT INTO users (external_id, attributes, updated_at) VALUES (?1, '{}', ?2)";
const READ: &str = "SELECT external_id, email, attributes, updated_at FROM users WHERE id = ?1";
const SAVE: &str = "UPDATE users SET email = ?2, attributes = ?3, updated_at = ?4 WHERE id = ?1";

/// Every user comes twice: created first, changed later.
fn external_id(at: usize) -> String {
    format!("user-{:07}", at % (USERS / 2))
}

fn attributes(at: usize) -> String {
    format!(r#"{{"plan":"pro","orders":{at},"city":"Lyon","first_name":"Ann"}}"#)
}

fn by_rusqlite(path: &Path, together: usize) -> rusqlite::Result<(Duration, Duration)> {
    let mut db = rusqlite::Connection::open(path)?;
    db.set_prepared_statement_cache_capacity(64);
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384;")?;
    db.execute_batch(SCHEMA)?;
    let start = Instant::now();
    let mut result = Ok(());
    let cpu = on_process(|| {
        result = (0..USERS).step_by(together).try_for_each(|first| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for at in first..(first + together).min(USERS) {
                let external_id = external_id(at);
                let found: Option<i64> = transaction
                    .prepare_cached(FIND)?
                    .query_row([&external_id], |row| row.get(0))
                    .optional()?;
                let id = match found {
                    Some(id) => id,
                    None => {
                        transaction.prepare_cached(CREATE)?.execute(params![external_id, 0])?;
                        transaction.last_insert_rowid()
                    }
                };
                let (email, before): (Option<String>, String) = transaction
                    .prepare_cached(READ)?
                    .query_row([id], |row| Ok((row.get(1)?, row.get(2)?)))?;
                let after = if before.is_empty() { before } else { attributes(at) };
                transaction.prepare_cached(SAVE)?.execute(params![id, email, after, at as i64])?;
            }
            transaction.commit()
        });
    });
    result.map(|()| (start.elapsed(), cpu))
}

async fn connect(path: &Path) -> sqlx::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("cache_size", "-16384");
    let mut db = options.connect().await?;
    sqlx::raw_sql(SCHEMA).execute(&mut db).await?;
    Ok(db)
}

async fn write_by_sqlx(db: &mut SqliteConnection, together: usize) -> sqlx::Result<()> {
    for first in (0..USERS).step_by(together) {
        let mut transaction = db.begin_with("BEGIN IMMEDIATE").await?;
        for at in first..(first + together).min(USERS) {
            let external_id = external_id(at);
            let found = sqlx::query(FIND).bind(&external_id).fetch_optional(&mut *transaction).await?;
            let id: i64 = match found {
                Some(row) => row.try_get(0)?,
                None => {
                    let create = sqlx::query(CREATE).bind(&external_id).bind(0);
                    create.execute(&mut *transaction).await?.last_insert_rowid()
                }
            };
            let row = sqlx::query(READ).bind(id).fetch_one(&mut *transaction).await?;
            let (email, before): (Option<String>, String) = (row.try_get(1)?, row.try_get(2)?);
            let after = if before.is_empty() { before } else { attributes(at) };
            let save = sqlx::query(SAVE).bind(id).bind(email).bind(after).bind(at as i64);
            save.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}

fn by_sqlx(runtime: &Runtime, path: &Path, together: usize) -> sqlx::Result<(Duration, Duration)> {
    let mut db = runtime.block_on(connect(path))?;
    let start = Instant::now();
    let mut result = Ok(());
    let cpu = on_process(|| result = runtime.block_on(write_by_sqlx(&mut db, together)));
    let took = start.elapsed();
    runtime.block_on(db.close())?;
    result.map(|()| (took, cpu))
}

/// Lets the drivers take turns, and returns their medians.
pub(crate) fn report(rounds: usize) -> Result<String> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut text = "| users per transaction | driver | µs per user | processor time, µs | times rusqlite |\n\
                    |---:|---|---:|---:|---:|\n"
        .to_owned();
    for together in [75, 500] {
        let mut took: [(Vec<Duration>, Vec<Duration>); 2] = Default::default();
        for _ in 0..rounds.max(1) {
            let folder = tempfile::tempdir()?;
            let (wall, cpu) = by_rusqlite(&folder.path().join("rusqlite.db"), together)?;
            took[0].0.push(wall);
            took[0].1.push(cpu);
            let (wall, cpu) = by_sqlx(&runtime, &folder.path().join("sqlx.db"), together)?;
            took[1].0.push(wall);
            took[1].1.push(cpu);
        }
        let mut first = None;
        for (driver, (wall, cpu)) in ["rusqlite", "sqlx"].into_iter().zip(took) {
            let each = |rounds| median(rounds).as_nanos() as f64 / 1_000.0 / USERS as f64;
            let (wall, cpu) = (each(wall), each(cpu));
            let ratio = cpu / *first.get_or_insert(cpu);
            let _ = writeln!(text, "| {together} | {driver} | {wall:.1} | {cpu:.1} | {ratio:.2} |");
        }
    }
    Ok(text)
}
