//! The settings of a Delta table.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Layout, SinkTarget};
use tidegate_transport::settings::UpToAnHour;

use crate::settings::{CommitEvery, folder_of, part};

/// The table of an export.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeltaTarget {
    /// The folder of the table below the connection's `path`. Default: the name of the connection
    /// that the events come in through, and `_events`.
    pub(super) schema: Option<String>,
    /// The name of the table. Default: `message_events`, or `events` for other events.
    pub(super) table: Option<String>,
    /// Whether a table that is made here is partitioned by the day of its events (`event_date`).
    pub(super) partition_by_date: bool,
    /// How long events are gathered for one commit at most: 25,000 of them, or 6 MiB, do not wait.
    pub(super) commit_every: CommitEvery,
}

impl Default for DeltaTarget {
    fn default() -> DeltaTarget {
        DeltaTarget {
            schema: None,
            table: None,
            partition_by_date: true,
            commit_every: CommitEvery::default(),
        }
    }
}

impl DeltaTarget {
    /// The folder and the name of the table.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for names that cannot be folders.
    pub(super) fn names(&self, target: &SinkTarget) -> Result<(String, String), Error> {
        let schema = self.schema.clone().unwrap_or_else(|| folder_of(target.stream.as_str()));
        let table = self.table.clone().unwrap_or_else(|| table_of(target.layout).to_owned());
        part("schema", &schema)?;
        part("table", &table)?;
        Ok((schema, table))
    }
}

/// The table that is read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeltaSelection {
    /// The folder of the table below the connection's `path`, for example `sales/orders`; `.` is that
    /// folder itself.
    #[schemars(extend("examples" = ["sales/orders"]))]
    pub(super) path: String,
    /// The version of the table, with `mode: full` and `mode: mirror`. Default: the newest one.
    pub(super) version: Option<u64>,
    /// With `mode: stream`, how long between two looks for new versions. Default: `20s`.
    #[serde(default)]
    pub(super) poll_every: UpToAnHour<20>,
    /// The columns that name a row.
    #[schemars(skip)]
    pub(super) key: Option<Vec<String>>,
}

impl DeltaSelection {
    /// Returns the folders that lead to the table.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a path that leaves the connection's folder.
    pub(super) fn folders(&self) -> Result<Vec<&str>, Error> {
        let parts: Vec<&str> = self.path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if self.path.is_empty() || self.path.starts_with('/') || parts.contains(&"..") {
            return Err(Error::settings(
                "`path`: expected the folder of a table below the connection's folder",
            )
            .hint("for example sales/orders, or . for the connection's own folder"));
        }
        Ok(parts)
    }
}

/// The usual name of a table of this layout.
///
/// Source: OneSignal docs, Databricks integration: the table is `message_events`.
pub(crate) fn table_of(layout: Layout) -> &'static str {
    match layout {
        Layout::Messages => "message_events",
        Layout::Events => "events",
    }
}
