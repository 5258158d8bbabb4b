//! What indexes tell of a table: whether a cursor is fast, and whether a key identifies a row.

use tidegate_model::{Checks, Error};
use tokio_postgres::types::Type;

use super::query::Table;
use super::settings::PostgresSelection;
use super::source::PostgresSource;
use tidegate_transport::sql::quote;

/// What kind of relation it is, and whether an index begins with the column, of
/// all rows, in an order that a cursor read can use.
const CURSOR_INDEX: &str = "SELECT c.relkind::text, EXISTS (SELECT FROM pg_catalog.pg_index i \
      JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = ic.relam \
      LEFT JOIN pg_catalog.pg_collation k ON k.oid = i.indcollation[0] \
      WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indisvalid AND i.indpred IS NULL \
        AND m.amname = 'btree' AND (NOT $3 OR k.collname = 'C')) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
    WHERE c.oid = to_regclass($1) AND a.attname = $2 AND NOT a.attisdropped";

/// The kind of a relation, whether a unique index of all rows has no column but those of `$2`, and the
/// columns of its primary key.
const UNIQUE_KEY: &str = "SELECT c.relkind::text, EXISTS (SELECT FROM pg_catalog.pg_index i \
      WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
        AND NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey[0:i.indnkeyatts - 1]) k(attnum) \
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum \
          WHERE a.attname <> ALL ($2))), \
    (SELECT pg_catalog.string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_catalog.pg_index i \
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey) \
      WHERE i.indrelid = c.oid AND i.indisprimary) \
    FROM pg_catalog.pg_class c WHERE c.oid = to_regclass($1)";

impl PostgresSource {
    /// Returns whether an index makes `key` unique. A view or a query has none to look at.
    ///
    /// # Errors
    /// If a column of the selection may not be read, or is not there.
    pub(super) async fn uniqueness(
        &self,
        selected: &PostgresSelection,
        key: &[String],
    ) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let session = self.access.begin().await?;
        let table = self.readable(&session, selected).await?;
        let Some(name) = table.relation.quoted() else { return Ok(checks) };
        let statement = async {
            let statement = session.client.prepare_typed(UNIQUE_KEY, &[Type::TEXT, Type::TEXT_ARRAY]).await?;
            let row = session.client.query_opt(&statement, &[&name, &key]).await?;
            row.map(|row| {
                Ok::<(String, bool, Option<String>), _>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
            })
            .transpose()
        };
        let found = statement.await.map_err(self.access.explained(&table.relation))?;
        let Some((kind, false, primary)) = found else { return Ok(checks) };
        if matches!(kind.as_str(), "r" | "p" | "m") {
            let remedy = match primary {
                Some(primary) => format!(
                    "name the columns that identify a row: the primary key of the table is {primary}, which is \
                     used if the sync has no `primary_key`"
                ),
                None => "name the columns that identify a row, or add a unique index for them".to_owned(),
            };
            checks.warn(
                "key",
                format!(
                    "no unique index has only {}: a new row with the key of another one counts as a change of that row",
                    key.join(", ")
                ),
                remedy,
            );
        }
        Ok(checks)
    }

    /// Returns what would make reading a selection faster.
    ///
    /// # Errors
    /// If a column of the selection may not be read, or is not there.
    pub(super) async fn advice(
        &self,
        selected: &PostgresSelection,
        cursor: Option<&str>,
    ) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let session = self.access.begin().await?;
        let table = self.readable(&session, selected).await?;
        let (Some(cursor), Some(name)) = (cursor, table.relation.quoted()) else { return Ok(checks) };
        let column = table.find(cursor)?;
        let Some(by_bytes) = order(&column.column_type) else { return Ok(checks) };
        let column_name = column.name.as_str();
        let statement = async {
            let types = [Type::TEXT, Type::TEXT, Type::BOOL];
            let statement = session.client.prepare_typed(CURSOR_INDEX, &types).await?;
            let row = session.client.query_opt(&statement, &[&name, &column_name, &by_bytes]).await?;
            row.map(|row| Ok::<(String, bool), _>((row.try_get(0)?, row.try_get(1)?))).transpose()
        };
        let found = statement.await.map_err(self.access.explained(&table.relation))?;
        let Some((kind, is_there)) = found else { return Ok(checks) };
        let check = format!("index on {column_name}");
        if is_there {
            checks.pass(check, "found: a run reads only the rows that it needs");
        } else if matches!(kind.as_str(), "v" | "f") {
            checks.pass(check, "not known for a view: an index belongs to the table behind it");
        } else {
            let (detail, statement) = missing(&table, column_name, by_bytes, &kind);
            checks.warn(check, detail, statement);
        }
        Ok(checks)
    }
}

/// Whether a cursor of this type is compared byte by byte; `None` if it is compared
/// as an expression, which an ordinary index does not help.
fn order(column_type: &Type) -> Option<bool> {
    match *column_type {
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => Some(true),
        Type::NAME => None,
        ref other if other.name() == "citext" => None,
        _ => Some(false),
    }
}

/// What is said of a missing index, and the statement that makes it.
fn missing(table: &Table, column: &str, by_bytes: bool, kind: &str) -> (&'static str, String) {
    let (detail, collation) = match by_bytes {
        true => (
            "none in the order of bytes, by which text cursors are compared: every run reads the whole table",
            " COLLATE \"C\"",
        ),
        false => ("none: every run reads the whole table", ""),
    };
    // A partitioned table has no index that is made beside its writers.
    let concurrently = if kind == "p" { "" } else { " CONCURRENTLY" };
    let name = table.relation.quoted().unwrap_or_default();
    (detail, format!("CREATE INDEX{concurrently} ON {name} ({}{collation});", quote(column)))
}
