//! The settings of an export.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_transport::settings::UpToAnHour;

/// Where events are written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SnowflakeTarget {
    /// The table's database. By default that of the connection.
    #[schemars(extend("examples" = ["ENGAGEMENT"]))]
    pub database: Option<String>,
    /// The table's schema, made if it is missing. By default the stream's name and `_EVENTS`.
    #[schemars(extend("examples" = ["ONESIGNAL_EVENTS"]))]
    pub schema: Option<String>,
    /// The table, made if it is missing. By default `MESSAGE_EVENTS` for message events, `EVENTS` for
    /// others.
    #[schemars(extend("examples" = ["MESSAGE_EVENTS"]))]
    pub table: Option<String>,
    /// How long events are gathered for one merge, up to an hour. Each merge keeps the warehouse up.
    pub commit_every: UpToAnHour<60>,
}
