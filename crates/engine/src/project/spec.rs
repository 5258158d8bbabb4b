//! The shape of a project file.

use std::borrow::Cow;
use std::time::Duration;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Member};
use tidegate_model::event::KindPattern;
use tidegate_model::{ConnectionId, EventSelection, Layout, MappingSpec, ObjectKind, Overlap, SyncId};

/// Everything one project says.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Project {
    /// Accounts at outside systems, by name.
    pub connections: IndexMap<ConnectionId, ConnectionSpec>,
    /// What moves from where to where, by name.
    pub syncs: IndexMap<SyncId, SyncSpec>,
}

/// A project whose syncs are still to be told apart.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    #[serde(deserialize_with = "given")]
    pub(super) connections: IndexMap<ConnectionId, ConnectionSpec>,
    #[serde(deserialize_with = "given")]
    pub(super) syncs: IndexMap<SyncId, Member>,
}

/// What moves from where to where.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum SyncSpec {
    /// Rows of a source become objects of a platform.
    Import(Box<ImportSpec>),
    /// Events of a stream go to a sink.
    Export(Box<ExportSpec>),
}

impl SyncSpec {
    /// The connection that is read from.
    pub fn from(&self) -> &ConnectionId {
        match self {
            SyncSpec::Import(import) => &import.from.connection,
            SyncSpec::Export(export) => &export.from.events,
        }
    }

    /// The connection that is delivered to.
    pub fn to(&self) -> &ConnectionId {
        match self {
            SyncSpec::Import(import) => &import.to.connection,
            SyncSpec::Export(export) => &export.to.connection,
        }
    }

    /// When `tidegate serve` runs it.
    pub fn schedule(&self) -> Option<Schedule> {
        match self {
            SyncSpec::Import(import) => import.schedule,
            SyncSpec::Export(export) => Some(export.schedule),
        }
    }

    /// The import, where it is one.
    pub fn as_import(&self) -> Option<&ImportSpec> {
        match self {
            SyncSpec::Import(import) => Some(import),
            SyncSpec::Export(_) => None,
        }
    }

    /// The export, where it is one.
    pub fn as_export(&self) -> Option<&ExportSpec> {
        match self {
            SyncSpec::Import(_) => None,
            SyncSpec::Export(export) => Some(export),
        }
    }
}

/// An account at an outside system. Shared by syncs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ConnectionSpec {
    /// Which system: one of `tidegate connectors`.
    pub kind: String,
    /// The settings of that system.
    #[serde(flatten)]
    #[schemars(with = "Map<String, Member>")]
    pub settings: Map<String, Member>,
}

/// One import: rows of a source become objects of a platform.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportSpec {
    /// Where rows are read.
    pub from: From,
    /// How new rows are found. Default: `full` for tables and queries; a
    /// folder of files keeps its own place.
    #[serde(default)]
    pub detect: Option<Detect>,
    /// The columns that name a row. Default: the primary key of the table.
    #[serde(default)]
    pub key: Option<Vec<String>>,
    /// The time zone of times that have none, an IANA name. Default: `UTC`.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Where records go.
    pub to: To,
    /// How a row becomes a record.
    #[serde(default)]
    pub map: Option<MappingSpec>,
    /// A fixed table contract instead of `map` and `detect`.
    #[serde(default)]
    pub contract: Option<Contract>,
    /// What happens to a row that cannot be repeated safely when its answer was
    /// lost: `hold` lists it and leaves it to a person, `resend` sends it again.
    #[serde(default)]
    pub in_doubt: InDoubt,
    /// When `tidegate serve` runs it: `continuous`, or `{ every: 15m }`. Default:
    /// only when asked for; topics are read continuously.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// How long an unreachable system is tried before the run gives up. Default: `2m`.
    #[serde(default = "two_minutes", deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub retry_for: Duration,
}

/// One export: events of a stream go to a sink.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportSpec {
    /// Which events.
    pub from: FromEvents,
    /// Where events go.
    pub to: ToSink,
    /// When `tidegate serve` runs it: `continuous`, or `{ every: 15m }`. Default: `continuous`.
    #[serde(default)]
    pub schedule: Schedule,
    /// How long an unreachable system is tried before the run gives up. Default: `2m`.
    #[serde(default = "two_minutes", deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub retry_for: Duration,
}

/// Which events an export takes: those that fit every list that is given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromEvents {
    /// The connection that events come in through.
    pub events: ConnectionId,
    /// Kinds of event; `*` stands for any text. Default: all.
    #[serde(default)]
    pub kinds: Vec<KindPattern>,
    /// App ids. Default: all.
    #[serde(default)]
    pub apps: Vec<String>,
    /// Message ids. Default: all.
    #[serde(default)]
    pub messages: Vec<String>,
    /// Template ids. Default: all.
    #[serde(default)]
    pub templates: Vec<String>,
}

impl FromEvents {
    /// The lists.
    pub fn selection(&self) -> EventSelection {
        EventSelection {
            kinds: self.kinds.clone(),
            apps: self.apps.clone(),
            messages: self.messages.clone(),
            templates: self.templates.clone(),
        }
    }
}

/// Where events go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ToSink {
    /// The connection.
    pub connection: ConnectionId,
    /// The columns of a table: `messages` or `events`. Default: what fits the
    /// connection that events come in through.
    #[serde(default)]
    pub layout: Option<Layout>,
    /// The sink's own settings of an export: `table`, `stream`, `path` …
    #[serde(flatten)]
    #[schemars(with = "Map<String, Member>")]
    pub target: Map<String, Member>,
}

/// When `tidegate serve` runs a sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// `continuous`: all the time.
    #[default]
    Continuous,
    /// `{ every: 15m }`: that long after the last run began.
    Every(Duration),
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Schedule, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Every {
            #[serde(deserialize_with = "duration")]
            every: Duration,
        }
        let member = Member::deserialize(deserializer)?;
        if let Member::String(word) = &member {
            return match word.as_str() {
                "continuous" => Ok(Schedule::Continuous),
                other => Err(serde::de::Error::custom(format!(
                    "unknown schedule `{other}`, expected `continuous` or `{{ every: 15m }}`"
                ))),
            };
        }
        let Every { every } = serde_json::from_value(member).map_err(serde::de::Error::custom)?;
        if every < Duration::from_secs(1) {
            return Err(serde::de::Error::custom(
                "`every` must be a second or more; `continuous` runs all the time",
            ));
        }
        Ok(Schedule::Every(every))
    }
}

impl JsonSchema for Schedule {
    fn schema_name() -> Cow<'static, str> {
        "Schedule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "When `tidegate serve` runs a sync.",
            "oneOf": [
                { "const": "continuous", "description": "All the time." },
                {
                    "type": "object",
                    "description": "That long after the last run began.",
                    "properties": { "every": { "type": "string", "examples": ["15m", "1h"] } },
                    "required": ["every"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// Where rows are read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct From {
    /// The connection.
    pub connection: ConnectionId,
    /// What is read there: `table`, `query`, `path` …
    #[serde(flatten)]
    #[schemars(with = "Map<String, Member>")]
    pub selection: Map<String, Member>,
}

/// Where records go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct To {
    /// The connection.
    pub connection: ConnectionId,
    /// What rows become. It cannot change once the sync ran.
    pub object: ObjectKind,
    /// The platform's own settings of a sync: `catalog`, `update_existing_only` …
    #[serde(flatten)]
    #[schemars(with = "Map<String, Member>")]
    pub target: Map<String, Member>,
}

/// How new rows are found.
#[derive(Clone, Debug, PartialEq)]
pub enum Detect {
    /// `full`: every row, every time.
    Full,
    /// `{ cursor: column, overlap: 10m }`: rows behind the last place, and
    /// those of the overlap that were not settled yet.
    Cursor {
        /// The column.
        cursor: String,
        /// How far back late rows are looked for.
        overlap: Option<Overlap>,
    },
}

/// A fixed table contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// The cloud-ingestion tables of Braze: `UPDATED_AT`, identifier columns,
    /// `PAYLOAD`, `DELETED`.
    BrazeCdi,
}

/// What happens to rows in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// Listed and left to a person: never sent twice.
    #[default]
    Hold,
    /// Sent again: never lost, possibly twice.
    Resend,
}

impl<'de> Deserialize<'de> for Detect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Detect, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Cursor {
            cursor: String,
            #[serde(default)]
            overlap: Option<Member>,
        }
        let member = Member::deserialize(deserializer)?;
        if let Member::String(word) = &member {
            return match word.as_str() {
                "full" => Ok(Detect::Full),
                other => Err(serde::de::Error::custom(format!(
                    "unknown way to detect changes `{other}`, expected `full` or `{{ cursor: column, overlap: 10m }}`"
                ))),
            };
        }
        let Cursor { cursor, overlap } = serde_json::from_value(member).map_err(serde::de::Error::custom)?;
        let overlap = match overlap {
            None => None,
            Some(Member::Number(units)) => Some(Overlap::Units(units.as_u64().ok_or_else(|| {
                serde::de::Error::custom("`overlap` must be a whole number or a duration such as `10m`")
            })?)),
            Some(Member::String(text)) => {
                Some(Overlap::Time(parse_duration(&text).map_err(serde::de::Error::custom)?))
            }
            Some(_) => {
                return Err(serde::de::Error::custom(
                    "`overlap` must be a duration such as `10m` or a number",
                ));
            }
        };
        Ok(Detect::Cursor { cursor, overlap })
    }
}

impl JsonSchema for Detect {
    fn schema_name() -> Cow<'static, str> {
        "Detect".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "How new rows are found.",
            "oneOf": [
                { "const": "full", "description": "Every row, every time." },
                {
                    "type": "object",
                    "description": "Rows behind the last place, and those of the overlap that were not settled yet.",
                    "properties": {
                        "cursor": { "type": "string", "description": "The column." },
                        "overlap": {
                            "description": "How far back late rows are looked for: `10m`, or a number where the cursor is one.",
                            "anyOf": [{ "type": "string" }, { "type": "integer", "minimum": 0 }]
                        }
                    },
                    "required": ["cursor"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// A key without a value, as in a file whose entries are all commented out, gives none.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn utc() -> String {
    "UTC".to_owned()
}

fn two_minutes() -> Duration {
    Duration::from_secs(120)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// Reads `90s`, `10m`, `1h 30m` and ISO 8601 durations.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write for example `90s`, `10m` or `1h 30m`");
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}
