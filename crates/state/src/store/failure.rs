//! Failures of databases, as people read them.

use std::io;
use std::path::Path;

use tidegate_model::{Error, ErrorKind};

pub(crate) use crate::failure::of_io;
use crate::failure::{full, storage};

/// `SQLITE_FULL`. Source: <https://www.sqlite.org/rescode.html>.
const SQLITE_FULL: i64 = 13;
const SQLITE_BUSY: i64 = 5;
const SQLITE_READONLY: i64 = 8;
const SQLITE_CANTOPEN: i64 = 14;
const SQLITE_CORRUPT: i64 = 11;
const SQLITE_NOTADB: i64 = 26;

/// A failure of the embedded database in `folder`.
pub(crate) fn of_sqlite(cause: sqlx::Error, folder: &Path) -> Error {
    let shown = folder.display();
    if let sqlx::Error::Io(inner) = &cause
        && inner.kind() == io::ErrorKind::StorageFull
    {
        return full(folder).caused_by(cause);
    }
    let code = match &cause {
        sqlx::Error::Database(database) => database.code().and_then(|code| code.parse::<i64>().ok()),
        _ => None,
    };
    // The low byte is the plain code, the rest says more.
    match code.map(|code| code & 0xff) {
        Some(SQLITE_FULL) => full(folder).caused_by(cause),
        Some(SQLITE_BUSY) => storage(format!("the state database in {shown} is locked by another process"))
            .hint("stop the other process, or give this one another data folder")
            .caused_by(cause),
        Some(SQLITE_READONLY) => storage(format!("the state database in {shown} cannot be written"))
            .hint(format!("let the user that runs tidegate write in {shown}"))
            .caused_by(cause),
        Some(SQLITE_CANTOPEN) => storage(format!("the state database in {shown} cannot be opened"))
            .hint(format!("let the user that runs tidegate read and write in {shown}"))
            .caused_by(cause),
        Some(SQLITE_CORRUPT | SQLITE_NOTADB) => storage(format!("the state database in {shown} is damaged"))
            .hint(format!("restore {shown} from a copy; nothing is written until then"))
            .caused_by(cause),
        _ => storage(format!("the state database in {shown} failed")).caused_by(cause),
    }
}

/// A failure of the PostgreSQL server that keeps the state.
pub(crate) fn of_postgres(cause: sqlx::Error) -> Error {
    let code = match &cause {
        sqlx::Error::Database(database) => database.code().map(|code| code.into_owned()),
        sqlx::Error::Tls(_) => return unverified(cause),
        sqlx::Error::Io(io) if io.kind() == io::ErrorKind::InvalidData => return unverified(cause),
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => {
            return Error::new(ErrorKind::Unavailable, "the PostgreSQL state database cannot be reached")
                .hint("start the server, or correct the host, the port and the TLS settings of its URL")
                .caused_by(of_system(cause));
        }
        _ => None,
    };
    // Source: PostgreSQL documentation, appendix A, error codes.
    let code = code.unwrap_or_default();
    match code.as_str() {
        "28P01" | "28000" => {
            Error::new(ErrorKind::Denied, "the PostgreSQL state database refused user or password")
                .hint("correct the user and the password in its URL")
        }
        "42501" => Error::new(ErrorKind::Denied, "the PostgreSQL state database lacks a permission")
            .hint("GRANT CREATE, USAGE ON SCHEMA public TO the user in its URL"),
        "3D000" => Error::new(ErrorKind::Missing, "the PostgreSQL state database does not exist")
            .hint("CREATE DATABASE it, or correct its name in the URL"),
        "53100" => storage("the disk of the PostgreSQL state database is full".to_owned())
            .hint("free space on the server, then run again: nothing was lost"),
        "53300" | "57P01" | "57P02" | "57P03" => {
            Error::new(ErrorKind::Unavailable, "the PostgreSQL state database takes no connections now")
        }
        other if other.starts_with("08") => {
            Error::new(ErrorKind::Unavailable, "the connection to the PostgreSQL state database broke")
        }
        _ => storage("the PostgreSQL state database failed".to_owned()),
    }
    .caused_by(cause)
}

/// What the system said, without the words of the library around it.
fn of_system(cause: sqlx::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match cause {
        sqlx::Error::Io(cause) => cause.into(),
        cause => cause.into(),
    }
}

/// The server speaks no TLS, or its certificate is not trusted.
fn unverified(cause: sqlx::Error) -> Error {
    Error::settings("TLS with the PostgreSQL state database failed")
        .hint(
            "if its certificate is of an authority of your own, add `sslrootcert=/path/to/authority.pem` to its URL; \
             `sslmode=require` encrypts without verifying, `sslmode=disable` does neither",
        )
        .caused_by(cause)
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, Executor as _, SqliteConnection};

    use super::*;

    #[tokio::test]
    async fn a_database_that_cannot_grow_says_that_the_disk_is_full_and_which() {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.expect("opened");
        database.execute("CREATE TABLE t (x BYTEA); PRAGMA max_page_count = 2").await.expect("made");
        let cause = database.execute("INSERT INTO t VALUES (zeroblob(100000))").await.expect_err("full");

        let error = of_sqlite(cause, Path::new("/srv/tidegate"));

        assert_eq!(error.kind(), ErrorKind::Storage);
        assert_eq!(error.message(), "the disk is full: nothing more fits into /srv/tidegate");
        assert!(error.next_step().contains("free space"), "{}", error.next_step());
    }
}
