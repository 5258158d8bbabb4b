//! What a mirror keeps in a database of Redshift, so that the cluster compares, and hashes that it makes of rows.
//!
//! Redshift enforces no keys: rows of one key are found by the statement itself, and are rejected.

use async_trait::async_trait;
use tidegate_model::source::Hashed;
use tidegate_model::{Checks, Error, Feed, Row, Selection};
use tidegate_transport::sql::bookkeeping::{self, COLUMNS, Entry, Keeper, SCHEMA, first_cells};
use tidegate_transport::sql::hashed::{HashedColumn as _, HashedTable, Needs};
use tidegate_transport::sql::quote;

use crate::postgres::client::Access;
use crate::postgres::grants;
use crate::postgres::writer::Writer;

use super::catalog::asked;
use super::errors::explained;
use super::keys::lookups_by;
use super::relation::{SourceColumn, Table, literal};
use super::settings::RedshiftSelection;
use super::source::RedshiftSource;

/// The bookkeeping in the schema `tidegate` of a database.
pub(super) struct RedshiftKeeper {
    source: RedshiftSource,
    table: Table,
    writer: Writer,
}

impl RedshiftKeeper {
    /// Returns the keeper of a table, and the table with its hashes.
    ///
    /// # Errors
    /// If the table cannot be described, or hashes of its columns cannot be made.
    pub(super) async fn of(
        source: &RedshiftSource,
        selected: &RedshiftSelection,
        key: &[String],
    ) -> Result<(RedshiftKeeper, HashedTable), Error> {
        let session = source.access.begin().await?;
        let table = source.table(&session, selected).await?;
        source.access.done(session).await;
        let hashed = HashedTable::by_texts(&table, key, Needs::BOOKKEEPING)?;
        let writer = Writer::new(source.access.clone());
        Ok((RedshiftKeeper { source: source.clone(), table, writer }, hashed))
    }
}

#[async_trait]
impl Keeper for RedshiftKeeper {
    const TEXT: &'static str = "VARCHAR(256)";

    fn table(&self, name: &str) -> String {
        format!("{}.{}", quote(SCHEMA), quote(name))
    }

    fn column(&self, name: &str) -> String {
        quote(name)
    }

    fn upsert(&self, name: &str, entries: &[Entry]) -> Vec<String> {
        // `MERGE` reads a table only: the rows would have to be in one before.
        let table = self.table("mirror_rows");
        let keys: Vec<&str> = entries.iter().map(|entry| entry.values()[0]).collect();
        let rows: Vec<String> =
            entries.iter().map(|entry| format!("('{name}', {})", entry.values().join(", "))).collect();
        let columns = bookkeeping::ENTRY.map(quote).join(", ");
        vec![format!(
            "BEGIN; LOCK TABLE {table}; DELETE FROM {table} WHERE \"name\" = '{name}' AND \"key\" IN ({}); \
             INSERT INTO {table} ({columns}) VALUES {}; COMMIT",
            keys.join(", "),
            rows.join(", ")
        )]
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        let explain = |access: &Access, error: &tokio_postgres::Error| {
            bookkeeping::refused(explained(access, error, None), SCHEMA)
        };
        self.writer.run(sql, explain).await
    }

    async fn ask(&self, sql: &str) -> Result<Vec<Option<String>>, Error> {
        let access = &self.source.access;
        let session = access.begin().await?;
        let rows = asked(access, &session, sql).await;
        access.done(session).await;
        Ok(first_cells(rows?))
    }

    async fn rows(&self, sql: String, batch_rows: usize) -> Result<Feed<Row>, Error> {
        let session = self.source.access.begin().await?;
        let table = self.table.clone().followed_by(COLUMNS.map(SourceColumn::of_texts));
        Ok(self.source.reading(session, table, [sql], None, batch_rows).await?.feed())
    }

    async fn prove_making(&self, checks: &mut Checks) -> Result<(), Error> {
        let user = &self.source.access.settings.user;
        let session = self.source.access.begin().await?;
        let find = format!(
            "SELECT has_schema_privilege(nspname, 'usage') AND has_schema_privilege(nspname, 'create') \
             FROM pg_catalog.pg_namespace WHERE nspname = {}",
            literal(SCHEMA).unwrap_or_default()
        );
        let found = asked(&self.source.access, &session, &find).await;
        self.source.access.done(session).await;
        let granted = found?.into_iter().flatten().flatten().next();
        let grant = grants::make_tables(SCHEMA, user);
        match granted.as_deref() {
            Some("t") => {
                checks.pass(bookkeeping::CHECK, format!("tables can be made in the schema {SCHEMA}"));
            }
            Some(_) => {
                checks.fail(
                    bookkeeping::CHECK,
                    format!("tables cannot be made in the schema {SCHEMA}"),
                    grant,
                );
            }
            None => checks.fail(
                bookkeeping::CHECK,
                format!("the schema {SCHEMA} is not there"),
                format!("CREATE SCHEMA {};\n{grant}", quote(SCHEMA)),
            ),
        }
        Ok(())
    }

    fn grant(&self) -> String {
        let (schema, user) = (quote(SCHEMA), quote(&self.source.access.settings.user));
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user};")
    }

    fn is_dry_run(&self) -> bool {
        self.source.dry_run
    }
}

impl RedshiftSource {
    /// Reads rows with their hashes.
    ///
    /// # Errors
    /// If hashes of the columns cannot be made, or reading cannot begin.
    pub(super) async fn read_hashed(
        &self,
        selection: &Selection,
        key: &[String],
        what: Hashed<'_>,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        let session = self.access.begin().await?;
        let table = self.table(&session, &selection.parse()?).await?;
        let (table, text) = table.with_hashes(key, what)?;
        let statements = match what {
            Hashed::These(values) => {
                lookups_by(&table, key, values, |condition| format!("{text} WHERE {condition}"))?
            }
            Hashed::Rows | Hashed::Keys => vec![text],
        };
        Ok(self.reading(session, table, statements, None, batch_rows).await?.feed())
    }
}
