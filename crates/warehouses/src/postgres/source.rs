//! PostgreSQL as a [`Source`].

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tidegate_model::source::Column;
use tidegate_model::{
    Checks, ConnectorContext, Dataset, Error, ErrorKind, Feed, ReadMode, Row, Selection, Settings, Source,
    Value,
};
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;

use super::client::{Access, Session};
use super::decode::Shape;
use super::grants;
use super::parameter::{input_text, key_text};
use super::query::{Relation, SourceColumn, Table, shown};
use super::reading::{Reading, Step};
use super::settings::{self, PostgresSelection, PostgresSettings};
use super::types::{Catalogue, data_type};
use tidegate_transport::sql::nearest;

/// A PostgreSQL database.
pub struct PostgresSource {
    pub(super) access: Access,
}

/// Keys in one statement of a lookup.
const LOOKUP_KEYS: usize = 10_000;
/// Tables that a message lists at most.
const TABLES_LISTED: usize = 10;

const COLUMN_TYPES: &str = "SELECT format_type(types.oid, types.modifier) \
    FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY AS types(oid, modifier, place) ORDER BY place";

const COLUMN_GRANTS: &str = "SELECT a.attname::text, \
    has_column_privilege(a.attrelid, a.attnum, 'SELECT') FROM pg_catalog.pg_attribute a \
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const PRIMARY_KEY: &str = "SELECT a.attname::text FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) \
    WHERE k.contype = 'p' AND k.conrelid = to_regclass($1) ORDER BY array_position(k.conkey, a.attnum)";

const RELATIONS: &str = "SELECT n.nspname::text, c.relname::text, \
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
        Ok(PostgresSource { access: Access::new(settings, context) })
    }

    /// The columns of a selection, found without reading a row. Those of a table
    /// that may not be read are among them, unless none may.
    pub(super) async fn table(
        &self,
        session: &Session,
        selected: &PostgresSelection,
    ) -> Result<Table, Error> {
        let relation = selected.relation()?;
        let statement = self.prepare(session, &relation).await?;
        let denied = self.denied(session, &relation).await?;
        let mut seen = HashSet::new();
        if let Some(twice) = statement.columns().iter().find(|column| !seen.insert(column.name())) {
            return Err(Error::settings(format!("{} has two columns `{}`", relation.label(), twice.name()))
                .hint("give one of them another name with AS"));
        }
        let columns = statement.columns().iter().map(|column| SourceColumn {
            name: column.name().to_owned(),
            shape: Shape::of(column.type_()),
            modifier: column.type_modifier(),
            column_type: column.type_().clone(),
            granted: !denied.iter().any(|denied| denied == column.name()),
        });
        let table = Table { relation, columns: columns.collect() };
        match &selected.columns {
            Some(columns) => table.narrowed(columns),
            None => Ok(table),
        }
    }

    /// As [`PostgresSource::table`], to read all of the columns.
    ///
    /// # Errors
    /// Also if one of them may not be read.
    pub(super) async fn readable(
        &self,
        session: &Session,
        selected: &PostgresSelection,
    ) -> Result<Table, Error> {
        let table = self.table(session, selected).await?;
        let denied: Vec<&str> = table
            .columns
            .iter()
            .filter(|column| !column.granted)
            .map(|column| column.name.as_str())
            .collect();
        if denied.is_empty() {
            return Ok(table);
        }
        let role = self.access.settings.role();
        let grant = grants::select_columns(&table.relation, &denied, role).unwrap_or_default();
        Err(Error::new(
            ErrorKind::Denied,
            format!("reading {}: user {role} may not read {}", table.relation.label(), denied.join(", ")),
        )
        .hint(format!("as its owner, run: {grant}")))
    }

    /// Prepares a statement that has all columns of a relation.
    async fn prepare(&self, session: &Session, relation: &Relation) -> Result<Statement, Error> {
        let error = match session.client.prepare(&relation.probe()).await {
            Ok(statement) => return Ok(statement),
            Err(error) => error,
        };
        let explained = self.access.explain(&error, Some(relation));
        let unknown = error.code() == Some(&SqlState::UNDEFINED_TABLE)
            || error.code() == Some(&SqlState::INVALID_SCHEMA_NAME);
        Err(match (unknown, relation.quoted()) {
            (true, Some(_)) => self.suggest(session, relation, explained).await,
            _ => explained,
        })
    }

    /// Returns the columns of a table that may not be read; none if that is all of
    /// them, for then the table is what has to be granted.
    async fn denied(&self, session: &Session, relation: &Relation) -> Result<Vec<String>, Error> {
        let Some(name) = relation.quoted() else { return Ok(Vec::new()) };
        let rows = async {
            let rows = session.client.query(COLUMN_GRANTS, &[&name]).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<Vec<_>, _>>()
        };
        let rows: Vec<(String, bool)> = rows.await.map_err(self.access.explained(relation))?;
        let any = rows.iter().any(|(_, granted)| *granted);
        Ok(rows.into_iter().filter(|(_, granted)| any && !granted).map(|(column, _)| column).collect())
    }

    /// Adds the name of the table that was most likely meant.
    async fn suggest(&self, session: &Session, relation: &Relation, error: Error) -> Error {
        // The refused statement has spoiled the transaction: look outside of it.
        let known = async {
            session.client.batch_execute("ROLLBACK").await?;
            session.client.query(RELATIONS, &[]).await
        };
        let Ok(rows) = known.await else { return error };
        let names: Vec<(String, String)> = rows
            .iter()
            .filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?)))
            .map(|(schema, name): (String, String)| {
                (format!("{}.{}", shown(&schema), shown(&name)), shown(&name))
            })
            .collect();
        let wanted = relation.label();
        let full_of =
            |table: &str| names.iter().find(|(_, name)| name == table).map(|(full, _)| full.as_str());
        let table = match relation {
            Relation::Table { name, .. } => shown(name),
            Relation::Query(_) => wanted.clone(),
        };
        // The same name in another schema is nearer than any other spelling.
        let near = full_of(&table)
            .or_else(|| nearest(&wanted, names.iter().map(|(full, _)| full.as_str())))
            .or_else(|| full_of(nearest(&wanted, names.iter().map(|(_, table)| table.as_str()))?));
        match (near, names.as_slice()) {
            (Some(name), _) => error.hint(format!("did you mean `{name}`?")),
            (None, []) => error.hint(format!(
                "the database `{}` has no tables: correct `database`",
                self.access.settings.database
            )),
            (None, [..]) => {
                let first: Vec<&str> =
                    names.iter().take(TABLES_LISTED).map(|(full, _)| full.as_str()).collect();
                let more = if names.len() > TABLES_LISTED { ", …" } else { "" };
                error.hint(format!("the tables are: {}{more}", first.join(", ")))
            }
        }
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

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        let session = self.access.begin().await?;
        let rows = session.client.query(RELATIONS, &[]).await;
        let rows = rows.map_err(|error| self.access.explain(&error, None))?;
        let oids = rows.iter().map(|row| row.try_get::<_, Vec<u32>>(4)).collect::<Result<Vec<_>, _>>();
        let datasets = async {
            let catalogue = Catalogue::read(&session.client, oids?.into_iter().flatten()).await?;
            rows.iter().map(|row| dataset(row, &catalogue)).collect::<Result<_, _>>()
        };
        datasets.await.map_err(|error| self.access.explain(&error, None))
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

    fn narrow(&self, selection: &Selection, columns: &[String]) -> Option<Selection> {
        Some(settings::narrow(selection, columns))
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
    ) -> Result<Option<Vec<Row>>, Error> {
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
        let mut feed = self.reading(session, table, steps, None, LOOKUP_KEYS).feed();
        let mut found = Vec::new();
        while let Some(batch) = feed.try_next().await? {
            // A row that is there must not look as if it were gone.
            if let Some(broken) = batch.malformed.first() {
                let message = format!("{}: {}", broken.location, broken.reason.message);
                return Err(Error::new(ErrorKind::Unexpected, message));
            }
            found.extend(batch.items);
        }
        Ok(Some(found))
    }
}

/// The statements that find rows by their keys: one for many keys that are null in
/// the same columns.
fn lookups(table: &Table, key: &[String], values: &[Vec<Value>]) -> Result<Vec<Step>, Error> {
    let columns = key.iter().map(|name| table.find(name)).collect::<Result<Vec<_>, _>>()?;
    let mut alike: BTreeMap<Vec<bool>, Vec<Vec<Option<String>>>> = BTreeMap::new();
    for row in values {
        let text = |(value, column): (&Value, &&SourceColumn)| key_text(value, &column.shape);
        let texts: Vec<Option<String>> = row.iter().zip(&columns).map(text).collect();
        alike.entry(texts.iter().map(Option::is_none).collect()).or_default().push(texts);
    }
    let mut steps = Vec::new();
    for (nulls, keys) in alike {
        let sql = table.lookup(key, &nulls)?;
        for chunk in keys.chunks(LOOKUP_KEYS) {
            let array = |at: usize| -> Vec<Option<String>> {
                chunk.iter().map(|key| key.get(at).cloned().flatten()).collect()
            };
            let present = (0..key.len()).filter(|at| nulls.get(*at) == Some(&false));
            steps.push(Step {
                sql: sql.clone(),
                parameters: present.map(|at| Box::new(array(at)) as _).collect(),
            });
        }
    }
    Ok(steps)
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
