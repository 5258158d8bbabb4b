//! Snowflake as a [`Source`].

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use tidegate_model::bookkeeping::Bookkeeping;
use tidegate_model::source::Hashed;
use tidegate_model::{
    Checks, ConnectorContext, Dataset, Error, ErrorKind, Feed, ReadMode, Row, Selection, Settings, Source,
    SyncId, Value,
};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::bookkeeping;
use tidegate_transport::sql::incremental::Snowflake;
use tidegate_transport::sql::rows::parameter;
use tidegate_transport::sql::selection::narrow;
use tidegate_transport::sql::table::Relation as _;

use super::bookkeeping::SnowflakeKeeper;
use super::client::Client;
use super::reading;
use super::relation::{Relation, SourceColumn, Table, lookup, lookup_of};
use super::settings::{SnowflakeSelection, SnowflakeSettings};
use super::statement::Sql;
use super::types::SqlType;

/// Keys in one statement of a lookup.
const LOOKUP_KEYS: usize = 5_000;

/// Tables and views of a Snowflake account.
pub struct SnowflakeSource {
    pub(super) client: Arc<Client>,
}

impl SnowflakeSource {
    /// Opens the source. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub fn open(settings: &Settings, context: &ConnectorContext) -> Result<SnowflakeSource, Error> {
        Ok(SnowflakeSource { client: Client::open(settings.parse::<SnowflakeSettings>()?, context)? })
    }

    /// Returns the columns that are read of a selection, found without reading a row.
    pub(super) async fn table(&self, selected: &SnowflakeSelection) -> Result<Table, Error> {
        let relation = selected.relation(&self.client.settings)?;
        let probe = of_relation(&relation, relation.probe(), Vec::new());
        let probed = self.client.query(&probe, &format!("reading {}", relation.label())).await;
        let columns = match probed.map_err(RequestError::into_error) {
            Ok((columns, _)) => columns,
            Err(error) if error.kind() == ErrorKind::Missing => {
                return Err(self.suggest(&relation, error).await);
            }
            Err(error) => return Err(error),
        };
        let columns = columns.into_iter().map(|column| SourceColumn {
            sql_type: SqlType::new(&column.kind, column.precision, column.scale, column.collation.as_deref()),
            name: column.name,
        });
        // Names that differ in case alone are two names.
        Table::new(Snowflake, relation, columns.collect(), false)?.narrowed(selected.columns.as_deref())
    }

    /// Adds the name of the table that was most likely meant.
    async fn suggest(&self, relation: &Relation, error: Error) -> Error {
        let Relation::Table(..) = relation else { return error };
        let Ok(known) = self.client.tables().await else { return error };
        let names = known.iter().map(|dataset| dataset.name.as_str());
        match tidegate_transport::sql::nearest(&relation.label(), names) {
            Some(name) if name != relation.label() => error.hint(format!("did you mean `{name}`?")),
            _ => error,
        }
    }

    fn rows(&self, table: &Table, sql: Sql, not_due: Option<String>, batch_rows: usize) -> Feed<Row> {
        let not_due = not_due.map(|text| of_relation(&table.relation, text, Vec::new()));
        reading::feed(&self.client, table, sql, not_due, batch_rows)
    }

    /// Returns the rows that a lookup finds by these keys.
    fn found(&self, table: &Table, text: &str, values: &[Vec<Value>]) -> Feed<Row> {
        let mut feeds = Vec::new();
        for keys in values.chunks(LOOKUP_KEYS) {
            let keys: Vec<Vec<Option<String>>> =
                keys.iter().map(|key| key.iter().map(parameter).collect()).collect();
            let parameters = vec![serde_json::Value::from_iter(keys).to_string()];
            let sql = of_relation(&table.relation, text.to_owned(), parameters);
            // Nothing is asked before the rows are.
            feeds.push(self.rows(table, sql, None, LOOKUP_KEYS));
        }
        stream::iter(feeds).flatten().boxed()
    }
}

/// Returns a statement over a relation. Names inside of a query may be short ones.
pub(super) fn of_relation(relation: &Relation, text: String, parameters: Vec<String>) -> Sql {
    let in_context = matches!(relation, Relation::Query(_));
    Sql { text, parameters, in_context, only_reads: true, ..Sql::default() }
}

#[async_trait]
impl Source for SnowflakeSource {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        self.prove(selection).await
    }

    fn accepts(&self, selection: &Selection) -> Result<(), Error> {
        selection.parse::<SnowflakeSelection>()?.relation(&self.client.settings).map(drop)
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        self.client.tables().await
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        let selected: SnowflakeSelection = selection.parse()?;
        let table = self.table(&selected).await?;
        let key = match (selected.key, &table.relation) {
            (Some(key), _) => key,
            (None, Relation::Query(_)) => Vec::new(),
            (None, Relation::Table(names, _)) => self.client.key(names).await?,
        };
        let columns = table.columns.iter().map(SourceColumn::described).collect();
        Ok(Dataset { name: table.relation.label(), columns, key, open: false })
    }

    fn narrow(&self, selection: &Selection, columns: &[String]) -> Option<Selection> {
        Some(narrow(selection, columns))
    }

    async fn sample(&self, selection: &Selection, rows: usize) -> Result<Option<Feed<Row>>, Error> {
        let table = self.table(&selection.parse()?).await?;
        let sql = of_relation(&table.relation, table.some(rows), Vec::new());
        Ok(Some(self.rows(&table, sql, None, rows + 1)))
    }

    async fn read(
        &self,
        selection: &Selection,
        mode: &ReadMode,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        let table = self.table(&selection.parse()?).await?;
        let (text, parameters, not_due) = match mode {
            ReadMode::Incremental { column, from, time_zone } => {
                let cursor = table.cursor(column, time_zone)?;
                let from = from.as_ref().and_then(parameter);
                (cursor.all(from.is_some()), from.into_iter().collect(), cursor.not_due())
            }
            ReadMode::Full => (table.everything(), Vec::new(), None),
            ReadMode::Resume { .. } => {
                return Err(Error::settings("Snowflake keeps no position of its own")
                    .hint("say how rows are found: `cursor: <column>` or `mode: full`"));
            }
        };
        let sql = of_relation(&table.relation, text, parameters);
        Ok(self.rows(&table, sql, not_due, batch_rows))
    }

    async fn bookkeeping(
        &self,
        sync: &SyncId,
        selection: &Selection,
        key: &[String],
    ) -> Result<Option<Arc<dyn Bookkeeping>>, Error> {
        let table = self.table(&selection.parse()?).await?;
        Ok(Some(bookkeeping::open(SnowflakeKeeper::new(&self.client, table, key)?, sync)))
    }

    async fn check_bookkeeping(&self, selection: &Selection, key: &[String]) -> Result<Checks, Error> {
        let table = self.table(&selection.parse()?).await?;
        bookkeeping::prove(&SnowflakeKeeper::new(&self.client, table, key)?.0).await
    }

    async fn hashed(
        &self,
        selection: &Selection,
        key: &[String],
        what: Hashed<'_>,
        batch_rows: usize,
    ) -> Result<Option<Feed<Row>>, Error> {
        let (table, text) = self.table(&selection.parse()?).await?.with_hashes(key, what)?;
        let Hashed::These(values) = what else {
            let sql = of_relation(&table.relation, text, Vec::new());
            return Ok(Some(self.rows(&table, sql, None, batch_rows)));
        };
        let text = lookup_of(&table, key, &text)?;
        Ok(text.map(|text| self.found(&table, &text, values)))
    }

    async fn highest(
        &self,
        selection: &Selection,
        column: &str,
        time_zone: &str,
    ) -> Result<Option<Value>, Error> {
        let table = self.table(&selection.parse()?).await?;
        let text = table.cursor(column, time_zone)?.highest();
        let sql = of_relation(&table.relation, text, Vec::new());
        let mut feed = self.rows(&table, sql, None, 1);
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
        let table = self.table(&selection.parse()?).await?;
        let Some(text) = lookup(&table, key)? else { return Ok(None) };
        Ok(Some(self.found(&table, &text, values)))
    }
}
