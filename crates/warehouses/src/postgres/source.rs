//! PostgreSQL as a [`Source`].

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tidegate_model::bookkeeping::Bookkeeping;
use tidegate_model::source::{Column, Hashed};
use tidegate_model::{
    Checks, ConnectorContext, Dataset, Error, ErrorKind, Feed, ReadMode, Row, Selection, Settings, Source,
    SyncId, Value,
};
use tidegate_transport::sql::bookkeeping;
use tidegate_transport::sql::hashed::Needs;
use tidegate_transport::sql::selection::narrow;
use tidegate_transport::sql::table::Relation as _;

use super::bookkeeping::PostgresKeeper;
use super::client::{Access, Session};
use super::lookup::{LOOKUP_KEYS, lookups};
use super::parameter::input_text;
use super::query::{Table, shown};
use super::reading::{Reading, Step};
use super::settings::{PostgresSelection, PostgresSettings};
use super::types::{Catalogue, data_type};

/// A PostgreSQL database.
#[derive(Clone)]
pub struct PostgresSource {
    pub(super) access: Access,
    /// Whether nothing may be written.
    pub(super) dry_run: bool,
}

const COLUMN_TYPES: &str = "SELECT format_type(types.oid, types.modifier) \
    FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY AS types(oid, modifier, place) ORDER BY place";

const PRIMARY_KEY: &str = "SELECT a.attname::text FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) \
    WHERE k.contype = 'p' AND k.conrelid = to_regclass($1) ORDER BY array_position(k.conkey, a.attnum)";

pub(super) const RELATIONS: &str = "SELECT n.nspname::text, c.relname::text, \
    array_agg(a.attname::text ORDER BY a.attnum), \
    array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum), \
    array_agg(a.atttypid ORDER BY a.attnum), array_agg(a.atttypmod ORDER BY a.attnum), \
    (SELECT array_agg(b.attname::text ORDER BY array_position(k.conkey, b.attnum)) \
       FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_attribute b \
         ON b.attrelid = k.conrelid AND b.attnum = ANY (k.conkey) \
      WHERE k.contype = 'p' AND k.conrelid = c.oid) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
    GROUP BY n.nspname, c.relname, c.oid ORDER BY 1, 2";

impl PostgresSource {
    /// Opens the source. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub fn open(settings: &Settings, context: &ConnectorContext) -> Result<PostgresSource, Error> {
        let settings = settings.parse::<PostgresSettings>()?.checked()?;
        Ok(PostgresSource { access: Access::new(settings, context)?, dry_run: context.dry_run })
    }

    fn steps(&self, table: &Table, mode: &ReadMode) -> Result<(Vec<Step>, Option<String>), Error> {
        match mode {
            ReadMode::Full => Ok((vec![Step { sql: table.everything(), parameters: Vec::new() }], None)),
            ReadMode::Incremental { column, from, time_zone } => {
                let cursor = table.cursor(column, time_zone)?;
                let from = from.as_ref().and_then(input_text);
                let nulls = Step { sql: cursor.nulls(), parameters: Vec::new() };
                let sql = cursor.rows(from.is_some());
                let parameters = from.into_iter().map(|from| Box::new(from) as _).collect();
                let rows = Step { sql, parameters };
                Ok((vec![nulls, rows], cursor.not_due()))
            }
            ReadMode::Resume { .. } => Err(Error::settings("PostgreSQL keeps no place of its own")
                .hint("say how rows are found: `cursor: <column>` or `mode: full`")),
        }
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        self.prove(selection).await
    }

    fn accepts(&self, selection: &Selection) -> Result<(), Error> {
        selection.parse::<PostgresSelection>()?.relation().map(drop)
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        let session = self.access.begin().await?;
        let rows = session.client.query(RELATIONS, &[]).await;
        let rows = rows.map_err(|error| self.access.explain(&error, None))?;
        let oids = rows.iter().map(|row| row.try_get::<_, Vec<u32>>(4)).collect::<Result<Vec<_>, _>>();
        let datasets = async {
            let catalogue = Catalogue::read(&session.client, oids?.into_iter().flatten()).await?;
            rows.iter().map(|row| dataset(row, &catalogue)).collect::<Result<_, _>>()
        };
        let datasets = datasets.await.map_err(|error| self.access.explain(&error, None))?;
        self.access.done(session).await;
        Ok(datasets)
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        let selected: PostgresSelection = selection.parse()?;
        let session = self.access.begin().await?;
        let table = self.table(&session, &selected).await?;
        let explained = self.access.explained(&table.relation);
        let oids: Vec<u32> = table.columns.iter().map(|column| column.column_type.oid()).collect();
        let modifiers: Vec<i32> = table.columns.iter().map(|column| column.modifier).collect();
        let types = session.client.query(COLUMN_TYPES, &[&oids, &modifiers]).await.map_err(&explained)?;
        let types = types.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>();
        let key = match (selected.key, table.relation.quoted()) {
            (Some(key), _) => key,
            (None, None) => Vec::new(),
            (None, Some(name)) => {
                let rows = session.client.query(PRIMARY_KEY, &[&name]).await.map_err(&explained)?;
                rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(&explained)?
            }
        };
        self.access.done(session).await;
        let columns = table.columns.iter().zip(types.map_err(&explained)?);
        Ok(Dataset {
            name: table.relation.label(),
            columns: columns
                .map(|(column, type_name)| Column {
                    name: column.name.clone(),
                    data_type: data_type(&column.column_type, column.modifier),
                    type_name,
                })
                .collect(),
            key,
            open: false,
        })
    }

    async fn advise(&self, selection: &Selection, cursor: Option<&str>) -> Result<Checks, Error> {
        self.advice(&selection.parse()?, cursor).await
    }

    async fn check_key(&self, selection: &Selection, key: &[String]) -> Result<Checks, Error> {
        self.uniqueness(&selection.parse()?, key).await
    }

    fn narrow(&self, selection: &Selection, columns: &[String]) -> Option<Selection> {
        Some(narrow(selection, columns))
    }

    async fn sample(&self, selection: &Selection, rows: usize) -> Result<Option<Feed<Row>>, Error> {
        let session = self.access.begin().await?;
        let table = self.readable(&session, &selection.parse()?).await?;
        let steps = vec![Step { sql: table.some(rows), parameters: Vec::new() }];
        Ok(Some(self.reading(session, table, steps, None, rows + 1).feed()))
    }

    async fn read(
        &self,
        selection: &Selection,
        mode: &ReadMode,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        let session = self.access.begin().await?;
        let table = self.readable(&session, &selection.parse()?).await?;
        let (steps, waiting) = self.steps(&table, mode)?;
        Ok(self.reading(session, table, steps, waiting, batch_rows).feed())
    }

    async fn bookkeeping(
        &self,
        sync: &SyncId,
        selection: &Selection,
        key: &[String],
    ) -> Result<Option<Arc<dyn Bookkeeping>>, Error> {
        let selected: PostgresSelection = selection.parse()?;
        let session = self.access.begin().await?;
        self.unique_key(&session, &selected, key, Needs::BOOKKEEPING).await?;
        let kept = PostgresKeeper::of(self, &session, &selected, key).await?;
        self.access.done(session).await;
        Ok(Some(bookkeeping::open(kept, sync)))
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

    async fn check_bookkeeping(&self, selection: &Selection, key: &[String]) -> Result<Checks, Error> {
        self.prove_bookkeeping(selection, key).await
    }

    async fn highest(
        &self,
        selection: &Selection,
        column: &str,
        time_zone: &str,
    ) -> Result<Option<Value>, Error> {
        let session = self.access.begin().await?;
        let table = self.readable(&session, &selection.parse()?).await?;
        let sql = table.cursor(column, time_zone)?.highest();
        let steps = vec![Step { sql, parameters: Vec::new() }];
        let mut feed = self.reading(session, table, steps, None, 1).feed();
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
            return Err(Error::new(
                ErrorKind::Settings,
                "rows are looked up by key columns, and there are none",
            )
            .hint("name them under `primary_key`"));
        }
        let session = self.access.begin().await?;
        let table = self.readable(&session, &selection.parse()?).await?;
        let steps = lookups(&table, key, values)?;
        Ok(Some(self.reading(session, table, steps, None, LOOKUP_KEYS).feed()))
    }
}

/// A relation of the catalogue and its columns.
fn dataset(row: &tokio_postgres::Row, catalogue: &Catalogue) -> Result<Dataset, tokio_postgres::Error> {
    let (schema, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let (names, types): (Vec<String>, Vec<String>) = (row.try_get(2)?, row.try_get(3)?);
    let (oids, modifiers): (Vec<u32>, Vec<i32>) = (row.try_get(4)?, row.try_get(5)?);
    let key: Option<Vec<String>> = row.try_get(6)?;
    let columns = names.into_iter().zip(types).zip(oids.into_iter().zip(modifiers));
    Ok(Dataset {
        name: format!("{}.{}", shown(&schema), shown(&name)),
        columns: columns
            .map(|((name, type_name), (oid, modifier))| Column {
                name,
                data_type: catalogue.data_type(oid, modifier),
                type_name,
            })
            .collect(),
        key: key.unwrap_or_default(),
        open: false,
    })
}

impl PostgresSource {
    fn reading(
        &self,
        session: Session,
        table: Table,
        steps: Vec<Step>,
        waiting: Option<String>,
        batch_rows: usize,
    ) -> Reading {
        Reading {
            access: self.access.clone(),
            session,
            columns: table.names(),
            shapes: table.columns.into_iter().map(|column| column.shape).collect(),
            relation: table.relation,
            steps: steps.into(),
            waiting,
            batch_rows,
        }
    }
}
