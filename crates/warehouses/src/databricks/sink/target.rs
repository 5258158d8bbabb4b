//! What a person types in under `destination`.

use std::time::Duration;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// The table that an export writes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DatabricksTarget {
    /// Catalog of the table. Default: the one of the connection.
    pub catalog: Option<String>,
    /// Schema of the table, made where it is missing. Default: the name of the
    /// stream and `_events`, for example `onesignal_events`.
    pub schema: Option<String>,
    /// Name of the table, made where it is missing. Default: `message_events`
    /// for message events, `events` for others.
    pub table: Option<String>,
    /// Volume of the schema that files are staged in, made where it is missing.
    /// Default: `tidegate_staging`.
    pub volume: Option<String>,
    /// Whether a table that is made here is partitioned by the day of its events
    /// (`event_date`). Otherwise it is clustered by it, which suits most tables better.
    pub partition_by_date: bool,
    /// How long events are gathered for one merge at most: 25,000 of them, or 6 MiB, do not wait.
    /// Each merge keeps the warehouse up.
    pub commit_every: CommitEvery,
}

/// How long events are gathered: `1m`, `15m`, or a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitEvery(pub Duration);

const LONGEST: Duration = Duration::from_secs(3600);

impl Default for CommitEvery {
    fn default() -> CommitEvery {
        CommitEvery(Duration::from_secs(60))
    }
}

impl<'de> Deserialize<'de> for CommitEvery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CommitEvery, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a length of time such as `15m` or a number of seconds")]
        enum Written {
            Seconds(u32),
            Text(String),
        }
        let length = match Written::deserialize(deserializer)? {
            Written::Seconds(seconds) => Some(Duration::from_secs(seconds.into())),
            Written::Text(text) => {
                text.parse::<SignedDuration>().ok().and_then(|length| Duration::try_from(length).ok())
            }
        };
        let fits = length.filter(|length| *length <= LONGEST);
        fits.map(CommitEvery).ok_or_else(|| {
            serde::de::Error::custom("expected a length of time up to an hour, for example `15m`")
        })
    }
}

impl JsonSchema for CommitEvery {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CommitEvery".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time up to an hour: `1m`, `15m`, or a number of seconds.",
            "type": ["string", "integer"],
        })
    }
}
