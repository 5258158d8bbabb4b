//! The table that events are merged into, and those that they are loaded into before. Pure: nothing here is
//! sent.

use serde_json::{Value, json};
use tidegate_model::event::table::PARTITION_COLUMN;
use tidegate_model::event::{ColumnType, TableColumn};
use tidegate_model::{Error, Layout, LoggedEvent, SinkTarget};
use tidegate_transport::arrow::events::Day;
use tidegate_transport::sql::events::{FoundColumn, missing_columns, named};
use tidegate_transport::sql::relation::Naming as _;
use uuid::Uuid;

use super::target::BigQueryTarget;
use crate::bigquery::relation::{Names, is_name, quote};
use crate::bigquery::settings::BigQuerySettings;
use crate::bigquery::types::{Field, Kind};

/// The beginning of the names of tables that events are loaded into.
const STAGING: &str = "tidegate_staging_";

/// Where events go, and what brings them there.
#[derive(Clone, Debug)]
pub struct EventTable {
    /// Its project, dataset and name.
    pub names: [String; 3],
    /// Its columns.
    pub layout: Layout,
    partition_by_date: bool,
    /// The beginning of the names of this sync's staging tables.
    staging: String,
}

impl EventTable {
    /// Returns the table of a target.
    ///
    /// # Errors
    /// A name that BigQuery does not take.
    pub fn new(
        written: &BigQueryTarget,
        target: &SinkTarget,
        settings: &BigQuerySettings,
    ) -> Result<EventTable, Error> {
        let project = written.project.clone().unwrap_or_else(|| settings.project.clone());
        let [dataset, table] = named(written.dataset.as_ref(), written.table.as_ref(), target);
        for (setting, name) in [("project", &project), ("dataset", &dataset), ("table", &table)] {
            if !is_name(name) || (setting != "project" && name.contains('.')) {
                return Err(Error::settings(format!("`{setting}`: expected one name, without `.`"))
                    .hint("project, dataset and table have a setting each"));
            }
        }
        Ok(EventTable {
            names: [project, dataset, table],
            layout: target.layout,
            partition_by_date: written.partition_by_date,
            staging: format!("{STAGING}{}_", target.sync.as_str()),
        })
    }

    /// Returns its name in messages.
    pub fn label(&self) -> String {
        Names::label(&self.names)
    }

    /// Returns the name of a new staging table.
    pub fn new_staging(&self) -> [String; 3] {
        let [project, dataset, _] = self.names.clone();
        [project, dataset, format!("{}{}", self.staging, Uuid::new_v4().simple())]
    }

    /// Returns whether a table of the dataset is a staging table of this sync.
    pub fn is_staging(&self, table: &str) -> bool {
        let id = table.strip_prefix(&self.staging);
        id.is_some_and(|id| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
    }

    /// Returns what makes the table.
    pub fn creation(&self) -> Value {
        let mut table = self.described(&self.names);
        if self.partition_by_date {
            table["timePartitioning"] = json!({ "type": "DAY", "field": PARTITION_COLUMN });
        }
        table
    }

    /// Returns what makes a staging table.
    pub fn staging_creation(&self, names: &[String; 3]) -> Value {
        self.described(names)
    }

    fn described(&self, [project, dataset, table]: &[String; 3]) -> Value {
        let fields = self.layout.columns().iter().map(|column| {
            let mode = if column.nullable { "NULLABLE" } else { "REQUIRED" };
            json!({ "name": column.name, "type": type_name(column.kind), "mode": mode })
        });
        json!({
            "tableReference": { "projectId": project, "datasetId": dataset, "tableId": table },
            "schema": { "fields": fields.collect::<Vec<_>>() },
        })
    }

    /// Returns the statement that adds the columns which the table lacks; `None` if it has them all.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a column that does not keep the values.
    pub fn widening(&self, found: &[Field]) -> Result<Option<String>, Error> {
        let find = |column: &TableColumn| {
            let there = found.iter().find(|there| there.name.eq_ignore_ascii_case(column.name))?;
            let (name, type_name) = (there.name.clone(), there.to_string());
            Some(FoundColumn { name, type_name, fits: takes(there, column) })
        };
        let missing = missing_columns(self.layout, &self.label(), find, type_name)?;
        let added = |column: &&TableColumn| {
            format!("ADD COLUMN IF NOT EXISTS {} {}", quote(column.name), type_name(column.kind))
        };
        let added: Vec<String> = missing.iter().map(added).collect();
        let table = Names::quoted(&self.names);
        Ok((!added.is_empty()).then(|| format!("ALTER TABLE {table} {}", added.join(", "))))
    }

    /// Returns the statement that adds the rows of a staging table which are not there yet. Of the table, only
    /// the days of the events are read.
    pub fn merge(&self, staging: &[String; 3], items: &[LoggedEvent]) -> String {
        let days = items.iter().map(|item| Day::of(item.event.at));
        let (first, last) = (days.clone().min(), days.max());
        let day = |day: Option<Day>| format!("DATE '{}'", day.unwrap_or(Day(0)).date());
        self.merge_of(&Names::quoted(staging), &day(first), &day(last))
    }

    /// Returns a merge of no rows, which needs the same permissions.
    pub fn merge_of_nothing(&self) -> String {
        let rows = format!("(SELECT * FROM {} WHERE FALSE)", Names::quoted(&self.names));
        let day = "DATE '1970-01-01'";
        self.merge_of(&rows, day, day)
    }

    fn merge_of(&self, rows: &str, first: &str, last: &str) -> String {
        let day = format!("tidegate_there.{}", quote(PARTITION_COLUMN));
        format!(
            "MERGE INTO {} AS tidegate_there USING {rows} AS tidegate_new \
             ON tidegate_there.`event_id` = tidegate_new.`event_id` \
             AND ({day} BETWEEN {first} AND {last} OR {day} IS NULL) \
             WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            Names::quoted(&self.names),
            self.list(""),
            self.list("tidegate_new.")
        )
    }

    fn list(&self, of: &str) -> String {
        let columns = self.layout.columns().iter();
        columns.map(|column| format!("{of}{}", quote(column.name))).collect::<Vec<_>>().join(", ")
    }
}

fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "STRING",
        ColumnType::Int => "INT64",
        ColumnType::Bool => "BOOL",
        ColumnType::Timestamp => "TIMESTAMP",
        ColumnType::Date => "DATE",
    }
}

/// Returns whether a column keeps every value.
fn takes(found: &Field, column: &TableColumn) -> bool {
    let fits = match column.kind {
        ColumnType::Text => found.kind == Kind::Text,
        ColumnType::Int => found.kind == Kind::Int64,
        ColumnType::Bool => found.kind == Kind::Bool,
        ColumnType::Timestamp => found.kind == Kind::Timestamp,
        ColumnType::Date => found.kind == Kind::Date,
    };
    fits && !found.is_repeated
}

#[cfg(test)]
mod tests {
    use tidegate_model::{Settings, StreamId, SyncId};
    use tidegate_testkit::http::raw;

    use super::*;

    fn table(sync: &str) -> EventTable {
        let settings = raw(json!({ "project": "shop-1" })).parse().unwrap();
        let target = SinkTarget {
            sync: SyncId::new(sync),
            stream: StreamId::new("push"),
            layout: Layout::Events,
            settings: Settings::default(),
        };
        EventTable::new(&BigQueryTarget::default(), &target, &settings).unwrap()
    }

    #[test]
    fn staging_tables_of_another_sync_are_not_ours() {
        let (ours, longer) = (table("orders"), table("orders_2"));
        assert_eq!(ours.label(), "shop-1.push_events.events");
        assert!(ours.is_staging(&ours.new_staging()[2]));
        assert!(!ours.is_staging(&longer.new_staging()[2]));
        assert!(!ours.is_staging("events") && !ours.is_staging("tidegate_staging_orders_"));
    }

    #[test]
    fn a_merge_reads_the_days_of_its_events_alone() {
        let statement = table("orders").merge(&["p", "d", "s"].map(str::to_owned), &[]);
        assert!(statement.contains(
            "ON tidegate_there.`event_id` = tidegate_new.`event_id` AND (tidegate_there.`event_date` \
             BETWEEN DATE '1970-01-01' AND DATE '1970-01-01' OR tidegate_there.`event_date` IS NULL)"
        ));
    }
}
