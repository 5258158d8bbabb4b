//! Endpoints and event streams, in one SQLite file that is made with its first use.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use serde_json::{Map, Value};
use tidegate_model::{Error, ErrorKind, Result};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS endpoints (
    app  TEXT NOT NULL,
    id   TEXT NOT NULL,
    user TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (app, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS endpoints_by_user ON endpoints (app, user) WHERE user IS NOT NULL;
CREATE TABLE IF NOT EXISTS streams (
    app  TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    since TEXT NOT NULL
) WITHOUT ROWID;
";

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// What the API remembers. Calls block for as long as SQLite works.
pub(super) struct Store {
    file: PathBuf,
    db: Mutex<Option<Connection>>,
}

/// The inside of one transaction.
pub(super) struct Session<'a> {
    db: &'a Connection,
}

impl Store {
    /// A store in a file, which is opened with its first use.
    pub(super) fn new(file: PathBuf) -> Store {
        Store { file, db: Mutex::new(None) }
    }

    /// Runs `work` in one transaction: all of it holds, or after an error none.
    /// What was committed survives a power cut.
    pub(super) fn transact<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Session<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // A panic elsewhere rolled its transaction back, so the lock's content is sound.
        let mut db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match db.take() {
            Some(connection) => db.insert(connection),
            None => db.insert(self.open()?),
        };
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(storage("beginning a transaction in the Pinpoint store"))?;
        let done = work(&Session { db: &transaction })?;
        transaction.commit().map_err(storage("committing to the Pinpoint store"))?;
        Ok(done)
    }

    /// Removes the endpoints of a user, and those that hold the user's id; overwrites what they
    /// leave behind. Returns how many there were.
    pub(super) fn erase(&self, user: &str) -> Result<u64> {
        let removed = self.transact(|session| session.erase(user))?;
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &*db {
            connection
                .execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
                .map_err(storage("overwriting what was erased from the Pinpoint store"))?;
        }
        Ok(removed)
    }

    fn open(&self) -> Result<Connection> {
        let doing = || format!("opening {}", self.file.display());
        if let Some(folder) = self.file.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|cause| Error::new(ErrorKind::Storage, doing()).caused_by(cause))?;
        }
        private(&self.file).map_err(|cause| Error::new(ErrorKind::Storage, doing()).caused_by(cause))?;
        let failed = |cause: rusqlite::Error| Error::new(ErrorKind::Storage, doing()).caused_by(cause);
        let db = Connection::open(&self.file).map_err(failed)?;
        db.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").map_err(failed)?;
        db.execute_batch(SCHEMA).map_err(failed)?;
        Ok(db)
    }
}

/// Creates the file if it is missing, and closes it to other users: SQLite gives its
/// other files the mode of this one.
fn private(file: &Path) -> std::io::Result<()> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file)?;
    if opened.metadata()?.permissions().mode() & 0o077 != 0 {
        // Of another owner it stays as that one wants it.
        let _ = opened.set_permissions(Permissions::from_mode(0o600));
    }
    Ok(())
}

impl Session<'_> {
    /// An endpoint.
    pub(super) fn endpoint(&self, app: &str, id: &str) -> Result<Option<Object>> {
        self.one("SELECT body FROM endpoints WHERE app = ?1 AND id = ?2", params![app, id])
    }

    /// The endpoints of a user, by id.
    pub(super) fn endpoints_of(&self, app: &str, user: &str) -> Result<Vec<Object>> {
        let sql = "SELECT body FROM endpoints WHERE app = ?1 AND user = ?2 ORDER BY id";
        self.all(sql, params![app, user])
    }

    /// Saves an endpoint.
    pub(super) fn save_endpoint(&self, app: &str, id: &str, user: Option<&str>, body: &Object) -> Result<()> {
        let sql = "INSERT INTO endpoints (app, id, user, body) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT DO UPDATE SET user = excluded.user, body = excluded.body";
        self.run(sql, params![app, id, user, text(body)])
    }

    /// Removes an endpoint.
    pub(super) fn delete_endpoint(&self, app: &str, id: &str) -> Result<()> {
        self.run("DELETE FROM endpoints WHERE app = ?1 AND id = ?2", params![app, id])
    }

    fn erase(&self, user: &str) -> Result<u64> {
        let sql = "DELETE FROM endpoints WHERE user = ?1 OR id = ?1
                   OR EXISTS (SELECT 1 FROM json_tree(body) WHERE atom = ?1)";
        let removed = self.db.execute(sql, [user]).map_err(storage("erasing from the Pinpoint store"))?;
        Ok(removed as u64)
    }

    /// The event stream of an app.
    pub(super) fn stream(&self, app: &str) -> Result<Option<Object>> {
        self.one("SELECT body FROM streams WHERE app = ?1", params![app])
    }

    /// All event streams, by app; `Since` is when events began to go to this destination.
    pub(super) fn streams(&self) -> Result<Vec<Object>> {
        self.all("SELECT json_set(body, '$.Since', since) FROM streams ORDER BY app", params![])
    }

    /// Sets the event stream of an app. Who sets the same destination again, to
    /// fix its role, loses no event that still waits for it.
    pub(super) fn save_stream(&self, app: &str, body: &Object, now: &str) -> Result<()> {
        let sql = "INSERT INTO streams (app, body, since) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET body = excluded.body, since = CASE
                       WHEN body ->> 'DestinationStreamArn' = excluded.body ->> 'DestinationStreamArn'
                       THEN since ELSE excluded.since END";
        self.run(sql, params![app, text(body), now])
    }

    /// Removes the event stream of an app.
    pub(super) fn delete_stream(&self, app: &str) -> Result<()> {
        self.run("DELETE FROM streams WHERE app = ?1", params![app])
    }

    fn one(&self, sql: &str, params: impl rusqlite::Params) -> Result<Option<Object>> {
        let query =
            self.db.prepare_cached(sql).and_then(|mut query| query.query_row(params, body).optional());
        query.map_err(storage("reading from the Pinpoint store"))
    }

    fn all(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Object>> {
        let query =
            self.db.prepare_cached(sql).and_then(|mut query| query.query_map(params, body)?.collect());
        query.map_err(storage("reading from the Pinpoint store"))
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        let done = self.db.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
        done.map(|_| ()).map_err(storage("writing to the Pinpoint store"))
    }
}

fn body(row: &rusqlite::Row<'_>) -> rusqlite::Result<Object> {
    let text: String = row.get(0)?;
    serde_json::from_str(&text).map_err(|cause| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, cause.into())
    })
}

fn text(body: &Object) -> String {
    // Keys are text and values came from JSON: nothing can fail.
    serde_json::to_string(body).unwrap_or_default()
}

fn storage(doing: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |cause| Error::new(ErrorKind::Storage, doing).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_owner_can_read_endpoints_and_a_file_that_was_open_to_others_is_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pinpoint.db");
        for open_to_others in [false, true] {
            if open_to_others {
                std::fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("opened");
            }
            let store = Store::new(file.clone());
            store.transact(|session| session.streams()).map_err(|error: Error| error.chain()).expect("open");

            let files =
                std::fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("entry").path());
            let modes: Vec<_> =
                files.map(|file| file.metadata().expect("there").permissions().mode() & 0o777).collect();
            assert!(modes.len() > 1, "the log of SQLite lies beside it");
            assert!(modes.iter().all(|mode| *mode == 0o600), "{modes:?}");
        }
    }

    #[test]
    fn who_sets_the_same_destination_again_loses_no_event_that_waits_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path().join("pinpoint.db"));
        let set = |arn: &str, role: &str, at: &str| {
            let body = json!({ "DestinationStreamArn": arn, "RoleArn": role });
            let body = body.as_object().expect("an object").clone();
            let set = store.transact(|session| {
                session.save_stream("app", &body, at)?;
                session.streams()
            });
            let stream = set.map_err(|error: Error| error.chain()).expect("kept").remove(0);
            (stream["Since"].clone(), stream["RoleArn"].clone())
        };
        assert_eq!(set("arn:1", "old", "t1"), (json!("t1"), json!("old")));
        assert_eq!(set("arn:1", "fixed", "t2"), (json!("t1"), json!("fixed")));
        assert_eq!(set("arn:2", "fixed", "t3"), (json!("t3"), json!("fixed")));
        assert_eq!(set("arn:1", "fixed", "t4"), (json!("t4"), json!("fixed")));
    }
}
