//! The table that events are merged into: found, made, widened. Pure: nothing here is sent.

use tidegate_model::event::{ColumnType, TableColumn};
use tidegate_model::{Error, Layout, SinkTarget};
use tidegate_transport::sql::events::named;
use tidegate_transport::sql::quote;
use tidegate_transport::sql::relation::Naming as _;

use super::target::SnowflakeTarget;
use crate::snowflake::relation::{Names, folded, is_name};
use crate::snowflake::settings::SnowflakeSettings;
use crate::snowflake::statement::ResultColumn;
use crate::snowflake::types::SqlType;

/// Characters that a `VARCHAR` without a length has at most. Source: Snowflake docs, "String data types".
const TEXT_LENGTH: u64 = 16_777_216;

/// Where events go, and the statements that bring them there.
#[derive(Clone, Debug)]
pub struct EventTable {
    /// Its database, schema and name.
    pub names: [String; 3],
    /// Its columns.
    pub layout: Layout,
}

impl EventTable {
    /// Returns the table of a target.
    ///
    /// # Errors
    /// A name that Snowflake does not take, or no database.
    pub fn new(
        written: &SnowflakeTarget,
        target: &SinkTarget,
        settings: &SnowflakeSettings,
    ) -> Result<EventTable, Error> {
        let database = written.database.clone().or_else(|| settings.database.clone()).ok_or_else(|| {
            Error::settings("no `database` is set for the table")
                .hint("set `database` under `destination`, or in the connection")
        })?;
        let [schema, table] = named(written.schema.as_ref(), written.table.as_ref(), target);
        for (setting, name) in [("database", &database), ("schema", &schema), ("table", &table)] {
            if !is_name(name) || (name.contains('.') && !name.starts_with('"')) {
                return Err(Error::settings(format!("`{setting}`: expected one name, without `.`"))
                    .hint("database, schema and table have a setting each"));
            }
        }
        Ok(EventTable { names: [database, schema, table].map(|name| folded(&name)), layout: target.layout })
    }

    /// Returns its name in messages.
    pub fn label(&self) -> String {
        self.names.each_ref().map(|name| Names::shown(name)).join(".")
    }

    /// Returns the statement that makes the schema.
    pub fn schema_creation(&self) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {}", Names::quoted(&self.names[..2]))
    }

    /// Returns the statement that makes the table where it is missing.
    pub fn creation(&self) -> String {
        let columns = self.layout.columns().iter().map(|column| {
            let null = if column.name == "event_id" { " NOT NULL" } else { "" };
            format!("{} {}{null}", name(column), type_name(column.kind))
        });
        let columns: Vec<String> = columns.collect();
        format!("CREATE TABLE IF NOT EXISTS {} ({})", Names::quoted(&self.names), columns.join(", "))
    }

    /// Returns a statement whose columns are those of the table. It gives no rows.
    pub fn probe(&self) -> String {
        format!("SELECT * FROM {} LIMIT 0", Names::quoted(&self.names))
    }

    /// Returns the statement that adds the columns which the table lacks; `None` if it has them all.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a column that would not keep a value whole.
    pub fn widening(&self, found: &[ResultColumn]) -> Result<Option<String>, Error> {
        let mut missing = Vec::new();
        for column in self.layout.columns() {
            let there = found.iter().find(|there| there.name == column.name.to_uppercase());
            match there {
                None => missing.push(format!("{} {}", name(column), type_name(column.kind))),
                Some(there) if !takes(there, column) => {
                    let found = SqlType::new(&there.kind, there.precision, there.scale, None);
                    return Err(Error::settings(format!(
                        "the column `{}` of {} is {found}, and events have {} for it",
                        there.name,
                        self.label(),
                        type_name(column.kind)
                    ))
                    .hint("choose another `table`, or change the column"));
                }
                Some(_) => {}
            }
        }
        Ok((!missing.is_empty())
            .then(|| format!("ALTER TABLE {} ADD COLUMN {}", Names::quoted(&self.names), missing.join(", "))))
    }

    /// Returns the statement that adds the events of its parameter, a JSON array of objects, which are not
    /// there yet.
    pub fn merge(&self) -> String {
        let columns = self.layout.columns().iter();
        let values: Vec<String> =
            columns.map(|column| format!("{} AS {}", value(column), name(column))).collect();
        format!(
            "MERGE INTO {} AS tidegate_there USING (SELECT {} FROM TABLE(FLATTEN(INPUT => PARSE_JSON(?))) \
             AS tidegate_events) AS tidegate_new ON tidegate_there.\"EVENT_ID\" = tidegate_new.\"EVENT_ID\" \
             WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            Names::quoted(&self.names),
            values.join(", "),
            self.list(""),
            self.list("tidegate_new.")
        )
    }

    fn list(&self, of: &str) -> String {
        let columns = self.layout.columns().iter();
        columns.map(|column| format!("{of}{}", name(column))).collect::<Vec<_>>().join(", ")
    }
}

/// Returns the name of a column as it is without quotes in a query.
fn name(column: &TableColumn) -> String {
    quote(&column.name.to_uppercase())
}

/// Returns a member of the event of a row, as a value of its column.
fn value(column: &TableColumn) -> String {
    let member = format!("tidegate_events.value:{}", column.name);
    match column.kind {
        ColumnType::Text | ColumnType::Int | ColumnType::Bool => {
            format!("{member}::{}", type_name(column.kind))
        }
        ColumnType::Timestamp | ColumnType::Date => {
            format!("CAST({member}::VARCHAR AS {})", type_name(column.kind))
        }
    }
}

fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "VARCHAR",
        ColumnType::Int => "NUMBER(38,0)",
        ColumnType::Bool => "BOOLEAN",
        ColumnType::Timestamp => "TIMESTAMP_LTZ",
        ColumnType::Date => "DATE",
    }
}

/// Returns whether a column keeps every value whole.
fn takes(found: &ResultColumn, column: &TableColumn) -> bool {
    let sql_type = SqlType::new(&found.kind, found.precision, found.scale, None);
    match (column.kind, sql_type) {
        (ColumnType::Text, SqlType::Text(_)) => found.length.is_none_or(|length| length >= TEXT_LENGTH),
        (ColumnType::Int, SqlType::Number(precision, 0)) => precision >= 19,
        (ColumnType::Bool, SqlType::Boolean) | (ColumnType::Date, SqlType::Date) => true,
        (ColumnType::Timestamp, SqlType::TimestampLtz | SqlType::TimestampTz) => {
            found.scale.is_none_or(|digits| digits >= 6)
        }
        _ => false,
    }
}
