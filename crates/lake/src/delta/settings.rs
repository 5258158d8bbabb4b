//! The settings of a Delta table.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Layout, SinkTarget};

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

/// The usual name of a table of this layout.
///
/// Source: OneSignal docs, Databricks integration: the table is `message_events`.
pub(crate) fn table_of(layout: Layout) -> &'static str {
    match layout {
        Layout::Messages => "message_events",
        Layout::Events => "events",
    }
}
