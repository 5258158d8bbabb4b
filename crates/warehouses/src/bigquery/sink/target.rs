//! The settings of an export.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_transport::settings::UpToAnHour;

/// Where events are written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BigQueryTarget {
    /// The table's project. By default that of the connection.
    #[schemars(extend("examples" = ["shop-analytics"]))]
    pub project: Option<String>,
    /// The table's dataset, made if it is missing, where the connection's `location` says. By default the
    /// stream's name and `_events`.
    #[schemars(extend("examples" = ["onesignal_events"]))]
    pub dataset: Option<String>,
    /// The table, made if it is missing. By default `message_events` for message events, `events` for
    /// others.
    #[schemars(extend("examples" = ["message_events"]))]
    pub table: Option<String>,
    /// Whether a table that is made here is partitioned by the day of its events (`event_date`): a merge
    /// then reads the days of its events alone.
    pub partition_by_date: bool,
    /// How long events are gathered for one load job and one merge, up to an hour: 50,000 of them, or
    /// 12 MiB, do not wait.
    pub commit_every: UpToAnHour<300>,
}

impl Default for BigQueryTarget {
    fn default() -> BigQueryTarget {
        BigQueryTarget {
            project: None,
            dataset: None,
            table: None,
            partition_by_date: true,
            commit_every: UpToAnHour::default(),
        }
    }
}
