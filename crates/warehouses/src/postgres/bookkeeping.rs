//! What a mirror keeps in a PostgreSQL source, so that the server compares.

use async_trait::async_trait;
use tidegate_model::{Checks, Error, ErrorKind, Feed, Row, Selection};
use tidegate_transport::sql::bookkeeping::{COLUMNS, Entry, Keeper};
use tidegate_transport::sql::hashed::{HashedTable, Needs};
use tidegate_transport::sql::quote;
use tidegate_transport::sql::table::{Relation as _, SelectedColumn as _};

use super::client::{Access, Session};
use super::decode::Shape;
use super::query::{SourceColumn, Table};
use super::reading::{Reading, Step};
use super::settings::PostgresSelection;
use super::source::PostgresSource;
use super::writer::{Writer, texts};

/// The tables. An administrator makes the schema, see `setup.rs`. Rows are compared by a join of all of them, which
/// needs no index.
const TABLES: &str = r#"
    CREATE TABLE IF NOT EXISTS "tidegate".mirrors (sync text PRIMARY KEY, name text NOT NULL);
    CREATE TABLE IF NOT EXISTS "tidegate".mirror_rows (
        name       text NOT NULL,
        key        uuid NOT NULL,
        source_key uuid NOT NULL,
        hash       uuid,
        PRIMARY KEY (name, key)
    );
"#;

const PRIVILEGES: &str = "SELECT n.oid IS NOT NULL, \
    coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'), false), \
    pg_is_in_recovery(), \
    coalesce((SELECT bool_and(has_table_privilege(c.oid, p)) FROM pg_catalog.pg_class c, \
        unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p \
        WHERE c.relnamespace = n.oid AND c.relname IN ('mirrors', 'mirror_rows')), true) \
    FROM (VALUES (1)) v LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'tidegate'";

/// The unique indexes of a table that cover all of its rows, by the names of their columns.
const UNIQUE: &str = "SELECT array_agg(a.attname::text ORDER BY a.attname::text) \
    FROM pg_catalog.pg_index i \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
    WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
    AND i.indexprs IS NULL GROUP BY i.indexrelid HAVING bool_and(a.attnotnull)";

/// The bookkeeping in the schema `tidegate` of a server.
pub(super) struct PostgresKeeper {
    source: PostgresSource,
    table: Table,
    writer: Writer,
}

impl PostgresKeeper {
    /// Returns the keeper of a table, and the table with its hashes.
    ///
    /// # Errors
    /// If the table cannot be described.
    pub(super) async fn of(
        source: &PostgresSource,
        session: &Session,
        selected: &PostgresSelection,
        key: &[String],
    ) -> Result<(PostgresKeeper, HashedTable), Error> {
        let table = source.readable(session, selected).await?;
        let hashed = HashedTable::new(&table, key, true, |columns| Ok(hash_of(columns)))?;
        let writer = Writer::new(source.access.clone());
        Ok((PostgresKeeper { source: source.clone(), table, writer }, hashed))
    }
}

/// The hash of columns: of the text of a row, which is exact, and of their types, since 5 and '5' have one text.
pub(super) fn hash_of(columns: &[&SourceColumn]) -> String {
    let quoted: Vec<String> = columns.iter().map(|column| column.quoted()).collect();
    let types: Vec<String> = columns.iter().map(|column| column.column_type.oid().to_string()).collect();
    format!("md5('{} ' || ROW({})::text)::uuid", types.join(" "), quoted.join(", "))
}

/// What went wrong with the bookkeeping, and what to do about it.
fn explain(access: &Access, error: &tokio_postgres::Error) -> Error {
    let setup = "run the second part of `tidegate setup` for this connection as an administrator";
    match error.code().map(tokio_postgres::error::SqlState::code) {
        Some("3F000" | "42P01") => {
            Error::new(ErrorKind::Missing, "the schema `tidegate` is not there").hint(setup)
        }
        Some("42501") => {
            let role = access.settings.role();
            Error::new(ErrorKind::Denied, format!("user {role} may not write in the schema `tidegate`"))
                .hint(setup)
        }
        Some("25006") => Error::new(ErrorKind::Denied, "the server takes no writes, it may be a replica")
            .hint("connect to the primary server, or write `state: ours`"),
        _ => access.explain(error, None),
    }
}

/// The statement that lets the user write the tables that another one has made.
fn all_tables(access: &Access) -> String {
    let role = quote(access.settings.role());
    format!("GRANT ALL PRIVILEGES ON ALL TABLES IN SCHEMA \"tidegate\" TO {role};")
}

/// An array of hashes, which are in quotes.
fn array<'a>(hashes: impl Iterator<Item = &'a str>) -> String {
    let hashes: Vec<&str> = hashes.map(|hash| hash.trim_matches('\'')).collect();
    format!("'{{{}}}'::uuid[]", hashes.join(","))
}

#[async_trait]
impl Keeper for PostgresKeeper {
    const CHUNK: usize = 20_000;
    const TEXT: &'static str = "text";

    fn table(&self, name: &str) -> String {
        format!("\"tidegate\".{name}")
    }

    fn column(&self, name: &str) -> String {
        quote(name)
    }

    fn creation(&self) -> Vec<String> {
        vec![TABLES.to_owned()]
    }

    fn upsert(&self, name: &str, entries: &[Entry]) -> Vec<String> {
        let of = |at: usize| array(entries.iter().map(move |entry| entry.values()[at]));
        vec![format!(
            "INSERT INTO \"tidegate\".mirror_rows (name, key, source_key, hash) \
             SELECT '{name}', * FROM unnest({}, {}, {}) \
             ON CONFLICT (name, key) DO UPDATE SET source_key = excluded.source_key, hash = excluded.hash",
            of(0),
            of(1),
            of(2)
        )]
    }

    fn among(&self, column: &str, keys: &[String]) -> String {
        format!("{column} = ANY ({})", array(keys.iter().map(String::as_str)))
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        self.writer.run(sql, explain).await
    }

    async fn ask(&self, sql: &str) -> Result<Vec<Option<String>>, Error> {
        let mut session = self.source.access.begin().await?;
        session.running = true;
        let answer = session.client.simple_query(sql).await;
        session.running = false;
        self.source.access.done(session).await;
        let relation = &self.table.relation;
        let is_ours = |error: &tokio_postgres::Error| {
            let said = error.as_db_error().map(tokio_postgres::error::DbError::message).unwrap_or_default();
            said.contains("tidegate") || said.contains("mirror")
        };
        answer.map(|answer| texts(&answer)).map_err(|error| match is_ours(&error) {
            true => explain(&self.source.access, &error),
            false => self.source.access.explain(&error, Some(relation)),
        })
    }

    async fn rows(&self, sql: String, batch_rows: usize) -> Result<Feed<Row>, Error> {
        let session = self.source.access.begin().await?;
        let names = self.table.columns.iter().map(|column| column.name()).chain(COLUMNS);
        let mut shapes: Vec<Shape> = self.table.columns.iter().map(|column| column.shape.clone()).collect();
        shapes.extend([Shape::Uuid, Shape::Uuid, Shape::Text]);
        let reading = Reading {
            access: self.source.access.clone(),
            session,
            columns: tidegate_model::Columns::new(names),
            shapes,
            relation: self.table.relation.clone(),
            steps: vec![Step { sql, parameters: Vec::new() }].into(),
            waiting: None,
            batch_rows,
        };
        Ok(reading.feed())
    }

    async fn prove_making(&self, _: &mut Checks) -> Result<(), Error> {
        // `prove_bookkeeping` looks at all privileges at once.
        Ok(())
    }

    fn grant(&self) -> String {
        all_tables(&self.source.access)
    }

    fn is_dry_run(&self) -> bool {
        self.source.dry_run
    }
}

impl PostgresSource {
    /// Proves what `state: source` needs: the schema and a unique key.
    ///
    /// # Errors
    /// Only what keeps us from looking.
    pub(super) async fn prove_bookkeeping(
        &self,
        selection: &Selection,
        key: &[String],
    ) -> Result<Checks, Error> {
        let selected: PostgresSelection = selection.parse()?;
        let mut checks = Checks::default();
        let session = self.access.begin().await?;
        let row = session.client.query_one(PRIVILEGES, &[]).await;
        let row = row.map_err(|error| self.access.explain(&error, None))?;
        let get = |at| row.try_get::<_, bool>(at).map_err(|error| self.access.explain(&error, None));
        let (there, granted, replica, tables) = (get(0)?, get(1)?, get(2)?, get(3)?);
        let role = quote(self.access.settings.role());
        let name = "bookkeeping";
        if replica {
            let message = "the server is a replica, and `state: source` writes at the server";
            checks.fail(name, message, "connect to the primary server, or write `state: ours`");
        } else if !there {
            let grant = format!("CREATE SCHEMA \"tidegate\";\nGRANT ALL ON SCHEMA \"tidegate\" TO {role};");
            checks.fail(name, "the schema tidegate is not there", grant);
        } else if !granted {
            let grant = format!("GRANT ALL ON SCHEMA \"tidegate\" TO {role};");
            checks.fail(name, "tables cannot be made in the schema tidegate", grant);
        } else if !tables {
            let grant = all_tables(&self.access);
            checks.fail(name, "the tables of the schema tidegate cannot be written", grant);
        } else {
            checks.pass(name, "the schema tidegate can be written");
        }
        match self.unique_key(&session, &selected, key, Needs::BOOKKEEPING).await {
            Ok(()) => checks.pass("unique key", key.join(", ")),
            Err(error) => checks.fail("unique key", error.message(), error.next_step()),
        }
        self.access.done(session).await;
        Ok(checks)
    }

    /// Checks that the key is unique and never null at the server, as a setting needs it.
    ///
    /// # Errors
    /// If it is not.
    pub(super) async fn unique_key(
        &self,
        session: &Session,
        selected: &PostgresSelection,
        key: &[String],
        Needs { setting, instead }: Needs,
    ) -> Result<(), Error> {
        let relation = selected.relation()?;
        let missing = |what: String| {
            Error::settings(format!("{setting} compares rows by a unique key of a table, and {what}"))
                .hint(format!("write {instead}, which needs none"))
        };
        let Some(quoted) = relation.quoted() else {
            return Err(missing("a query has none".to_owned()));
        };
        let rows = session.client.query(UNIQUE, &[&quoted]).await;
        let rows = rows.map_err(self.access.explained(&relation))?;
        let mut wanted = key.to_vec();
        wanted.sort();
        let found = rows.iter().filter_map(|row| row.try_get::<_, Vec<String>>(0).ok());
        match found.into_iter().any(|columns| columns == wanted) {
            true => Ok(()),
            false => Err(missing(format!(
                "{} has no primary key and no unique index without nulls on ({})",
                relation.label(),
                key.join(", ")
            ))),
        }
    }
}
