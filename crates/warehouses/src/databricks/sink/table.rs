//! The table that events are merged into: found, made, widened. Pure: nothing here is sent.

use tidegate_model::event::table::PARTITION_COLUMN;
use tidegate_model::event::{ColumnType, TableColumn};
use tidegate_model::{Error, Layout, SinkTarget};
use tidegate_transport::sql::backtick;
use tidegate_transport::sql::events::{FoundColumn, missing_columns, named, plain};
use tidegate_transport::sql::relation::Naming as _;
use uuid::Uuid;

use super::target::DatabricksTarget;
use crate::databricks::relation::Names;
use crate::databricks::settings::{DatabricksSettings, is_name};
use crate::databricks::statement::ResultColumn;
use crate::databricks::types::{SqlType, parse};

/// The volume that files are staged in.
const VOLUME: &str = "tidegate_staging";
/// How the names of staged files end.
const ENDING: &str = ".parquet";

/// Where events go, and the statements that bring them there.
#[derive(Clone, Debug)]
pub struct EventTable {
    /// Its catalog, schema and name.
    pub names: [String; 3],
    /// The volume beside it.
    pub volume: [String; 3],
    /// Its columns.
    pub layout: Layout,
    partition_by_date: bool,
    /// How the names of staged files begin.
    staged: String,
}

impl EventTable {
    /// Returns the table of a target.
    ///
    /// # Errors
    /// A name that Databricks does not take, or no catalog.
    pub fn new(
        written: &DatabricksTarget,
        target: &SinkTarget,
        settings: &DatabricksSettings,
    ) -> Result<EventTable, Error> {
        let catalog = written.catalog.clone().or_else(|| settings.catalog.clone()).ok_or_else(|| {
            Error::settings("no `catalog` is set for the table")
                .hint("set `catalog` under `destination`, or in the connection")
        })?;
        let [schema, table] = named(written.schema.as_ref(), written.table.as_ref(), target);
        let volume = written.volume.clone().unwrap_or_else(|| VOLUME.to_owned());
        for (setting, name) in
            [("catalog", &catalog), ("schema", &schema), ("table", &table), ("volume", &volume)]
        {
            if !is_name(name) || name.contains('.') {
                return Err(Error::settings(format!("`{setting}`: expected a name without `.` and `/`")));
            }
        }
        Ok(EventTable {
            volume: [catalog.clone(), schema.clone(), volume],
            names: [catalog, schema, table],
            layout: target.layout,
            partition_by_date: written.partition_by_date,
            staged: format!("{}.{}.", plain(target.stream.as_str()), plain(target.sync.as_str())),
        })
    }

    /// Returns its name in messages.
    pub fn label(&self) -> String {
        self.names.each_ref().map(|name| Names::shown(name)).join(".")
    }

    /// Returns its schema in a statement.
    pub fn schema(&self) -> String {
        Names::quoted(&[self.names[0].clone(), self.names[1].clone()])
    }

    /// Returns the path of the volume.
    pub fn folder(&self) -> String {
        format!("/Volumes/{}", self.volume.join("/"))
    }

    /// Returns the path of the next staged file. No two deliveries have one: an upload that was given up
    /// may arrive when the next delivery has staged its own.
    pub fn new_file(&self) -> String {
        format!("{}/{}{}{ENDING}", self.folder(), self.staged, Uuid::new_v4().simple())
    }

    /// Returns the path of the file that a check writes.
    pub fn probe_file(&self) -> String {
        format!("{}/{}check", self.folder(), self.staged)
    }

    /// Returns whether a file of the volume is one that a delivery of this export has staged.
    pub fn is_staged(&self, path: &str) -> bool {
        let name = path.strip_prefix(&self.folder()).and_then(|name| name.strip_prefix('/'));
        name.and_then(|name| name.strip_prefix(&self.staged)?.strip_suffix(ENDING))
            .is_some_and(|id| id.len() == 32 && id.bytes().all(|sign| sign.is_ascii_hexdigit()))
    }

    /// Returns the statement that makes the schema if it is missing.
    pub fn schema_creation(&self) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {}", self.schema())
    }

    /// Returns the statement that makes the table if it is missing.
    pub fn creation(&self) -> String {
        let columns: Vec<String> = self
            .layout
            .columns()
            .iter()
            .map(|column| {
                let null = if column.name == "event_id" { " NOT NULL" } else { "" };
                format!("{} {}{null}", backtick(column.name), type_name(column.kind))
            })
            .collect();
        let organized = if self.partition_by_date { "PARTITIONED BY" } else { "CLUSTER BY" };
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({}) {organized} (`{PARTITION_COLUMN}`)",
            Names::quoted(&self.names),
            columns.join(", ")
        )
    }

    /// Returns the statement that makes the volume where it is missing.
    pub fn volume_creation(&self) -> String {
        format!("CREATE VOLUME IF NOT EXISTS {}", Names::quoted(&self.volume))
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
            let there = found.iter().find(|there| there.name.eq_ignore_ascii_case(column.name))?;
            let sql_type = parse(&there.type_text);
            let (name, type_name) = (column.name.to_owned(), sql_type.to_string());
            Some(FoundColumn { name, type_name, fits: takes(&sql_type, column) })
        };
        let missing = missing_columns(self.layout, &self.label(), find, type_name)?;
        let added = |column: &&TableColumn| format!("{} {}", backtick(column.name), type_name(column.kind));
        let added: Vec<String> = missing.iter().map(added).collect();
        let table = Names::quoted(&self.names);
        Ok((!added.is_empty()).then(|| format!("ALTER TABLE {table} ADD COLUMNS ({})", added.join(", "))))
    }

    /// Returns what a merge reads from a staged file.
    pub fn rows_of_file(&self, file: &str) -> String {
        format!("SELECT {} FROM parquet.{}", self.list(""), backtick(file))
    }

    /// Returns what a merge reads from its parameter, a JSON array of objects.
    pub fn rows_of_parameter(&self) -> String {
        let columns = self.layout.columns().iter();
        let members: Vec<String> = columns
            .clone()
            .map(|column| {
                let kind = match column.kind {
                    ColumnType::Timestamp | ColumnType::Date => "string",
                    ColumnType::Text => "string",
                    ColumnType::Int => "bigint",
                    ColumnType::Bool => "boolean",
                };
                format!("{}: {kind}", column.name)
            })
            .collect();
        let values: Vec<String> = columns
            .map(|column| {
                let name = backtick(column.name);
                format!("CAST(tidegate_row.{name} AS {}) AS {name}", type_name(column.kind))
            })
            .collect();
        format!(
            "SELECT {} FROM (SELECT explode(from_json(:p1, 'array<struct<{}>>')) AS tidegate_row)",
            values.join(", "),
            members.join(", ")
        )
    }

    /// Returns the statement that adds the events of `rows` which are not there yet.
    pub fn merge(&self, rows: &str) -> String {
        format!(
            "MERGE INTO {} AS tidegate_there USING ({rows}) AS tidegate_new \
             ON tidegate_there.`event_id` = tidegate_new.`event_id` \
             WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            Names::quoted(&self.names),
            self.list(""),
            self.list("tidegate_new.")
        )
    }

    fn list(&self, of: &str) -> String {
        let columns = self.layout.columns().iter();
        columns.map(|column| format!("{of}{}", backtick(column.name))).collect::<Vec<_>>().join(", ")
    }
}

fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "STRING",
        ColumnType::Int => "BIGINT",
        ColumnType::Bool => "BOOLEAN",
        ColumnType::Timestamp => "TIMESTAMP",
        ColumnType::Date => "DATE",
    }
}

/// Returns whether a column of the type `found` keeps every value whole.
fn takes(found: &SqlType, column: &TableColumn) -> bool {
    match found {
        SqlType::Text(name) => column.kind == ColumnType::Text && name == "STRING",
        found => found.to_string() == type_name(column.kind),
    }
}
