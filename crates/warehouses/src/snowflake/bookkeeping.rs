//! What a mirror keeps in a database of Snowflake, so that Snowflake compares, and hashes that it makes of rows.
//!
//! Snowflake enforces no keys: rows of one key are found by the statement itself, and are rejected.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::{Checks, Error, Feed, Row};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::bookkeeping::{self, COLUMNS, Entry, Keeper};
use tidegate_transport::sql::hashed::{HashedTable, hash_of};
use tidegate_transport::sql::quote;
use tidegate_transport::sql::relation::Naming as _;

use super::checks::grant;
use super::client::Client;
use super::reading;
use super::relation::{Names, Relation, SourceColumn, Table};
use super::source::of_relation;
use super::statement::Sql;
use super::types::SqlType;

/// The schema of the tables, as Snowflake stores the name.
pub(super) const SCHEMA: &str = "TIDEGATE";

/// The bookkeeping in the schema `TIDEGATE` of the database that the table is in.
pub(super) struct SnowflakeKeeper {
    client: Arc<Client>,
    table: Table,
    database: String,
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
        let Relation::Table([database, ..], _) = &table.relation else { return Err(bookkeeping::of_query()) };
        let database = database.clone();
        let hashed = hashed_table(&table, key, bookkeeping::INSTEAD)?;
        Ok((SnowflakeKeeper { client: Arc::clone(client), table, database }, hashed))
    }

    fn place(&self) -> [String; 2] {
        [self.database.clone(), SCHEMA.to_owned()]
    }

    async fn query(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let doing =
            format!("comparing {}", tidegate_transport::sql::table::Relation::label(&self.table.relation));
        // Each statement may be repeated: it has the same effect again.
        let sql = Sql { text: sql.to_owned(), only_reads: true, ..Sql::default() };
        let (_, rows) = self.client.query(&sql, &doing).await.map_err(RequestError::into_error)?;
        Ok(rows)
    }
}

/// Returns a table with hashes of its rows.
pub(super) fn hashed_table(
    table: &Table,
    key: &[String],
    instead: (&str, &str),
) -> Result<HashedTable, Error> {
    let md5 = |text: &str| format!("MD5({text})");
    HashedTable::new(table, key, false, |columns| hash_of(columns.iter().copied(), md5, instead))
}

/// Returns a column of texts that a statement has besides those of the table.
pub(super) fn text_column(name: &str) -> SourceColumn {
    SourceColumn { name: name.to_owned(), sql_type: SqlType::Text(false) }
}

#[async_trait]
impl Keeper for SnowflakeKeeper {
    fn schema(&self) -> String {
        Names::label(&self.place())
    }

    fn table(&self, name: &str) -> String {
        let [database, schema] = self.place();
        Names::quoted(&[database, schema, name.to_uppercase()])
    }

    fn column(&self, name: &str) -> String {
        quote(&name.to_uppercase())
    }

    fn creation(&self) -> Vec<String> {
        bookkeeping::creation(self)
    }

    // Not a `MERGE`, which the engine behind the emulator of the tests cannot answer.
    fn upsert(&self, name: &str, entries: &[Entry]) -> Vec<String> {
        let rows: Vec<String> =
            entries.iter().map(|entry| format!("({})", entry.values().join(", "))).collect();
        let rows = format!(
            "(SELECT column1 AS tidegate_k, column2 AS tidegate_s, column3 AS tidegate_h, column4 AS tidegate_p \
             FROM VALUES {}) AS tidegate_new",
            rows.join(", ")
        );
        let table = self.table("mirror_rows");
        let [of, key, source_key, hash, pending] = bookkeeping::ENTRY.map(|column| self.column(column));
        vec![
            format!(
                "UPDATE {table} SET {source_key} = tidegate_new.tidegate_s, {hash} = tidegate_new.tidegate_h, \
                 {pending} = tidegate_new.tidegate_p FROM {rows} WHERE {of} = '{name}' AND {key} = tidegate_new.tidegate_k"
            ),
            format!(
                "INSERT INTO {table} ({of}, {key}, {source_key}, {hash}, {pending}) \
                 SELECT '{name}', tidegate_k, tidegate_s, tidegate_h, tidegate_p FROM {rows} \
                 WHERE tidegate_k NOT IN (SELECT {key} FROM {table} WHERE {of} = '{name}')"
            ),
        ]
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        self.query(sql).await.map(drop).map_err(|error| bookkeeping::refused(error, &self.schema()))
    }

    async fn ask(&self, sql: &str) -> Result<Vec<Option<String>>, Error> {
        let rows = self.query(sql).await?;
        Ok(rows.into_iter().map(|row| row.into_iter().next().flatten()).collect())
    }

    async fn rows(&self, sql: String, batch_rows: usize) -> Result<Feed<Row>, Error> {
        let table = self.table.clone().followed_by(COLUMNS.map(text_column));
        let sql = of_relation(&table.relation, sql, Vec::new());
        Ok(reading::feed(&self.client, &table, sql, None, batch_rows))
    }

    async fn prove_making(&self, checks: &mut Checks) -> Result<(), Error> {
        let asked = self.client.query(&"SELECT CURRENT_ROLE()".to_owned().into(), "logging in").await;
        let (_, told) = asked.map_err(RequestError::into_error)?;
        let role = told.into_iter().flatten().flatten().next().unwrap_or_else(|| "PUBLIC".to_owned());
        let (schema, quoted) = (Names::label(&self.place()), Names::quoted(&self.place()));
        let remedy = grant("USAGE, CREATE TABLE", "SCHEMA", &quoted, &role);
        let place = format!(" IN DATABASE {}", quote(&self.database));
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
        let schema = Names::quoted(&self.place());
        format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO ROLE {};",
            quote(&role)
        )
    }

    fn is_dry_run(&self) -> bool {
        self.client.dry_run
    }
}
