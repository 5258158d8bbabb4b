//! The table that events are merged into: found, made, widened. Pure: nothing here is sent.

use tidegate_model::event::{ColumnType, TableColumn};
use tidegate_model::{Error, Layout, SinkTarget};
use tidegate_transport::sql::events::{FoundColumn, missing_columns, named};
use tidegate_transport::sql::relation::Naming as _;
use tidegate_transport::sql::{literal, quote};

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
    /// The beginning of the names of this sync's staging tables.
    staging: String,
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
        Ok(EventTable {
            names: [database, schema, table].map(|name| folded(&name)),
            layout: target.layout,
            staging: format!("TIDEGATE_STAGING_{}_", target.sync.as_str().to_uppercase()),
        })
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
        format!("CREATE TABLE IF NOT EXISTS {} ({})", Names::quoted(&self.names), self.definitions())
    }

    fn definitions(&self) -> String {
        let columns = self.layout.columns().iter().map(|column| {
            let null = if column.name == "event_id" { " NOT NULL" } else { "" };
            format!("{} {}{null}", name(column), type_name(column.kind))
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    /// Returns the name of a staging table; `id` is one of its own, of 32 digits.
    pub fn new_staging(&self, id: &str) -> [String; 3] {
        let [database, schema, _] = self.names.clone();
        [database, schema, format!("{}{}", self.staging, id.to_uppercase())]
    }

    /// Returns a pattern that the names of this sync's staging tables are like, and maybe others.
    pub fn staging_pattern(&self) -> String {
        format!("{}%", self.staging)
    }

    /// Returns whether a table of the schema is a staging table of this sync.
    pub fn is_staging(&self, table: &str) -> bool {
        let id = table.strip_prefix(&self.staging);
        id.is_some_and(|id| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
    }

    /// Returns the statement that makes a staging table.
    pub fn staging_creation(&self, staging: &[String; 3]) -> String {
        format!("CREATE TRANSIENT TABLE {} ({})", Names::quoted(staging), self.definitions())
    }

    /// Returns the statement that loads a Parquet file of a folder in a stage.
    ///
    /// Source: Snowflake docs, "COPY INTO <table>": by `USE_LOGICAL_TYPE`, times in Parquet are read as times.
    pub fn copy(&self, staging: &[String; 3], place: &str, file: &str) -> String {
        format!(
            "COPY INTO {} FROM {} FILES = ({}) FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE) \
             MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE",
            Names::quoted(staging),
            literal(place),
            literal(file)
        )
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
        let find = |column: &TableColumn| {
            let there = found.iter().find(|there| there.name == column.name.to_uppercase())?;
            let sql_type = SqlType::new(&there.kind, there.precision, there.scale, None);
            let (name, type_name) = (there.name.clone(), sql_type.to_string());
            Some(FoundColumn { name, type_name, fits: takes(there, column) })
        };
        let missing = missing_columns(self.layout, &self.label(), find, type_name)?;
        let added = |column: &&TableColumn| format!("{} {}", name(column), type_name(column.kind));
        let added: Vec<String> = missing.iter().map(added).collect();
        let table = Names::quoted(&self.names);
        Ok((!added.is_empty()).then(|| format!("ALTER TABLE {table} ADD COLUMN {}", added.join(", "))))
    }

    /// Returns the statement that adds the events of its parameter, a JSON array of objects, which are not
    /// there yet.
    pub fn merge(&self) -> String {
        let columns = self.layout.columns().iter();
        let values: Vec<String> =
            columns.map(|column| format!("{} AS {}", value(column), name(column))).collect();
        let rows = "TABLE(FLATTEN(INPUT => PARSE_JSON(?))) AS tidegate_events";
        self.merge_of(&format!("SELECT {} FROM {rows}", values.join(", ")))
    }

    /// Returns the statement that adds the events of a staging table which are not there yet.
    pub fn merge_from(&self, staging: &[String; 3]) -> String {
        self.merge_of(&format!("SELECT {} FROM {}", self.list(""), Names::quoted(staging)))
    }

    fn merge_of(&self, rows: &str) -> String {
        format!(
            "MERGE INTO {} AS tidegate_there USING ({rows}) AS tidegate_new ON tidegate_there.\"EVENT_ID\" = tidegate_new.\"EVENT_ID\" \
             WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            Names::quoted(&self.names),
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
