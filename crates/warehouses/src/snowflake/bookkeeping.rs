//! What a mirror keeps in a database of Snowflake, so that Snowflake compares, and hashes that it makes of rows.
//!
//! Snowflake enforces no keys: rows of one key are found by the statement itself, and are rejected.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::{Checks, Error, Feed, Row};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::bookkeeping::{self, COLUMNS, Entry, Keeper, Schema, first_cells};
use tidegate_transport::sql::hashed::{HashedColumn as _, HashedTable};
use tidegate_transport::sql::quote;
use tidegate_transport::sql::table::Relation as _;

use super::checks::grant;
use super::client::Client;
use super::reading;
use super::relation::{Names, SourceColumn, Table};
use super::source::of_relation;
use super::statement::Sql;

/// The schema of the tables, as Snowflake stores the name.
pub(super) const SCHEMA: &str = "TIDEGATE";

/// The bookkeeping in the schema `TIDEGATE` of the database that the table is in.
pub(super) struct SnowflakeKeeper {
    client: Arc<Client>,
    table: Table,
    schema: Schema<Names>,
}

impl SnowflakeKeeper {
    /// Returns the keeper of a table, and the table with its hashes.
    ///
    /// # Errors
    /// For a query, and for columns of which no hashes can be made.
    pub(super) fn new(
        client: &Arc<Client>,
        table: Table,
        key: &[String],
    ) -> Result<(SnowflakeKeeper, HashedTable), Error> {
        let ([database, ..], hashed) = bookkeeping::compared(&table, key)?;
        let schema = Schema::new(database, SCHEMA);
        Ok((SnowflakeKeeper { client: Arc::clone(client), table, schema }, hashed))
    }
}

#[async_trait]
impl Keeper for SnowflakeKeeper {
    fn schema(&self) -> String {
        self.schema.label()
    }

    fn table(&self, name: &str) -> String {
        self.schema.table(&name.to_uppercase())
    }

    fn column(&self, name: &str) -> String {
        quote(&name.to_uppercase())
    }

    // Not a `MERGE`, which the engine behind the emulator of the tests cannot answer.
    fn upsert(&self, name: &str, entries: &[Entry]) -> Vec<String> {
        let rows: Vec<String> =
            entries.iter().map(|entry| format!("({})", entry.values().join(", "))).collect();
        let rows = format!(
            "(SELECT column1 AS tidegate_k, column2 AS tidegate_s, column3 AS tidegate_h \
             FROM VALUES {}) AS tidegate_new",
            rows.join(", ")
        );
        let table = self.table("mirror_rows");
        let [of, key, source_key, hash] = bookkeeping::ENTRY.map(|column| self.column(column));
        vec![
            format!(
                "UPDATE {table} SET {source_key} = tidegate_new.tidegate_s, {hash} = tidegate_new.tidegate_h \
                 FROM {rows} WHERE {of} = '{name}' AND {key} = tidegate_new.tidegate_k"
            ),
            format!(
                "INSERT INTO {table} ({of}, {key}, {source_key}, {hash}) \
                 SELECT '{name}', tidegate_k, tidegate_s, tidegate_h FROM {rows} \
                 WHERE tidegate_k NOT IN (SELECT {key} FROM {table} WHERE {of} = '{name}')"
            ),
        ]
    }

    async fn ask(&self, sql: &str) -> Result<Vec<Option<String>>, Error> {
        let doing = format!("comparing {}", self.table.relation.label());
        // Each statement may be repeated: it has the same effect again.
        let sql = Sql { text: sql.to_owned(), only_reads: true, ..Sql::default() };
        let (_, rows) = self.client.query(&sql, &doing).await.map_err(RequestError::into_error)?;
        Ok(first_cells(rows))
    }

    async fn rows(&self, sql: String, batch_rows: usize) -> Result<Feed<Row>, Error> {
        let table = self.table.clone().followed_by(COLUMNS.map(SourceColumn::of_texts));
        let sql = of_relation(&table.relation, sql, Vec::new());
        Ok(reading::feed(&self.client, &table, sql, None, batch_rows))
    }

    async fn prove_making(&self, checks: &mut Checks) -> Result<(), Error> {
        let asked = self.client.query(&"SELECT CURRENT_ROLE()".to_owned().into(), "logging in").await;
        let (_, told) = asked.map_err(RequestError::into_error)?;
        let role = told.into_iter().flatten().flatten().next().unwrap_or_else(|| "PUBLIC".to_owned());
        let (schema, quoted) = (self.schema.label(), self.schema.quoted());
        let remedy = grant("USAGE, CREATE TABLE", "SCHEMA", &quoted, &role);
        let [database, _] = self.schema.names();
        let place = format!(" IN DATABASE {}", quote(database));
        if self.client.show("SCHEMAS", SCHEMA, &place).await?.is_empty() {
            let detail = format!("the schema {schema} is not there, or the role {role} does not see it");
            checks.fail(
                bookkeeping::CHECK,
                detail,
                format!("CREATE SCHEMA IF NOT EXISTS {quoted};\n{remedy}"),
            );
        } else if self.client.holds(&role, "CREATE TABLE", &schema).await? {
            checks.pass(bookkeeping::CHECK, format!("tables can be made in the schema {schema}"));
        } else {
            let detail = format!("the first run makes tables in {schema}, and the role itself may not");
            checks.warn(bookkeeping::CHECK, detail, remedy);
        }
        Ok(())
    }

    fn grant(&self) -> String {
        let role = self.client.names.role.clone().unwrap_or_else(|| "<role>".to_owned());
        let schema = self.schema.quoted();
        format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO ROLE {};",
            quote(&role)
        )
    }

    fn is_dry_run(&self) -> bool {
        self.client.dry_run
    }
}
