//! The table that events are merged into: found, made, widened.

use std::collections::HashMap;

use tidegate_model::event::{ColumnType, TableColumn};
use tidegate_model::{Error, ErrorKind, Layout, SinkTarget};
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::target::PostgresTarget;
use crate::postgres::client::Session;
use crate::postgres::query::shown;
use tidegate_transport::sql::quote;

const COLUMNS: &str = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    WHERE n.nspname = $1 AND c.relname = $2";

/// Where events go, and the statements that bring them there.
pub struct EventTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its columns.
    pub layout: Layout,
}

/// The type of each column of a table that is there, as PostgreSQL writes it.
pub type Types = HashMap<String, String>;

impl EventTable {
    /// Returns the table of a target.
    ///
    /// # Errors
    /// A name that PostgreSQL does not take as it is.
    pub fn new(target: &SinkTarget) -> Result<EventTable, Error> {
        let (schema, name) = PostgresTarget::names(target)?;
        Ok(EventTable { schema, name, layout: target.layout })
    }

    /// Returns its name in messages.
    pub fn label(&self) -> String {
        format!("{}.{}", shown(&self.schema), shown(&self.name))
    }

    /// Returns its name in a statement.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }

    /// What it has for columns; `None` if there is no such table.
    pub async fn find(&self, session: &Session) -> Result<Option<Types>, tokio_postgres::Error> {
        let names: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&self.schema, Type::TEXT), (&self.name, Type::TEXT)];
        let rows = session.client.query_typed(COLUMNS, &names).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut types = Types::new();
        for row in rows {
            if let Some(name) = row.try_get::<_, Option<String>>(0)? {
                types.insert(name, row.try_get(1)?);
            }
        }
        Ok(Some(types))
    }

    /// Returns whether its schema is there.
    pub async fn has_schema(&self, session: &Session) -> Result<bool, tokio_postgres::Error> {
        let sql = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1";
        Ok(!session.client.query_typed(sql, &[(&self.schema, Type::TEXT)]).await?.is_empty())
    }

    /// Makes schema, table and columns that are missing, inside the open
    /// transaction, and returns the columns' types.
    ///
    /// Looked at for each delivery, so that a table that was dropped or altered
    /// meanwhile is no surprise; nothing is remembered that could be wrong.
    pub async fn prepare(&self, session: &Session) -> Result<Types, Failure> {
        let mut types = self.find(session).await?;
        if types.as_ref().is_none_or(|types| self.missing(types).next().is_some()) {
            // Two exports may find the same table missing at the same moment.
            let lock = "SELECT pg_advisory_xact_lock(hashtext($1)::int8)";
            let name = format!("tidegate {}", self.quoted());
            session.client.query_typed(lock, &[(&name, Type::TEXT)]).await?;
            types = self.find(session).await?;
            let changes = match &types {
                None => self.create(self.has_schema(session).await?),
                Some(types) => self.widen(types),
            };
            if !changes.is_empty() {
                let changed = session.client.batch_execute(&changes).await;
                changed.map_err(|error| Failure::Changing { error, statement: changes })?;
                types = self.find(session).await?;
            }
        }
        let types = types.unwrap_or_default();
        self.fits(&types)?;
        Ok(types)
    }

    /// The columns that the table lacks.
    fn missing<'a>(&self, types: &'a Types) -> impl Iterator<Item = &'static TableColumn> + use<'a> {
        self.layout.columns().iter().filter(|column| !types.contains_key(column.name))
    }

    fn create(&self, has_schema: bool) -> String {
        let table = self.quoted();
        let columns: Vec<String> = (self.layout.columns().iter())
            .map(|column| {
                let null = if column.nullable { "" } else { " NOT NULL" };
                format!("  {} {}{null}", quote(column.name), type_name(column.kind))
            })
            .collect();
        let schema =
            if has_schema { String::new() } else { format!("CREATE SCHEMA {};\n", quote(&self.schema)) };
        format!(
            "{schema}CREATE TABLE {table} (\n{},\n  PRIMARY KEY (event_id)\n);\nCREATE INDEX ON {table} (event_timestamp);",
            columns.join(",\n")
        )
    }

    /// Rows that are there already have no value for a new column.
    pub fn widen(&self, types: &Types) -> String {
        let added: Vec<String> = (self.missing(types))
            .map(|column| format!("ADD COLUMN {} {}", quote(column.name), type_name(column.kind)))
            .collect();
        if added.is_empty() {
            return String::new();
        }
        format!("ALTER TABLE {} {};", self.quoted(), added.join(", "))
    }

    /// Refuses a column that cannot take what events have.
    pub fn fits(&self, types: &Types) -> Result<(), Error> {
        for column in self.layout.columns() {
            match types.get(column.name) {
                Some(found) if takes(found, column.kind) => {}
                Some(found) => {
                    let (wanted, name) = (type_name(column.kind), quote(column.name));
                    return Err(Error::settings(format!(
                        "the column `{}` of {} is {found}, events need {wanted}",
                        column.name,
                        self.label()
                    ))
                    .hint(format!(
                        "run: ALTER TABLE {} ALTER COLUMN {name} TYPE {wanted} USING {name}::{wanted}; or choose another `table`",
                        self.quoted()
                    )));
                }
                None => {
                    let message = format!("{} has no column `{}`", self.label(), column.name);
                    return Err(Error::new(ErrorKind::Missing, message));
                }
            }
        }
        Ok(())
    }

    /// Returns a connection's own table, empty at the start of each transaction. Its columns are part
    /// of the name: behind a pooler, another version of this program may have left one in the same
    /// session.
    pub fn staging(&self) -> String {
        let columns: Vec<String> = (self.layout.columns().iter())
            .map(|column| format!("{} {}", quote(column.name), type_name(column.kind)))
            .collect();
        let name = self.staged();
        format!("CREATE TEMP TABLE IF NOT EXISTS {name} ({}) ON COMMIT DELETE ROWS", columns.join(", "))
    }

    fn staged(&self) -> String {
        let layout = match self.layout {
            Layout::Messages => "messages",
            Layout::Events => "events",
        };
        format!("tidegate_{layout}_{}", self.layout.columns().len())
    }

    /// Fills the connection's own table.
    pub fn copy(&self) -> String {
        format!("COPY pg_temp.{} FROM STDIN (FORMAT binary)", self.staged())
    }

    /// Moves on what is not there yet.
    ///
    /// The order is the same for everybody, so that two deliveries with the same
    /// events wait for each other instead of locking each other out; of events
    /// with the same id, the first one stays.
    pub fn merge(&self, types: &Types) -> String {
        let columns = self.layout.columns();
        let names: Vec<String> = columns.iter().map(|column| quote(column.name)).collect();
        let values: Vec<String> = columns
            .iter()
            .map(|column| {
                let target = types.get(column.name).map_or(type_name(column.kind), String::as_str);
                format!("{}::{target}", quote(column.name))
            })
            .collect();
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM pg_temp.{} ORDER BY event_id COLLATE \"C\", ctid \
             ON CONFLICT (event_id) DO NOTHING",
            self.quoted(),
            names.join(", "),
            values.join(", "),
            self.staged()
        )
    }
}

fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "text",
        ColumnType::Int => "bigint",
        ColumnType::Bool => "boolean",
        ColumnType::Timestamp => "timestamp with time zone",
        ColumnType::Date => "date",
    }
}

/// Whether a column of the type `found` keeps every value whole: a limited
/// length or precision would not.
fn takes(found: &str, kind: ColumnType) -> bool {
    found == type_name(kind)
        || (kind == ColumnType::Text && ["character varying", "uuid", "json", "jsonb"].contains(&found))
}
