//! Redshift as a [`Source`].

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tidegate_model::bookkeeping::Bookkeeping;
use tidegate_model::source::Hashed;
use tidegate_model::{
    Checks, Clock, ConnectorContext, Dataset, Error, ErrorKind, Feed, ReadMode, Row, Selection, Settings,
    Source, SyncId, Value,
};
use tidegate_transport::sql::bookkeeping;
use tidegate_transport::sql::incremental::{Redshift, with_parameter};
use tidegate_transport::sql::nearest;
use tidegate_transport::sql::rows::parameter;
use tidegate_transport::sql::selection::narrow;
use tidegate_transport::sql::table::Relation as _;
use tidegate_transport::storage::StorageRoot;

use crate::postgres::client::{Access, Login, Session, Wire};
use crate::postgres::parameter::input_text;

use super::bookkeeping::RedshiftKeeper;
use super::catalog;
use super::errors::explained;
use super::iam::Iam;
use super::keys::lookups;
use super::reading::Read;
use super::relation::{Relation, SourceColumn, Table, in_database, literal};
use super::settings::{ReadBy, RedshiftSelection, RedshiftSettings};
use super::types::SqlType;
use super::unload::{self, Unload};

/// Texts come out the same whatever the cluster, the database and the user are set to: 17 digits of a float
/// name it exactly, and 2 more than the 15 of before is the most that Redshift takes.
///
/// Source: Amazon Redshift Database Developer Guide, "Configuration reference".
const OPENING: &str = "SET datestyle TO ISO; SET timezone TO 'UTC'; SET extra_float_digits TO 2";

/// Everything that is read belongs to one state, that of the first `SELECT`.
const TRANSACTION: &str = "BEGIN READ ONLY";

static REDSHIFT: Wire = Wire {
    title: "Amazon Redshift",
    opening: OPENING,
    set: "SET",
    digest: true,
    explain: |access, error| explained(access, error, None),
};

/// Returns the way to the database of these settings.
///
/// # Errors
/// [`ErrorKind::Settings`] for settings that cannot work.
pub fn access(settings: &RedshiftSettings, context: &ConnectorContext) -> Result<Access, Error> {
    let login = Iam::open(settings, context)?.map(|iam| Arc::new(iam) as Arc<dyn Login>);
    Access::over(&REDSHIFT, settings.connection()?, login, context)
}

/// A database of Redshift.
#[derive(Clone)]
pub struct RedshiftSource {
    pub(super) access: Access,
    fetch_rows: NonZeroU32,
    /// Whether nothing may be written.
    pub(super) dry_run: bool,
    /// Where all rows are unloaded to, if they are not fetched.
    pub(super) unload: Option<Unload>,
    clock: Arc<dyn Clock>,
    /// Whether what killed processes left was removed.
    is_swept: Arc<AtomicBool>,
}

impl RedshiftSource {
    /// Opens the source. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub fn open(settings: &Settings, context: &ConnectorContext) -> Result<RedshiftSource, Error> {
        let settings: RedshiftSettings = settings.parse()?;
        let unload = match settings.read {
            ReadBy::Cursor => None,
            ReadBy::Unload => {
                let staging = settings.staging()?;
                let root = StorageRoot::open_to_read(&staging.folder, context)?;
                Some(Unload { root, staging })
            }
        };
        Ok(RedshiftSource {
            access: access(&settings, context)?,
            fetch_rows: settings.fetch_rows,
            dry_run: context.dry_run,
            unload,
            clock: Arc::clone(&context.clock),
            is_swept: Arc::default(),
        })
    }

    /// Returns the columns that are read of a selection, found without reading a row.
    pub(super) async fn table(
        &self,
        session: &Session,
        selected: &RedshiftSelection,
    ) -> Result<Table, Error> {
        let relation = selected.relation()?;
        // Outside of a transaction: the client asks for the types it does not know in two ways, of which the
        // first one fails here.
        let statement = match session.client.prepare(&relation.probe()).await {
            Ok(statement) => statement,
            Err(error) => {
                let error = explained(&self.access, &error, Some(&relation));
                return Err(match error.kind() {
                    ErrorKind::Missing => self.suggest(session, &relation, error).await,
                    _ => error,
                });
            }
        };
        let columns = statement.columns().iter().map(|column| SourceColumn {
            name: column.name().to_owned(),
            sql_type: SqlType::of(column.type_().oid(), column.type_modifier(), column.type_().name()),
        });
        Table::new(Redshift, relation, columns.collect(), false)?.narrowed(selected.columns.as_deref())
    }

    /// Adds the name of the table that was most likely meant.
    async fn suggest(&self, session: &Session, relation: &Relation, error: Error) -> Error {
        let Relation::Table(..) = relation else { return error };
        let Ok(known) = catalog::tables(&self.access, session).await else { return error };
        let names = known.iter().map(|dataset| dataset.name.as_str());
        match nearest(&relation.label(), names) {
            Some(name) if name != relation.label() => error.hint(format!("did you mean `{name}`?")),
            _ => error,
        }
    }

    /// Opens the transaction of a read.
    pub(super) async fn reading(
        &self,
        session: Session,
        table: Table,
        statements: impl IntoIterator<Item = String>,
        not_due: Option<String>,
        batch_rows: usize,
    ) -> Result<Read, Error> {
        session
            .client
            .batch_execute(TRANSACTION)
            .await
            .map_err(|error| explained(&self.access, &error, Some(&table.relation)))?;
        Ok(Read {
            access: self.access.clone(),
            session,
            columns: table.names(),
            types: table.columns.into_iter().map(|column| column.sql_type).collect(),
            relation: table.relation,
            statements: VecDeque::from_iter(statements),
            not_due,
            batch_rows,
            fetch_rows: self.fetch_rows,
        })
    }
}

/// Returns a cursor's value in SQL; `None` for none and for the beginning of time.
fn start(from: &Value) -> Result<Option<String>, Error> {
    let Some(text) = parameter(from).and_then(|_| input_text(from)) else { return Ok(None) };
    let text = literal(&text);
    text.map(Some).ok_or_else(|| Error::internal("the checkpoint has a character that no text here has"))
}

#[async_trait]
impl Source for RedshiftSource {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        self.prove(selection).await
    }

    fn accepts(&self, selection: &Selection) -> Result<(), Error> {
        selection.parse::<RedshiftSelection>()?.relation().map(drop)
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        let session = self.access.begin().await?;
        let tables = catalog::tables(&self.access, &session).await?;
        self.access.done(session).await;
        Ok(tables)
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        let selected: RedshiftSelection = selection.parse()?;
        let session = self.access.begin().await?;
        let table = self.table(&session, &selected).await?;
        let key = match (selected.key, in_database(&table.relation, &self.access.settings.database)) {
            (Some(key), _) => key,
            (None, None) => Vec::new(),
            (None, Some((schema, name))) => catalog::key(&self.access, &session, schema, name).await?,
        };
        self.access.done(session).await;
        let columns = table.columns.iter().map(SourceColumn::described).collect();
        Ok(Dataset { name: table.relation.label(), columns, key, open: false })
    }

    fn narrow(&self, selection: &Selection, columns: &[String]) -> Option<Selection> {
        Some(narrow(selection, columns))
    }

    async fn sample(&self, selection: &Selection, rows: usize) -> Result<Option<Feed<Row>>, Error> {
        let session = self.access.begin().await?;
        let table = self.table(&session, &selection.parse()?).await?;
        let statement = table.some(rows);
        Ok(Some(self.reading(session, table, [statement], None, rows + 1).await?.feed()))
    }

    async fn read(
        &self,
        selection: &Selection,
        mode: &ReadMode,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        let session = self.access.begin().await?;
        let table = self.table(&session, &selection.parse()?).await?;
        let session = match (&self.unload, mode) {
            (Some(unload), ReadMode::Full) if !self.dry_run => {
                if !self.is_swept.swap(true, Ordering::Relaxed) {
                    unload.sweep(self.clock.now()).await?;
                }
                match unload::feed(unload, &self.access, session, &table, batch_rows) {
                    Ok(feed) => return Ok(feed),
                    Err(session) => *session,
                }
            }
            _ => session,
        };
        let (statement, not_due) = match mode {
            ReadMode::Full => (table.everything(), None),
            ReadMode::Incremental { column, from, time_zone } => {
                let cursor = table.cursor(column, time_zone)?;
                let from = from.as_ref().map(start).transpose()?.flatten();
                let statement = cursor.all(from.is_some());
                (with_parameter(&statement, from.as_deref().unwrap_or_default()), cursor.not_due())
            }
            ReadMode::Resume { .. } => {
                return Err(Error::settings("Amazon Redshift keeps no position of its own")
                    .hint("say how rows are found: `cursor: <column>` or `mode: full`"));
            }
        };
        Ok(self.reading(session, table, [statement], not_due, batch_rows).await?.feed())
    }

    async fn bookkeeping(
        &self,
        sync: &SyncId,
        selection: &Selection,
        key: &[String],
    ) -> Result<Option<Arc<dyn Bookkeeping>>, Error> {
        Ok(Some(bookkeeping::open(RedshiftKeeper::of(self, &selection.parse()?, key).await?, sync)))
    }

    async fn check_bookkeeping(&self, selection: &Selection, key: &[String]) -> Result<Checks, Error> {
        bookkeeping::prove(&RedshiftKeeper::of(self, &selection.parse()?, key).await?.0).await
    }

    async fn hashed(
        &self,
        selection: &Selection,
        key: &[String],
        what: Hashed<'_>,
        batch_rows: usize,
    ) -> Result<Option<Feed<Row>>, Error> {
        self.read_hashed(selection, key, what, batch_rows).await.map(Some)
    }

    async fn highest(
        &self,
        selection: &Selection,
        column: &str,
        time_zone: &str,
    ) -> Result<Option<Value>, Error> {
        let session = self.access.begin().await?;
        let table = self.table(&session, &selection.parse()?).await?;
        let sql = table.cursor(column, time_zone)?.highest();
        let mut feed = self.reading(session, table, [sql], None, 10).await?.feed();
        let batch = feed.try_next().await?;
        Ok(batch.and_then(|batch| batch.items.first()?.get(column).cloned()))
    }

    async fn lookup(
        &self,
        selection: &Selection,
        key: &[String],
        values: &[Vec<Value>],
    ) -> Result<Option<Feed<Row>>, Error> {
        if key.is_empty() {
            return Err(Error::settings("rows are looked up by key columns, and there are none")
                .hint("name them under `primary_key`"));
        }
        let session = self.access.begin().await?;
        let table = self.table(&session, &selection.parse()?).await?;
        let statements = lookups(&table, key, values)?;
        Ok(Some(self.reading(session, table, statements, None, values.len()).await?.feed()))
    }
}
