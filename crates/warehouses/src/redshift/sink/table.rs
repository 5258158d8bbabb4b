//! The table that events are merged into: found, made, widened. Pure: nothing here is sent.

use tidegate_model::event::{ColumnType, TableColumn};
use tidegate_model::{Error, Layout, SinkTarget};
use tidegate_transport::sql::events::{FoundColumn, missing_columns};
use tidegate_transport::sql::relation::Naming as _;
use tidegate_transport::sql::{literal, quote};

use super::target::RedshiftTarget;
use crate::redshift::relation::{Names, SourceColumn};
use crate::redshift::types::SqlType;

/// The table of a session that files are copied into.
const STAGING: &str = "tidegate_staging";
/// The longest text of a column, in bytes, under each version of Redshift.
pub const TEXT_BYTES_MAX: usize = 65_535;

/// Where events go, and the statements that bring them there.
#[derive(Clone, Debug)]
pub struct EventTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its columns.
    pub layout: Layout,
}

impl EventTable {
    /// Returns the table of a target.
    ///
    /// # Errors
    /// A name that Redshift does not take as it is.
    pub fn new(written: &RedshiftTarget, target: &SinkTarget) -> Result<EventTable, Error> {
        let (schema, name) = written.names(target)?;
        Ok(EventTable { schema, name, layout: target.layout })
    }

    /// Returns its name in messages.
    pub fn label(&self) -> String {
        Names::label(&[self.schema.clone(), self.name.clone()])
    }

    /// Returns its name in a statement.
    pub fn quoted(&self) -> String {
        Names::quoted(&[self.schema.clone(), self.name.clone()])
    }

    /// Returns the statement that makes the schema if it is missing. Redshift asks for `CREATE` on the
    /// database even if it is there.
    pub fn schema_creation(&self) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {}", quote(&self.schema))
    }

    /// Returns the statement that makes the table if it is missing.
    ///
    /// Events of one id are on one node, and those of one time side by side.
    pub fn creation(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY (event_id)) DISTKEY (event_id) SORTKEY (event_timestamp)",
            self.quoted(),
            self.definitions()
        )
    }

    fn definitions(&self) -> String {
        let defined = |column: &TableColumn| {
            let null = if column.name == "event_id" { " NOT NULL" } else { "" };
            format!("{} {}{null}", quote(column.name), type_name(column.kind))
        };
        self.layout.columns().iter().map(defined).collect::<Vec<_>>().join(", ")
    }

    /// Returns a statement whose columns are those of the table. It gives no rows.
    pub fn probe(&self) -> String {
        format!("SELECT * FROM {} LIMIT 0", self.quoted())
    }

    /// Returns the statements that add the columns which the table lacks: Redshift adds one at a time.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a column that would not keep a value whole.
    pub fn widening(&self, found: &[SourceColumn]) -> Result<Vec<String>, Error> {
        let find = |column: &TableColumn| {
            let there = found.iter().find(|there| there.name.eq_ignore_ascii_case(column.name))?;
            let (name, type_name) = (column.name.to_owned(), there.sql_type.to_string());
            Some(FoundColumn { name, type_name, fits: takes(&there.sql_type, column.kind) })
        };
        let lower = |kind| type_name(kind).to_lowercase();
        let missing = missing_columns(self.layout, &self.label(), find, lower)?;
        let added = |column: &&TableColumn| {
            format!(
                "ALTER TABLE {} ADD COLUMN {} {}",
                self.quoted(),
                quote(column.name),
                type_name(column.kind)
            )
        };
        Ok(missing.iter().map(added).collect())
    }

    /// Returns the statements that make a transaction's own table, and keep others out of the events' one:
    /// with snapshots, two transactions would not see what the other one adds.
    pub fn opening(&self) -> String {
        format!("BEGIN; LOCK TABLE {}; CREATE TEMP TABLE {STAGING} ({})", self.quoted(), self.definitions())
    }

    /// Returns the statements that make a transaction's own table alone.
    pub fn staging(&self) -> String {
        format!("BEGIN; CREATE TEMP TABLE {STAGING} ({})", self.definitions())
    }

    /// Returns the statement that reads a staged file.
    ///
    /// Source: Amazon Redshift Database Developer Guide, `COPY`, "Data format parameters", "Authorization
    /// parameters", "Data conversion parameters".
    pub fn copy(&self, file: &str, role: Option<&str>, region: &str) -> String {
        let role = role.map_or_else(|| "default".to_owned(), literal);
        let region = literal(region);
        format!(
            "COPY {STAGING} FROM {} IAM_ROLE {role} REGION {region} FORMAT AS JSON 'auto' GZIP TIMEFORMAT 'auto' DATEFORMAT 'auto'",
            literal(file)
        )
    }

    /// Returns the statement that adds the staged events which are not there yet, each id once.
    pub fn merge(&self) -> String {
        let columns = self.layout.columns().iter().map(|column| quote(column.name)).collect::<Vec<_>>();
        let columns = columns.join(", ");
        format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id \
             ORDER BY event_timestamp) AS tidegate_number FROM {STAGING}) AS tidegate_new WHERE tidegate_number = 1 \
             AND NOT EXISTS (SELECT 1 FROM {table} AS tidegate_there WHERE tidegate_there.event_id = tidegate_new.event_id)",
            table = self.quoted()
        )
    }

    /// Returns the statements that end the transaction.
    pub fn ending(&self) -> String {
        format!("DROP TABLE {STAGING}; COMMIT")
    }
}

fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "VARCHAR(65535)",
        ColumnType::Int => "BIGINT",
        ColumnType::Bool => "BOOLEAN",
        ColumnType::Timestamp => "TIMESTAMPTZ",
        ColumnType::Date => "DATE",
    }
}

/// Returns whether a column of the type `found` keeps every value whole.
fn takes(found: &SqlType, kind: ColumnType) -> bool {
    match kind {
        ColumnType::Text => match found {
            SqlType::Varchar(length) => length.is_none_or(|length| length as usize >= TEXT_BYTES_MAX),
            _ => false,
        },
        ColumnType::Int => *found == SqlType::Integer("bigint"),
        ColumnType::Bool => *found == SqlType::Boolean,
        ColumnType::Timestamp => *found == SqlType::TimestampTz,
        ColumnType::Date => *found == SqlType::Date,
    }
}
