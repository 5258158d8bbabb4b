//! Databricks as a [`Source`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use tidegate_model::bookkeeping::Bookkeeping;
use tidegate_model::source::Hashed;
use tidegate_model::{
    Checks, ConnectorContext, Dataset, Error, ErrorKind, Feed, ReadMode, Row, Selection, Settings, Source,
    SyncId, Value,
};
use tidegate_transport::sql::bookkeeping;
use tidegate_transport::sql::incremental::Databricks;
use tidegate_transport::sql::rows::parameter;
use tidegate_transport::sql::selection::narrow;
use tidegate_transport::sql::table::Relation as _;

use super::bookkeeping::DatabricksKeeper;
use super::changes::{Followed, Progress};
use super::client::Client;
use super::reading;
use super::relation::{Relation, SourceColumn, Table, lookup, lookup_of};
use super::settings::{DatabricksSelection, DatabricksSettings};
use super::statement::Sql;
use super::types::parse;

/// The shortest time between two looks for new versions.
const POLL_MIN: Duration = Duration::from_secs(1);
/// Keys in one statement of a lookup.
const LOOKUP_KEYS: usize = 5_000;

/// Tables and views of a Databricks workspace.
pub struct DatabricksSource {
    pub(super) client: Arc<Client>,
}

impl DatabricksSource {
    /// Opens the source. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub fn open(settings: &Settings, context: &ConnectorContext) -> Result<DatabricksSource, Error> {
        Ok(DatabricksSource { client: Client::open(settings.parse::<DatabricksSettings>()?, context)? })
    }

    /// Returns all columns of what is selected, found without reading a row.
    pub(super) async fn whole(&self, selected: &DatabricksSelection) -> Result<Table, Error> {
        let relation = selected.relation(&self.client.settings)?;
        let probe: Sql = relation.probe().into();
        let columns = match self.client.ask(&probe, &format!("reading {}", relation.label())).await {
            Ok((columns, _)) => columns,
            Err(error) if error.kind() == ErrorKind::Missing => {
                return Err(self.suggest(&relation, error).await);
            }
            Err(error) => return Err(error),
        };
        let columns = columns.into_iter();
        let columns =
            columns.map(|column| SourceColumn { sql_type: parse(&column.type_text), name: column.name });
        Table::new(Databricks, relation, columns.collect(), true)
    }

    /// Returns the columns that are read of a selection.
    pub(super) async fn table(&self, selected: &DatabricksSelection) -> Result<Table, Error> {
        self.whole(selected).await?.narrowed(selected.columns.as_deref())
    }

    /// Adds the name of the table that was most likely meant.
    async fn suggest(&self, relation: &Relation, error: Error) -> Error {
        let Relation::Table(..) = relation else { return error };
        let Ok(known) = self.client.tables().await else { return error };
        let names = known.iter().map(|dataset| dataset.name.as_str());
        match tidegate_transport::sql::nearest(&relation.label(), names) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None => error,
        }
    }

    /// Returns a table that can be followed.
    async fn followed(&self, selected: &DatabricksSelection) -> Result<Followed, Error> {
        let whole = self.whole(selected).await?;
        let table = whole.clone().narrowed(selected.columns.as_deref())?;
        Followed::new(&self.client, whole, table).await
    }

    fn rows(&self, table: &Table, sql: Sql, not_due: Option<String>, batch_rows: usize) -> Feed<Row> {
        reading::feed(&self.client, table, sql, not_due, batch_rows)
    }

    /// Returns the rows that a lookup finds by these keys.
    fn found(&self, table: &Table, text: &str, values: &[Vec<Value>]) -> Feed<Row> {
        let mut feeds = Vec::new();
        for keys in values.chunks(LOOKUP_KEYS) {
            let keys: Vec<Vec<Option<String>>> =
                keys.iter().map(|key| key.iter().map(parameter).collect()).collect();
            let parameters = vec![serde_json::Value::from_iter(keys).to_string()];
            let sql = Sql { text: text.to_owned(), parameters };
            // Nothing is asked before the rows are.
            feeds.push(self.rows(table, sql, None, LOOKUP_KEYS));
        }
        stream::iter(feeds).flatten().boxed()
    }
}

#[async_trait]
impl Source for DatabricksSource {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        self.prove(selection).await
    }

    fn accepts(&self, selection: &Selection) -> Result<(), Error> {
        selection.parse::<DatabricksSelection>()?.relation(&self.client.settings).map(drop)
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        self.client.tables().await
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        let selected: DatabricksSelection = selection.parse()?;
        let table = self.table(&selected).await?;
        let key = match (selected.key, &table.relation) {
            (Some(key), _) => key,
            (None, Relation::Query(_)) => Vec::new(),
            (None, Relation::Table(names, _)) => {
                self.client.table_info(names).await?.map(|info| info.key()).unwrap_or_default()
            }
        };
        Ok(Dataset {
            name: table.relation.label(),
            columns: table.columns.iter().map(SourceColumn::described).collect(),
            key,
            open: false,
        })
    }

    fn narrow(&self, selection: &Selection, columns: &[String]) -> Option<Selection> {
        Some(narrow(selection, columns))
    }

    async fn sample(&self, selection: &Selection, rows: usize) -> Result<Option<Feed<Row>>, Error> {
        let table = self.table(&selection.parse()?).await?;
        Ok(Some(self.rows(&table, table.some(rows).into(), None, rows + 1)))
    }

    async fn read(
        &self,
        selection: &Selection,
        mode: &ReadMode,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        let selected: DatabricksSelection = selection.parse()?;
        if let ReadMode::Resume { checkpoint, follow } = mode {
            let progress = Progress::of(checkpoint.as_ref())?;
            let every = follow.then_some(selected.poll_every.0.max(POLL_MIN));
            return Ok(self.followed(&selected).await?.feed(progress, every, batch_rows));
        }
        let table = self.table(&selected).await?;
        let (sql, not_due) = match mode {
            ReadMode::Incremental { column, from, time_zone } => {
                let cursor = table.cursor(column, time_zone)?;
                let from = from.as_ref().and_then(parameter);
                let text = cursor.all(from.is_some());
                (Sql { text, parameters: from.into_iter().collect() }, cursor.not_due())
            }
            ReadMode::Full | ReadMode::Resume { .. } => (table.everything().into(), None),
        };
        Ok(self.rows(&table, sql, not_due, batch_rows))
    }

    async fn check_changes(&self, selection: &Selection) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let latest = async { self.followed(&selection.parse()?).await?.latest().await };
        match latest.await {
            Ok(version) => checks.pass("change data feed", format!("on; the newest version is {version}")),
            Err(error) => checks.fail("change data feed", error.message(), error.next_step()),
        }
        Ok(checks)
    }

    fn supports_streaming(&self) -> bool {
        true
    }

    async fn bookkeeping(
        &self,
        sync: &SyncId,
        selection: &Selection,
        key: &[String],
    ) -> Result<Option<Arc<dyn Bookkeeping>>, Error> {
        let table = self.table(&selection.parse()?).await?;
        Ok(Some(bookkeeping::open(DatabricksKeeper::new(&self.client, table, key)?, sync)))
    }

    async fn check_bookkeeping(&self, selection: &Selection, key: &[String]) -> Result<Checks, Error> {
        let table = self.table(&selection.parse()?).await?;
        bookkeeping::prove(&DatabricksKeeper::new(&self.client, table, key)?.0).await
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
            return Ok(Some(self.rows(&table, text.into(), None, batch_rows)));
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
        let sql = table.cursor(column, time_zone)?.highest();
        let mut feed = self.rows(&table, sql.into(), None, 1);
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
