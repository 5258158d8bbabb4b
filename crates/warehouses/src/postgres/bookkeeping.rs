//! What a mirror keeps in a PostgreSQL source, so that the server compares.
//!
//! The table `tidegate.mirror_rows` has an entry for each key: the hash of the ledger, the hash of the key at the
//! server, the hash of the row that was committed, and the one of a row that is about to be.

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tidegate_model::bookkeeping::{Bookkeeping, DifferingRows, NotedRow, SourceHashes};
use tidegate_model::{Batch, Checks, Error, ErrorKind, Row, RowHash, Selection, SyncId, Value};
use tidegate_transport::sql::quote;
use tidegate_transport::sql::table::{Relation as _, SelectedColumn as _};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::client::Session;
use super::decode::Shape;
use super::query::Table;
use super::reading::{Reading, Step};
use super::settings::PostgresSelection;
use super::source::PostgresSource;

/// The tables. An administrator makes the schema, see `setup.rs`.
const TABLES: &str = r#"
    CREATE TABLE IF NOT EXISTS "tidegate".mirrors (sync text PRIMARY KEY, name text NOT NULL);
    CREATE TABLE IF NOT EXISTS "tidegate".mirror_rows (
        name       text NOT NULL,
        key        uuid NOT NULL,
        source_key uuid NOT NULL,
        hash       uuid,
        pending    uuid,
        PRIMARY KEY (name, key)
    );
    CREATE INDEX IF NOT EXISTS mirror_rows_by_source ON "tidegate".mirror_rows (name, source_key);
"#;

const ARE_THERE: &str = r#"SELECT to_regclass('"tidegate".mirror_rows') IS NOT NULL"#;

const NAME: &str = r#"SELECT name FROM "tidegate".mirrors WHERE sync = $1"#;

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

/// The setting that needs a unique key, and the one that does not.
pub(super) const SETTING: &str = "`state: source`";
pub(super) const OURS: &str = "`state: ours`";

/// The bookkeeping of one sync.
pub(super) struct PostgresBookkeeping {
    source: PostgresSource,
    selected: PostgresSelection,
    sync: SyncId,
    key: Vec<String>,
    /// The name of the entries, once it is known; `None` before, and if a dry run has none.
    name: Mutex<Option<String>>,
    /// The connection for writing.
    writer: Mutex<Option<Session>>,
}

impl PostgresBookkeeping {
    pub(super) fn new(
        source: PostgresSource,
        selected: PostgresSelection,
        sync: SyncId,
        key: &[String],
    ) -> PostgresBookkeeping {
        PostgresBookkeeping {
            source,
            selected,
            sync,
            key: key.to_vec(),
            name: Mutex::default(),
            writer: Mutex::default(),
        }
    }

    fn explain(&self, error: &tokio_postgres::Error) -> Error {
        let setup = "run the second part of `tidegate setup` for this connection as an administrator";
        let what = match error.code().map(tokio_postgres::error::SqlState::code) {
            Some("3F000" | "42P01") => {
                Error::new(ErrorKind::Missing, "the schema `tidegate` is not there").hint(setup)
            }
            Some("42501") => {
                let role = self.source.access.settings.role();
                Error::new(ErrorKind::Denied, format!("user {role} may not write in the schema `tidegate`"))
                    .hint(setup)
            }
            Some("25006") => Error::new(ErrorKind::Denied, "the server takes no writes, it may be a replica")
                .hint("connect to the primary server, or write `state: ours`"),
            _ => self.source.access.explain(error, None),
        };
        what.context("`state: source` keeps its bookkeeping at the server")
    }

    async fn writer(&self) -> Result<MutexGuard<'_, Option<Session>>, Error> {
        let mut writer = self.writer.lock().await;
        if writer.as_ref().is_none_or(|session| session.client.is_closed()) {
            *writer = Some(self.source.access.connect().await?);
        }
        Ok(writer)
    }

    async fn write(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
        if self.source.dry_run {
            return Ok(());
        }
        let writer = self.writer().await?;
        let Some(session) = writer.as_ref() else { return Err(Error::internal("there is no connection")) };
        session.client.execute(sql, parameters).await.map_err(|error| self.explain(&error))?;
        Ok(())
    }

    /// The name of the entries; empty if there are none.
    async fn name(&self) -> String {
        self.name.lock().await.clone().unwrap_or_default()
    }

    async fn by_keys(&self, sql: &str, keys: &[RowHash]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let (name, keys) = (self.name().await, texts(keys.iter().map(|key| key.0)));
        self.write(sql, &[&name, &keys]).await
    }

    async fn table(&self, session: &Session) -> Result<Table, Error> {
        self.source.readable(session, &self.selected).await
    }
}

/// Hashes as the server reads them.
fn texts(hashes: impl Iterator<Item = u128>) -> Vec<String> {
    hashes.map(|hash| Uuid::from_u128(hash).to_string()).collect()
}

/// A hash as the server sends it.
fn uuid_of(text: &str) -> Result<u128, Error> {
    let hash = Uuid::parse_str(text).map_err(|cause| {
        Error::new(ErrorKind::Unexpected, "PostgreSQL sent a hash that is no uuid").caused_by(cause)
    })?;
    Ok(hash.as_u128())
}

/// The rows of a table with two more columns: the hash of the key, and of the columns that are read.
fn hashed(table: &Table, key: &[String]) -> Result<String, Error> {
    let quoted: Vec<String> = table.columns.iter().map(|column| quote(column.name())).collect();
    let key =
        key.iter().map(|name| Ok(quote(table.find(name)?.name()))).collect::<Result<Vec<_>, Error>>()?;
    let (columns, key, from) = (quoted.join(", "), key.join(", "), table.relation.from());
    Ok(format!(
        "SELECT {columns}, md5(ROW({key})::text)::uuid AS tidegate_key, \
         md5(ROW({columns})::text)::uuid AS tidegate_hash FROM {from}"
    ))
}

/// The statement for the rows whose hash is not the one of their entry.
fn differing(table: &Table, key: &[String], all: bool) -> Result<String, Error> {
    let list = table.list();
    let hashed = hashed(table, key)?;
    let select = format!("SELECT {list}, tidegate_key, tidegate_hash FROM ({hashed}) AS tidegate_hashed");
    if all {
        return Ok(select);
    }
    Ok(format!(
        "{select} LEFT JOIN (SELECT source_key AS tidegate_source_key, hash AS tidegate_known \
         FROM \"tidegate\".mirror_rows WHERE name = $1) AS tidegate_entries \
         ON tidegate_source_key = tidegate_key WHERE tidegate_known IS DISTINCT FROM tidegate_hash"
    ))
}

/// Takes the two hashes off the end of a row.
fn take_hashes(row: &mut Row) -> Result<SourceHashes, Error> {
    let mut next = || match row.values.pop() {
        Some(Value::Text(hash)) => uuid_of(&hash),
        _ => Err(Error::new(ErrorKind::Unexpected, "PostgreSQL sent a row without its hashes")),
    };
    let (hash, key) = (next()?, next()?);
    Ok(SourceHashes { key, row: hash })
}

fn split(mut batch: Batch<Row>) -> Result<DifferingRows, Error> {
    let hashes = batch.items.iter_mut().map(take_hashes).collect::<Result<_, _>>()?;
    let partial = batch.malformed.iter_mut().filter_map(|piece| piece.row.as_mut());
    let malformed = partial.map(|partial| take_hashes(&mut partial.row)).collect::<Result<_, _>>()?;
    Ok(DifferingRows { batch, hashes, malformed })
}

#[async_trait]
impl Bookkeeping for PostgresBookkeeping {
    async fn begin(&self, name: Option<&str>) -> Result<(String, bool), Error> {
        let session = self.source.access.begin().await?;
        let explain = |error: tokio_postgres::Error| self.explain(&error);
        let there: bool =
            session.client.query_one(ARE_THERE, &[]).await.and_then(|row| row.try_get(0)).map_err(explain)?;
        let kept: Option<String> = match there {
            true => {
                let row = session.client.query_opt(NAME, &[&self.sync.as_str()]).await.map_err(explain)?;
                row.map(|row| row.try_get(0)).transpose().map_err(explain)?
            }
            false => None,
        };
        self.source.access.done(session).await;
        let mut own = self.name.lock().await;
        if let Some(kept) = kept.as_deref().filter(|kept| Some(*kept) == name) {
            *own = Some(kept.to_owned());
            return Ok((kept.to_owned(), true));
        }
        let new = Uuid::now_v7().to_string();
        if self.source.dry_run {
            return Ok((new, false));
        }
        let mut writer = self.writer().await?;
        let Some(session) = writer.as_mut() else { return Err(Error::internal("there is no connection")) };
        let made = async {
            if !there {
                session.client.batch_execute(TABLES).await?;
            }
            let tx = session.client.transaction().await?;
            tx.execute(
                "DELETE FROM \"tidegate\".mirror_rows WHERE name = (SELECT name FROM \"tidegate\".mirrors WHERE sync = $1)",
                &[&self.sync.as_str()],
            )
            .await?;
            tx.execute(
                "INSERT INTO \"tidegate\".mirrors (sync, name) VALUES ($1, $2) \
                 ON CONFLICT (sync) DO UPDATE SET name = excluded.name",
                &[&self.sync.as_str(), &new],
            )
            .await?;
            tx.commit().await
        };
        made.await.map_err(explain)?;
        *own = Some(new.clone());
        Ok((new, false))
    }

    async fn rows(
        &self,
        all: bool,
        batch_rows: usize,
    ) -> Result<BoxStream<'static, Result<DifferingRows, Error>>, Error> {
        let session = self.source.access.begin().await?;
        let table = self.table(&session).await?;
        let sql = differing(&table, &self.key, all)?;
        let name: Box<dyn ToSql + Send + Sync> = Box::new(self.name().await);
        let parameters = if all { Vec::new() } else { vec![name] };
        let mut shapes: Vec<Shape> = table.columns.iter().map(|column| column.shape.clone()).collect();
        shapes.extend([Shape::Uuid, Shape::Uuid]);
        let reading = Reading {
            access: self.source.access.clone(),
            session,
            columns: table.names(),
            shapes,
            relation: table.relation,
            steps: vec![Step { sql, parameters }].into(),
            waiting: None,
            batch_rows,
        };
        Ok(reading.feed().map(|batch| batch.and_then(split)).boxed())
    }

    async fn count(&self) -> Result<u64, Error> {
        let session = self.source.access.begin().await?;
        let table = self.table(&session).await?;
        let sql = format!("SELECT count(*) FROM {}", table.relation.from());
        let count =
            session.client.query_one(sql.as_str(), &[]).await.and_then(|row| row.try_get::<_, i64>(0));
        let count = count.map_err(self.source.access.explained(&table.relation))?;
        self.source.access.done(session).await;
        Ok(count.unsigned_abs())
    }

    async fn removed(&self, after: Option<RowHash>, limit: usize) -> Result<Vec<RowHash>, Error> {
        let Some(name) = self.name.lock().await.clone() else { return Ok(Vec::new()) };
        let mut session = self.source.access.begin().await?;
        let table = self.table(&session).await?;
        let hashed = hashed(&table, &self.key)?;
        let sql = format!(
            "SELECT key::text FROM \"tidegate\".mirror_rows WHERE name = $1 AND key > $2::text::uuid AND NOT EXISTS \
             (SELECT 1 FROM ({hashed}) AS tidegate_hashed WHERE tidegate_key = source_key) ORDER BY key LIMIT $3"
        );
        let after = Uuid::from_u128(after.map_or(0, |after| after.0)).to_string();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        session.running = true;
        let rows = session.client.query(sql.as_str(), &[&name, &after, &limit]).await;
        let rows = rows.map_err(self.source.access.explained(&table.relation))?;
        session.running = false;
        self.source.access.done(session).await;
        let key = |row: &tokio_postgres::Row| {
            let text: String = row.try_get(0).map_err(|error| self.explain(&error))?;
            uuid_of(&text).map(RowHash)
        };
        rows.iter().map(key).collect()
    }

    async fn note(&self, rows: &[NotedRow]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let name = self.name().await;
        let keys = texts(rows.iter().map(|row| row.key.0));
        let source_keys = texts(rows.iter().map(|row| row.hashes.key));
        let hashes = texts(rows.iter().map(|row| row.hashes.row));
        let known: Vec<bool> = rows.iter().map(|row| row.known).collect();
        self.write(
            "INSERT INTO \"tidegate\".mirror_rows (name, key, source_key, hash, pending) \
             SELECT $1, k::uuid, s::uuid, CASE WHEN known THEN h::uuid END, CASE WHEN NOT known THEN h::uuid END \
             FROM unnest($2::text[], $3::text[], $4::text[], $5::bool[]) AS noted (k, s, h, known) \
             ON CONFLICT (name, key) DO UPDATE SET source_key = excluded.source_key, hash = excluded.hash, \
             pending = excluded.pending",
            &[&name, &keys, &source_keys, &hashes, &known],
        )
        .await
    }

    async fn note_removed(&self, keys: &[RowHash]) -> Result<(), Error> {
        // No row has this hash of its key, so it is gone.
        let sql = "INSERT INTO \"tidegate\".mirror_rows (name, key, source_key) \
             SELECT $1, k::uuid, k::uuid FROM unnest($2::text[]) AS k ON CONFLICT (name, key) DO NOTHING";
        self.by_keys(sql, keys).await
    }

    async fn committed(&self, keys: &[RowHash]) -> Result<(), Error> {
        let sql = "UPDATE \"tidegate\".mirror_rows SET hash = pending, pending = NULL \
             WHERE name = $1 AND key = ANY ($2::text[]::uuid[]) AND pending IS NOT NULL";
        self.by_keys(sql, keys).await
    }

    async fn doubt(&self, keys: &[RowHash]) -> Result<(), Error> {
        let sql = "UPDATE \"tidegate\".mirror_rows SET hash = NULL, pending = NULL \
             WHERE name = $1 AND key = ANY ($2::text[]::uuid[])";
        self.by_keys(sql, keys).await
    }

    async fn forget(&self, keys: &[RowHash]) -> Result<(), Error> {
        let sql = "DELETE FROM \"tidegate\".mirror_rows WHERE name = $1 AND key = ANY ($2::text[]::uuid[])";
        self.by_keys(sql, keys).await
    }

    fn keeps(&self) -> bool {
        !self.source.dry_run
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
            let grant = format!("GRANT ALL PRIVILEGES ON ALL TABLES IN SCHEMA \"tidegate\" TO {role};");
            checks.fail(name, "the tables of the schema tidegate cannot be written", grant);
        } else {
            checks.pass(name, "the schema tidegate can be written");
        }
        match self.unique_key(&session, &selected, key, SETTING, OURS).await {
            Ok(()) => checks.pass("unique key", key.join(", ")),
            Err(error) => checks.fail("unique key", error.message(), error.next_step()),
        }
        self.access.done(session).await;
        Ok(checks)
    }

    /// Checks that the key is unique and never null at the server, as `setting` needs it.
    ///
    /// # Errors
    /// If it is not.
    pub(super) async fn unique_key(
        &self,
        session: &Session,
        selected: &PostgresSelection,
        key: &[String],
        setting: &str,
        instead: &str,
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
