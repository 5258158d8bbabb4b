//! All rows of a table by way of S3: `UNLOAD` as Parquet, and the files as a feed.
//!
//! A cursor's result is stored by the leader node, whose room for it is limited; files are written by all nodes at
//! once. Columns are unloaded as the texts that a cursor would give, except for floats, so that a row is read as the
//! same values on both ways.
//!
//! Source: Amazon Redshift Database Developer Guide, `UNLOAD`: files have 5 MB at least, `MANIFEST` lists them, and a
//! quote in the query is doubled.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use serde::Deserialize;
use tidegate_model::{Error, ErrorKind, Feed, Reason, Row, Value};
use tidegate_transport::arena::Arena;
use tidegate_transport::arrow;
use tidegate_transport::sql::reading::{self, Cells, Wire};
use tidegate_transport::sql::table::{ColumnSql as _, Relation as _};
use tidegate_transport::sql::{literal, quote};
use tidegate_transport::storage::StorageRoot;
use uuid::Uuid;

use crate::postgres::client::{Access, Session};

use super::cell;
use super::errors::explained_unloading;
use super::relation::{Relation, Table};
use super::settings::Staging;
use super::sink::clear;
use super::types::SqlType;

/// Megabytes of a file: one is in memory at a time.
const FILE_MEGABYTES: u32 = 16;
/// Rows that are decoded together.
const ROWS_TOGETHER: usize = 1_024;
/// The folder of files that are unloaded, inside of the one of `staging`.
const FOLDER: &str = "_unloaded";
/// What a killed process left is removed after this time. No read takes so long.
const LEFT_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Where rows are unloaded to.
#[derive(Clone, Debug)]
pub struct Unload {
    /// The folder in S3, which this program reads and empties.
    pub root: StorageRoot,
    /// How Redshift writes to it.
    pub staging: Staging,
}

#[derive(Deserialize)]
struct Manifest {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    url: String,
}

impl Unload {
    /// Returns the statement that unloads a query; `None` if its text cannot be part of one.
    fn statement(&self, query: &str, folder: &StorageRoot) -> Option<String> {
        // Whether a backslash is an escape there depends on what it stands in front of.
        if query.contains('\\') {
            return None;
        }
        let role = self.staging.copy_role.as_deref().map_or_else(|| "default".to_owned(), literal);
        let place = literal(&folder.name().replacen("s3a://", "s3://", 1));
        Some(format!(
            "UNLOAD ({}) TO {place} IAM_ROLE {role} REGION {} FORMAT AS PARQUET MANIFEST MAXFILESIZE {FILE_MEGABYTES} MB",
            literal(query),
            literal(&self.staging.region)
        ))
    }

    /// Removes what killed processes left, as far as it is old.
    ///
    /// # Errors
    /// What the store said.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        let folder = self.root.inside(&[FOLDER]);
        for name in folder.list().await? {
            let made = name
                .split('/')
                .next()
                .and_then(|id| Uuid::parse_str(id).ok())
                .and_then(|id| id.get_timestamp());
            let made = made
                .and_then(|made| i64::try_from(made.to_unix().0).ok())
                .and_then(|at| Timestamp::from_second(at).ok());
            if made.is_some_and(|made| now.duration_since(made) > LEFT_FOR) {
                folder.remove(&name).await?;
            }
        }
        Ok(())
    }

    /// Unloads a row, reads it and removes it.
    ///
    /// # Errors
    /// What Redshift or S3 says.
    pub async fn prove(&self, access: &Access) -> Result<(), Error> {
        let folder = self.root.inside(&[FOLDER, &Uuid::now_v7().to_string()]);
        let mut session = access.begin().await?;
        session.running = true;
        let statement = self.statement("SELECT 1 AS c0", &folder).unwrap_or_default();
        let unloaded = session.client.batch_execute(&statement).await;
        session.running = false;
        access.done(session).await;
        unloaded.map_err(|error| explained_unloading(access, &error, &folder.name()))?;
        let listed = folder.list().await;
        clear(&folder).await?;
        match listed?.is_empty() {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::Missing, format!("no file was unloaded to {}", folder.name()))),
        }
    }
}

/// Returns the list of a `SELECT` whose cells are those of [`value`]; `None` if a column has no text there.
fn list(table: &Table) -> Option<String> {
    let columns = table.columns.iter().enumerate().map(|(at, column)| {
        let name = format!("tidegate_rows.{}", quote(&column.name));
        let cell = match &column.sql_type {
            SqlType::Double => Some(name),
            SqlType::Real => column.sql_type.asked(&name),
            other => other.text(&name),
        };
        cell.map(|cell| format!("{cell} AS c{at}"))
    });
    columns.collect::<Option<Vec<_>>>().map(|columns| columns.join(", "))
}

/// Returns the value of a cell.
fn value(sql_type: &SqlType, cell: Value, arena: &mut Arena) -> Result<Value, (Bytes, Reason)> {
    let text = match (sql_type, cell) {
        (_, Value::Null) => return Ok(Value::Null),
        (SqlType::Real, Value::Float(number)) => return Ok(cell::widened(number)),
        (_, Value::Float(number)) => return Ok(Value::Float(number)),
        (_, Value::Text(text)) => text,
        _ => {
            return Err((
                Bytes::new(),
                Reason::new("unknown_form", format!("a {sql_type} that cannot be read")),
            ));
        }
    };
    cell::unloaded(sql_type, &text, arena).map_err(|reason| (text.clone().into_bytes(), reason))
}

/// Returns the rows of a table as a feed; `None` if they have to be read by a cursor.
pub fn feed(
    unload: &Unload,
    access: &Access,
    session: Session,
    table: &Table,
    batch_rows: usize,
) -> Result<Feed<Row>, Box<Session>> {
    let folder = unload.root.inside(&[FOLDER, &Uuid::now_v7().to_string()]);
    let query = list(table).map(|list| format!("SELECT {list} FROM {}", table.relation.from()));
    let Some(statement) = query.and_then(|query| unload.statement(&query, &folder)) else {
        return Err(Box::new(session));
    };
    let reading = Reading {
        access: access.clone(),
        types: table.columns.iter().map(|column| column.sql_type.clone()).collect(),
        relation: table.relation.clone(),
        step: Step::Unloads(Box::new(session), statement),
        files: Files { folder, is_clear: true },
        arena: Arena::default(),
    };
    Ok(reading::feed(reading, table.relation.label(), table.names(), batch_rows))
}

/// Files that are removed when nothing reads them any more.
struct Files {
    folder: StorageRoot,
    is_clear: bool,
}

impl Drop for Files {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_clear {
            return;
        }
        let folder = self.folder.clone();
        runtime.spawn(async move {
            if let Err(error) = clear(&folder).await {
                tracing::debug!(error = %error.chain(), "unloaded files could not be removed");
            }
        });
    }
}

/// How far a read is.
enum Step {
    /// The statement is to be run.
    Unloads(Box<Session>, String),
    /// The files are to be read, and the one that is.
    Reads(VecDeque<String>, Option<(String, ParquetRecordBatchReader)>),
}

struct Reading {
    access: Access,
    types: Vec<SqlType>,
    relation: Relation,
    step: Step,
    files: Files,
    arena: Arena,
}

impl Reading {
    fn doing(&self) -> String {
        format!("reading {} by way of {}", self.relation.label(), self.files.folder.name())
    }

    /// Runs the statement, and returns the names of its files.
    async fn unloaded(&mut self, mut session: Session, statement: &str) -> Result<VecDeque<String>, Error> {
        self.files.is_clear = false;
        session.running = true;
        let unloaded = session.client.batch_execute(statement).await;
        session.running = false;
        unloaded.map_err(|error| {
            explained_unloading(&self.access, &error, &self.files.folder.name()).context(self.doing())
        })?;
        self.access.done(session).await;
        let Some(manifest) = self.files.folder.get("manifest").await? else {
            return match self.files.folder.list().await?.is_empty() {
                // No rows, no files.
                true => Ok(VecDeque::new()),
                false => Err(self.unreadable("files without a manifest")),
            };
        };
        let manifest: Manifest = serde_json::from_slice(&manifest)
            .map_err(|_| self.unreadable("a manifest that cannot be read"))?;
        let name = |entry: Entry| entry.url.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(manifest.entries.into_iter().map(name).collect())
    }

    fn unreadable(&self, what: &str) -> Error {
        Error::new(ErrorKind::Unexpected, format!("{}: Amazon Redshift left {what}", self.doing()))
    }
}

/// Fetches a file; `None` if it is gone.
async fn fetched(folder: &StorageRoot, name: &str) -> Result<Option<ParquetRecordBatchReader>, Error> {
    let Some(content) = folder.get(name).await? else { return Ok(None) };
    let opened = ParquetRecordBatchReaderBuilder::try_new(content)
        .and_then(|builder| builder.with_batch_size(ROWS_TOGETHER).build());
    opened.map(Some).map_err(|cause| {
        Error::new(ErrorKind::Unexpected, format!("{name} in {} is no Parquet", folder.name()))
            .caused_by(cause)
    })
}

#[async_trait]
impl Wire for Reading {
    /// Rows, and how many of them are decoded.
    type Part = (arrow_array::RecordBatch, usize);

    async fn next(&mut self) -> Result<Option<Self::Part>, Error> {
        loop {
            match std::mem::replace(&mut self.step, Step::Reads(VecDeque::new(), None)) {
                Step::Unloads(session, statement) => {
                    let files = self.unloaded(*session, &statement).await?;
                    self.step = Step::Reads(files, None);
                }
                Step::Reads(files, Some((name, mut reader))) => match reader.next() {
                    Some(batch) => {
                        let batch = batch.map_err(|cause| {
                            self.unreadable("a file that cannot be read").caused_by(cause)
                        })?;
                        if batch.num_columns() != self.types.len() {
                            return Err(self.unreadable("rows with columns that were not asked for"));
                        }
                        self.step = Step::Reads(files, Some((name, reader)));
                        return Ok(Some((batch, 0)));
                    }
                    None => {
                        self.files.folder.remove(&name).await?;
                        self.step = Step::Reads(files, None);
                    }
                },
                Step::Reads(mut files, None) => {
                    let Some(name) = files.pop_front() else {
                        clear(&self.files.folder).await?;
                        self.files.is_clear = true;
                        return Ok(None);
                    };
                    let reader = fetched(&self.files.folder, &name).await?;
                    let reader =
                        reader.ok_or_else(|| self.unreadable("a manifest of a file that is gone"))?;
                    self.step = Step::Reads(files, Some((name, reader)));
                }
            }
        }
    }

    fn row(&mut self, (batch, at): &mut Self::Part, cells: &mut Cells) -> Result<bool, Error> {
        if *at == batch.num_rows() {
            return Ok(false);
        }
        for (column, sql_type) in self.types.iter().enumerate() {
            let held = arrow::value(batch.column(column), *at).map_err(|reason| (Bytes::new(), reason));
            cells.push(held.and_then(|held| value(sql_type, held, &mut self.arena)));
        }
        *at += 1;
        Ok(true)
    }

    async fn not_due(&mut self) -> Result<u64, Error> {
        Ok(0)
    }
}
