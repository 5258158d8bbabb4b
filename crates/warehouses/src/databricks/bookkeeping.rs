//! What a mirror keeps in a catalog of Databricks, so that the warehouse compares, and hashes that it makes of rows.
//!
//! Databricks enforces no keys: rows of one key are found by the statement itself, and are rejected.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::{Checks, Error, Feed, Row};
use tidegate_transport::sql::backtick;
use tidegate_transport::sql::bookkeeping::{self, COLUMNS, Entry, Keeper, SCHEMA, Schema, first_cells};
use tidegate_transport::sql::hashed::{HashedColumn as _, HashedTable};
use tidegate_transport::sql::table::Relation as _;

use super::client::Client;
use super::grants::{Refused, grant};
use super::privileges::{Held, Securable};
use super::reading;
use super::relation::{Names, SourceColumn, Table};

/// The bookkeeping in the schema `tidegate` of the catalog that the table is in.
pub(super) struct DatabricksKeeper {
    client: Arc<Client>,
    table: Table,
    schema: Schema<Names>,
}

impl DatabricksKeeper {
    /// Returns the keeper of a table, and the table with its hashes.
    ///
    /// # Errors
    /// For a query, and for columns of which no hashes can be made.
    pub(super) fn new(
        client: &Arc<Client>,
        table: Table,
        key: &[String],
    ) -> Result<(DatabricksKeeper, HashedTable), Error> {
        let ([catalog, ..], hashed) = bookkeeping::compared(&table, key)?;
        let schema = Schema::new(catalog, SCHEMA);
        Ok((DatabricksKeeper { client: Arc::clone(client), table, schema }, hashed))
    }
}

#[async_trait]
impl Keeper for DatabricksKeeper {
    const TEXT: &'static str = "STRING";

    fn schema(&self) -> String {
        self.schema.label()
    }

    fn table(&self, name: &str) -> String {
        self.schema.table(name)
    }

    fn column(&self, name: &str) -> String {
        backtick(name)
    }

    fn upsert(&self, name: &str, entries: &[Entry]) -> Vec<String> {
        let rows: Vec<String> = (entries.iter())
            .map(|entry| format!("({})", entry.values().join(", ").replace("NULL", "CAST(NULL AS STRING)")))
            .collect();
        let columns = "tidegate_k, tidegate_s, tidegate_h";
        let rows = format!("SELECT * FROM VALUES {} AS tidegate_entries({columns})", rows.join(", "));
        vec![bookkeeping::merge(self, name, &rows)]
    }

    async fn ask(&self, sql: &str) -> Result<Vec<Option<String>>, Error> {
        let doing = format!("comparing {}", self.table.relation.label());
        let (_, rows) = self.client.ask(&sql.to_owned().into(), &doing).await?;
        Ok(first_cells(rows))
    }

    async fn rows(&self, sql: String, batch_rows: usize) -> Result<Feed<Row>, Error> {
        let table = self.table.clone().followed_by(COLUMNS.map(SourceColumn::of_texts));
        Ok(reading::feed(&self.client, &table, sql.into(), None, batch_rows))
    }

    async fn prove_making(&self, checks: &mut Checks) -> Result<(), Error> {
        let who = self.client.identity().await?;
        let (name, quoted) = (self.schema.names().join("."), self.schema.quoted());
        let remedy = grant("USE SCHEMA, CREATE TABLE", "SCHEMA", &quoted, Some(&who.name));
        if self.client.owner(Securable::Schema, &name).await?.is_none() {
            let detail = format!("the schema {name} is not there");
            checks.fail(
                bookkeeping::CHECK,
                detail,
                format!("CREATE SCHEMA IF NOT EXISTS {quoted};\n{remedy}"),
            );
            return Ok(());
        }
        let needed = Refused {
            privilege: "CREATE TABLE".to_owned(),
            kind: Securable::Schema.keyword().to_owned(),
            name: name.clone(),
        };
        match self.client.holds(&who, "CREATE TABLE", Securable::Schema, &name).await? {
            Held::Yes => checks.pass(bookkeeping::CHECK, format!("tables can be made in the schema {name}")),
            Held::No => checks.fail(needed.check(), format!("{} does not have it", who.name), remedy),
            Held::Unknown => checks.warn(
                needed.check(),
                "the first run needs it; the workspace does not say whether it is granted",
                remedy,
            ),
        }
        Ok(())
    }

    fn grant(&self) -> String {
        grant("USE SCHEMA, SELECT, MODIFY", "SCHEMA", &self.schema.quoted(), None)
    }

    fn is_dry_run(&self) -> bool {
        self.client.dry_run
    }
}
