//! One SQL text and its values, for either database.

use std::borrow::Cow;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteRow};
use tidegate_model::{Error, ErrorKind, SyncId};

/// A statement with its values, written once for both databases.
pub(crate) struct Statement {
    pub(crate) text: Cow<'static, str>,
    pub(crate) args: Vec<Arg>,
}

/// A value of a statement; `None` is `NULL`.
#[derive(Clone)]
pub(crate) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

/// A statement without values so far; they are `$1`, `$2`, … in the text.
pub(crate) fn sql(text: &'static str) -> Statement {
    Statement { text: Cow::Borrowed(text), args: Vec::new() }
}

impl Statement {
    /// A statement whose number of placeholders is only known now.
    ///
    /// `text` never holds a value: only keywords, names and placeholders.
    pub(crate) fn assembled(text: String, args: Vec<Arg>) -> Statement {
        Statement { text: Cow::Owned(text), args }
    }

    /// Adds the next value.
    pub(crate) fn bind(mut self, arg: impl Into<Arg>) -> Statement {
        self.args.push(arg.into());
        self
    }
}

/// The conditions of a `SELECT`, of which only those with a value count.
#[derive(Default)]
pub(crate) struct Conditions {
    text: String,
    args: Vec<Arg>,
}

impl Conditions {
    /// Adds `column operator` with a value, if there is one.
    pub(crate) fn add(&mut self, comparison: &str, value: Option<Arg>) {
        if let Some(value) = value {
            self.and(&format!("{comparison} ${}", self.args.len() + 1), [value]);
        }
    }

    /// Adds a condition whose placeholders follow those that are there.
    pub(crate) fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Arg>) {
        self.text.push_str(if self.text.is_empty() { " WHERE " } else { " AND " });
        self.text.push_str(condition);
        self.args.extend(values);
    }

    /// Returns the number of the next placeholder.
    pub(crate) fn next(&self) -> usize {
        self.args.len() + 1
    }

    /// Returns the conditions, and their values.
    pub(crate) fn parts(self) -> (String, Vec<Arg>) {
        (self.text, self.args)
    }

    /// Returns the statement for a table in an order, at most `limit` rows.
    pub(crate) fn select(self, table: &str, order: &str, limit: usize) -> Statement {
        let Conditions { text, mut args } = self;
        args.push(Arg::from(limit as u64));
        let text = format!("SELECT * FROM {table}{text} ORDER BY {order} LIMIT ${}", args.len());
        Statement::assembled(text, args)
    }
}

impl From<i64> for Arg {
    fn from(value: i64) -> Arg {
        Arg::Int(Some(value))
    }
}

impl From<u64> for Arg {
    /// No count of ours comes near the end of `i64`.
    fn from(value: u64) -> Arg {
        Arg::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<bool> for Arg {
    fn from(value: bool) -> Arg {
        Arg::Int(Some(i64::from(value)))
    }
}

impl From<Timestamp> for Arg {
    /// Microseconds since the epoch.
    fn from(value: Timestamp) -> Arg {
        Arg::Int(Some(value.as_microsecond()))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Arg {
        Arg::Text(Some(value.to_owned()))
    }
}

impl From<&SyncId> for Arg {
    fn from(value: &SyncId) -> Arg {
        value.as_str().into()
    }
}

impl From<Option<String>> for Arg {
    fn from(value: Option<String>) -> Arg {
        Arg::Text(value)
    }
}

impl From<Vec<u8>> for Arg {
    fn from(value: Vec<u8>) -> Arg {
        Arg::Bytes(Some(value))
    }
}

impl From<Option<Vec<u8>>> for Arg {
    fn from(value: Option<Vec<u8>>) -> Arg {
        Arg::Bytes(value)
    }
}

/// One row of an answer.
pub(crate) enum Record {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What a column can hold in both databases.
pub(crate) trait Cell:
    sqlx::Type<Sqlite>
    + sqlx::Type<Postgres>
    + for<'r> sqlx::Decode<'r, Sqlite>
    + for<'r> sqlx::Decode<'r, Postgres>
{
}

impl Cell for i64 {}
impl Cell for Option<i64> {}
impl Cell for String {}
impl Cell for Option<String> {}
impl Cell for Vec<u8> {}
impl Cell for Option<Vec<u8>> {}

impl Record {
    /// The value of a column by its name.
    pub(crate) fn get<T: Cell>(&self, column: &str) -> Result<T, Error> {
        let value = match self {
            Record::Sqlite(row) => row.try_get(column),
            Record::Postgres(row) => row.try_get(column),
        };
        value.map_err(|cause| unreadable(column).caused_by(cause))
    }

    /// A count.
    pub(crate) fn count(&self, column: &str) -> Result<u64, Error> {
        u64::try_from(self.get::<i64>(column)?).map_err(|cause| unreadable(column).caused_by(cause))
    }

    /// A point in time.
    pub(crate) fn time(&self, column: &str) -> Result<Timestamp, Error> {
        micros(self.get(column)?, column)
    }

    /// A point in time, if there is one.
    pub(crate) fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, Error> {
        self.get::<Option<i64>>(column)?.map(|at| micros(at, column)).transpose()
    }

    /// A value that was written as JSON, if there is one.
    pub(crate) fn maybe_json<T: serde::de::DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<Option<T>, Error> {
        // Without the cause: it may quote the value, which can be a customer's.
        let parse = |text: String| serde_json::from_str(&text).map_err(|_| unreadable(column));
        self.get::<Option<String>>(column)?.map(parse).transpose()
    }
}

fn micros(value: i64, column: &str) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(value).map_err(|cause| unreadable(column).caused_by(cause))
}

/// A value as JSON text, ready for a text column.
pub(crate) fn to_json<T: serde::Serialize>(value: &T, what: &str) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|cause| Error::internal(format!("{what} has no JSON form")).caused_by(cause))
}

/// A word like `partial` as the variant it names.
pub(crate) fn from_word<T: serde::de::DeserializeOwned>(word: &str, column: &str) -> Result<T, Error> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).map_err(|_| unreadable(column))
}

/// The word of a variant.
pub(crate) fn to_word<T: serde::Serialize>(variant: &T) -> Result<String, Error> {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(Error::internal("a variant without a word was to be stored")),
    }
}

fn unreadable(column: &str) -> Error {
    Error::new(
        ErrorKind::Storage,
        format!("the column `{column}` of the state database holds a strange value"),
    )
    .hint("was it written by another version, or changed by hand? restore a copy of the data folder")
}
