//! What PostgreSQL says while events are written.
//!
//! Kinds follow the SQLSTATE (PostgreSQL handbook, appendix A). The server's own
//! words are left out if they may hold a value of an event.

use tidegate_model::{Error, ErrorKind};
use tokio_postgres::error::DbError;

use super::PostgresSink;
use crate::postgres::grants;
use tidegate_transport::sql::quote;

/// What ended a delivery.
pub enum Failure {
    /// The server, or the way to it.
    Server(tokio_postgres::Error),
    /// The server refused to make or widen the table.
    Changing {
        /// What it said.
        error: tokio_postgres::Error,
        /// What was asked.
        statement: String,
    },
    /// Something that has its sentence already.
    Known(Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        Failure::Server(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Known(error)
    }
}

/// Returns whether a transaction whose commit ended like this may have taken effect: the server did not
/// say that it failed, or was on its way out when it did.
pub fn leaves_doubt(error: &tokio_postgres::Error) -> bool {
    error.code().is_none_or(|code| matches!(code.code().get(..2), Some("08" | "57" | "58" | "XX")))
}

impl PostgresSink {
    /// What happened, and what to do about it.
    pub(super) fn explain(&self, failure: Failure) -> Error {
        match failure {
            Failure::Known(error) => error,
            Failure::Server(error) => match error.as_db_error() {
                Some(said) => self.explain_writing(said, &error),
                None => self.access.explain(&error, None),
            },
            Failure::Changing { error, statement } => match error.as_db_error() {
                Some(said) => self.explain_changing(said, &error, &statement),
                None => self.access.explain(&error, None),
            },
        }
    }

    fn explain_changing(&self, said: &DbError, error: &tokio_postgres::Error, statement: &str) -> Error {
        let table = self.table.label();
        match said.code().code() {
            "42501" => Error::new(ErrorKind::Denied, format!("making {table} ready: {}", said.message()))
                .hint(format!(
                    "as an administrator, run: {}\nor make it yourself: {statement}",
                    self.grants(said.message())
                )),
            // Another program made it between our look and our statement.
            "42P06" | "42P07" | "42701" | "23505" => Error::new(
                ErrorKind::Unavailable,
                format!("preparing {table}: another process did it at the same moment"),
            ),
            _ => self.explain_writing(said, error),
        }
    }

    fn explain_writing(&self, said: &DbError, error: &tokio_postgres::Error) -> Error {
        let (code, words) = (said.code().code(), said.message());
        let doing = format!("writing to {}", self.table.label());
        let told = |kind| Error::new(kind, format!("{doing}: {words}"));
        match code {
            "42501" => {
                told(ErrorKind::Denied).hint(format!("as an administrator, run: {}", self.grants(words)))
            }
            "42P10" => Error::settings(format!("{} has no unique index on event_id", self.table.label()))
                .hint(format!(
                    "run: ALTER TABLE {} ADD PRIMARY KEY (event_id); or choose another `table`",
                    self.table.quoted()
                )),
            "42P01" | "42703" | "3F000" => {
                told(ErrorKind::Missing).hint("resume the export: what is missing is made again")
            }
            "23502" => Error::settings(format!(
                "{doing}: the column `{}` must not be empty, and events have no value for it",
                said.column().unwrap_or("?")
            ))
            .hint("give the column a default, or choose another `table`"),
            "25006" => Error::settings(format!("{doing}: the server only reads: {words}"))
                .hint("set `host` to the primary server; a replica takes no events"),
            "53100" => told(ErrorKind::Unavailable)
                .hint("free space on the server's disk; it continues automatically"),
            "57014" if words.contains("statement timeout") => told(ErrorKind::Unavailable)
                .hint("raise `statement_timeout`, or the limit of this user at the server"),
            "42809" | "55000" => Error::settings(format!("{doing}: {words}"))
                .hint("choose a `table` that rows can be inserted into"),
            _ => match code.get(..2).unwrap_or_default() {
                // Values, constraints, limits of a row, and what the table's triggers raise.
                "22" | "23" | "54" | "P0" => Error::new(
                    ErrorKind::Rejected,
                    format!("{doing}: the table does not take a value (SQLSTATE {code})"),
                ),
                "40" => told(ErrorKind::Unavailable),
                "42" | "0A" | "2B" => Error::settings(format!("{doing}: {words}")),
                "08" | "28" | "3D" | "53" | "55" | "57" => self.access.explain(error, None),
                _ => Error::new(
                    ErrorKind::Unexpected,
                    format!("{doing}: PostgreSQL answered with SQLSTATE {code}"),
                ),
            },
        }
    }

    /// The statement that lifts a refusal.
    fn grants(&self, words: &str) -> String {
        let settings = &self.access.settings;
        let (role, database) = (settings.role(), &settings.database);
        if words.contains("temporary tables") {
            return grants::temporary(database, role);
        }
        if words.contains("must be owner") {
            return format!("ALTER TABLE {} OWNER TO {};", self.table.quoted(), quote(role));
        }
        match grants::refused(words) {
            Some(("schema", _)) => grants::make_tables(&self.table.schema, role),
            Some(("database", _)) => grants::own_schema(&self.table.schema, role),
            _ => grants::insert(&self.table.quoted(), role),
        }
    }
}
