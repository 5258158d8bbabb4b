//! BigQuery as a [`Source`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use tidegate_model::bookkeeping::Bookkeeping;
use tidegate_model::source::Hashed;
use tidegate_model::{
    Checks, ConnectorContext, Dataset, Error, ErrorKind, Feed, ReadMode, Row, Selection, Settings, Source,
    SyncId, Value,
};
use tidegate_transport::sql::bookkeeping;
use tidegate_transport::sql::incremental::BigQuery;
use tidegate_transport::sql::rows::parameter;
use tidegate_transport::sql::selection::narrow;
use tidegate_transport::sql::table::Relation as _;

use super::advice::size;
use super::bookkeeping::BigQueryKeeper;
use super::catalog::{self, TableInfo};
use super::client::{Client, VENDOR};
use super::reading;
use super::relation::{Relation, Table, lookup, lookup_of};
use super::settings::{BigQuerySelection, BigQuerySettings};
use super::statement::{Parameter, Sql};
use super::types::Field;

/// Keys in one statement of a lookup.
const LOOKUP_KEYS: usize = 5_000;

/// Tables and views of BigQuery.
pub struct BigQuerySource {
    pub(super) client: Arc<Client>,
}

/// What is selected, as BigQuery describes it.
pub(super) struct Found {
    /// The columns that are read.
    pub(super) table: Table,
    /// Where the data is, if that is known.
    pub(super) location: Option<String>,
    /// What is known of a table; nothing for a query.
    pub(super) info: Option<TableInfo>,
}

impl BigQuerySource {
    /// Opens the source. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub fn open(settings: &Settings, context: &ConnectorContext) -> Result<BigQuerySource, Error> {
        Ok(BigQuerySource { client: Client::open(settings.parse::<BigQuerySettings>()?, context)? })
    }

    /// Returns what is selected, found without reading a row, and without a cost: a table is described by
    /// its entry, a query by a dry run.
    pub(super) async fn found(&self, selected: &BigQuerySelection) -> Result<Found, Error> {
        let relation = selected.relation(&self.client.settings)?;
        let doing = format!("reading {}", relation.label());
        let set = self.client.settings.location.clone();
        let (fields, location, info) = match &relation {
            Relation::Table(names, _) => match self.client.table_info(names).await {
                Ok(mut info) => (info.take_fields(), set.or_else(|| info.location.clone()), Some(info)),
                Err(error) if error.kind() == ErrorKind::Missing => {
                    return Err(self.suggest(&relation, error.context(doing)).await);
                }
                Err(error) => return Err(error.context(doing)),
            },
            Relation::Query(_) => {
                let probe: Sql = format!("SELECT * FROM {}", relation.from()).into();
                let forecast = self.client.forecast(&probe, set.as_deref()).await;
                let forecast = forecast.map_err(|error| error.context(doing))?;
                nameless(&forecast.fields)?;
                (forecast.fields, set.or(forecast.location), None)
            }
        };
        let table = Table::new(BigQuery, relation, fields, true)?.narrowed(selected.columns.as_deref())?;
        Ok(Found { table, location, info })
    }

    /// Adds the name of the table that was most likely meant.
    async fn suggest(&self, relation: &Relation, error: Error) -> Error {
        let Ok(known) = self.client.tables().await else { return error };
        let names = known.iter().map(|dataset| dataset.name.as_str());
        match tidegate_transport::sql::nearest(&relation.label(), names) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None => error,
        }
    }

    fn rows(&self, found: &Found, sql: Sql, not_due: Option<String>, batch_rows: usize) -> Feed<Row> {
        reading::feed(&self.client, found, sql, not_due, batch_rows)
    }

    /// Returns the rows of the statements that `lookup` makes for keys; `None` if it makes none.
    fn looked_up(
        &self,
        found: &Found,
        values: &[Vec<Value>],
        lookup: impl Fn(&[Vec<Value>]) -> Result<Option<Sql>, Error>,
    ) -> Result<Option<Feed<Row>>, Error> {
        let mut feeds = Vec::new();
        for keys in values.chunks(LOOKUP_KEYS) {
            let Some(sql) = lookup(keys)? else { return Ok(None) };
            // Nothing is asked before the rows are.
            feeds.push(self.rows(found, sql, None, LOOKUP_KEYS));
        }
        Ok(Some(stream::iter(feeds).flatten().boxed()))
    }
}

/// Refuses a query of which a column has no name: it cannot be asked for.
fn nameless(fields: &[Field]) -> Result<(), Error> {
    let is_made = |name: &str| {
        let rest = name.strip_prefix('f').and_then(|rest| rest.strip_suffix('_'));
        rest.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
    };
    match fields.iter().position(|field| is_made(&field.name)) {
        Some(at) => Err(Error::settings(format!("column {} of the query has no name", at + 1))
            .hint("give it one with AS")),
        None => Ok(()),
    }
}

/// Returns the statement of an incremental read from a value on, and the one that counts what is not due.
pub(super) fn incremental(
    table: &Table,
    column: &str,
    from: Option<&Value>,
    time_zone: &str,
) -> Result<(Sql, Option<String>), Error> {
    let cursor = table.cursor(column, time_zone)?;
    let sql_type = table.find(column)?.comparable();
    let parameters = match (sql_type, from.and_then(parameter)) {
        (Some(sql_type), Some(value)) => vec![Parameter::One { sql_type, value }],
        _ => Vec::new(),
    };
    Ok((Sql { text: cursor.all(!parameters.is_empty()), parameters }, cursor.not_due()))
}

#[async_trait]
impl Source for BigQuerySource {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        self.prove(selection).await
    }

    fn accepts(&self, selection: &Selection) -> Result<(), Error> {
        selection.parse::<BigQuerySelection>()?.relation(&self.client.settings).map(drop)
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        self.client.tables().await
    }

    async fn advise(&self, selection: &Selection, cursor: Option<&str>) -> Result<Checks, Error> {
        self.advice(&selection.parse()?, cursor).await
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        let selected: BigQuerySelection = selection.parse()?;
        let Found { table, info, .. } = self.found(&selected).await?;
        let known = || info.as_ref().map(TableInfo::key).unwrap_or_default();
        Ok(Dataset {
            name: table.relation.label(),
            columns: table.columns.iter().map(catalog::column).collect(),
            key: selected.key.unwrap_or_else(known),
            open: false,
        })
    }

    fn narrow(&self, selection: &Selection, columns: &[String]) -> Option<Selection> {
        Some(narrow(selection, columns))
    }

    fn cost(&self) -> Option<String> {
        let processed = self.client.processed.load(Ordering::Relaxed);
        Some(format!("{VENDOR} processed {} to read them", size(processed)))
    }

    async fn read(
        &self,
        selection: &Selection,
        mode: &ReadMode,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        if matches!(mode, ReadMode::Resume { .. }) {
            return Err(Error::settings("BigQuery has no changes to follow")
                .hint("name a `cursor`, or read everything with `mode: full` or `mode: mirror`"));
        }
        let found = self.found(&selection.parse()?).await?;
        let (sql, not_due) = match mode {
            ReadMode::Incremental { column, from, time_zone } => {
                incremental(&found.table, column, from.as_ref(), time_zone)?
            }
            ReadMode::Full | ReadMode::Resume { .. } => (found.table.everything().into(), None),
        };
        Ok(self.rows(&found, sql, not_due, batch_rows))
    }

    async fn bookkeeping(
        &self,
        sync: &SyncId,
        selection: &Selection,
        key: &[String],
    ) -> Result<Option<Arc<dyn Bookkeeping>>, Error> {
        let found = self.found(&selection.parse()?).await?;
        Ok(Some(bookkeeping::open(BigQueryKeeper::new(&self.client, found, key)?, sync)))
    }

    async fn check_bookkeeping(&self, selection: &Selection, key: &[String]) -> Result<Checks, Error> {
        let found = self.found(&selection.parse()?).await?;
        bookkeeping::prove(&BigQueryKeeper::new(&self.client, found, key)?.0).await
    }

    async fn hashed(
        &self,
        selection: &Selection,
        key: &[String],
        what: Hashed<'_>,
        batch_rows: usize,
    ) -> Result<Option<Feed<Row>>, Error> {
        let Found { table, location, info } = self.found(&selection.parse()?).await?;
        let (table, text) = table.with_hashes(key, what)?;
        let found = Found { table, location, info };
        let Hashed::These(values) = what else {
            return Ok(Some(self.rows(&found, text.into(), None, batch_rows)));
        };
        self.looked_up(&found, values, |keys| lookup_of(&found.table, key, keys, &text))
    }

    async fn highest(
        &self,
        selection: &Selection,
        column: &str,
        time_zone: &str,
    ) -> Result<Option<Value>, Error> {
        let found = self.found(&selection.parse()?).await?;
        let sql = found.table.cursor(column, time_zone)?.highest();
        let mut feed = self.rows(&found, sql.into(), None, 1);
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
        let found = self.found(&selection.parse()?).await?;
        self.looked_up(&found, values, |keys| lookup(&found.table, key, keys))
    }
}
