//! What a person types in under `destination`.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_transport::settings::UpToAnHour;

use super::optimize::Optimize;

/// The table that an export writes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DatabricksTarget {
    /// Catalog of the table. Default: the one of the connection.
    pub catalog: Option<String>,
    /// Schema of the table, made if it is missing. Default: the name of the
    /// stream and `_events`, for example `onesignal_events`.
    pub schema: Option<String>,
    /// Name of the table, made if it is missing. Default: `message_events`
    /// for message events, `events` for others.
    pub table: Option<String>,
    /// Volume of the schema that files are staged in, made if it is missing.
    /// Default: `tidegate_staging`.
    pub volume: Option<String>,
    /// Whether a table that is made here is partitioned by the day of its events
    /// (`event_date`). Otherwise it is clustered by it, which suits most tables better.
    pub partition_by_date: bool,
    /// How often `OPTIMIZE` compacts the small files that merges leave: `never`, `hourly`, `daily` or
    /// `weekly`, counted from the last time that it ran, whoever ran it. Managed tables with predictive
    /// optimization need it `never`.
    pub optimize: Optimize,
    /// How long events are gathered for one merge at most: 25,000 of them, or 6 MiB, do not wait.
    /// Each merge keeps the warehouse up.
    pub commit_every: UpToAnHour<60>,
}
