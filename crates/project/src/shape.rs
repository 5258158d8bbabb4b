//! The keys of a project file with their help: what editors are told, and what
//! the file is read by.

use std::borrow::Cow;
use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value as Member};
use tidegate_model::event::KindPattern;
use tidegate_model::settings::schema_of;
use tidegate_model::{
    ConnectionId, Connector, ContractRole, Layout, MappingSpec, Mode, ObjectKind, Secret, SyncId,
};

use super::schedule::Schedule;
use super::spec::{Changed, Compare, InDoubt, Removed, State};
use serde_json::json;

/// A project: connections and syncs between them.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Project {
    /// The time zone of schedules, an IANA name. Default: `UTC`.
    #[schemars(extend("format" = "time-zone"))]
    time_zone: Option<String>,
    /// Addresses from which this installation connects to other systems, each one an IP address or a network such as
    /// `203.0.113.0/29`. `tidegate setup` shows them, for allow lists.
    egress: Option<Vec<String>>,
    /// How long data of rows and events is kept.
    retention: Option<Retention>,
    /// Messages about syncs that need attention.
    alerts: Option<Alerts>,
    /// Jobs of dbt that run syncs.
    dbt: Option<Dbt>,
    /// Accounts at outside systems, by name.
    connections: Option<IndexMap<ConnectionId, Connection>>,
    /// Imports and exports, by name.
    syncs: Option<IndexMap<SyncId, Sync>>,
}

/// How long data of rows and events is kept, in days: `30d`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Retention {
    /// The status of every row. Default: `90d`.
    #[schemars(extend("format" = "days"))]
    history: Option<String>,
    /// The contents of a failed row, counted from the day on which it failed last. The row stays listed
    /// with its key, its user and its reason. Default: until it is delivered or dismissed.
    #[schemars(extend("format" = "days"))]
    failed_rows: Option<String>,
    /// Events that came in; longer until every export has read them. Default: `90d`.
    #[schemars(extend("format" = "days"))]
    events: Option<String>,
    /// Keys of delivered rows, for `changed: ignore`, by the time in the row's cursor: a row that changes
    /// later is sent again. Default: until the sync is reset.
    #[schemars(extend("format" = "days"))]
    keys: Option<String>,
}

/// Messages about syncs that need attention: one when a sync begins to need it, and one when it has
/// recovered. Syncs that fail or that Tidegate paused, and rows in doubt, always open an alert.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Alerts {
    /// Where messages go, by name.
    channels: Option<IndexMap<String, Channel>>,
    /// The share of rejected rows of a run that opens an alert, with two rows at least. Default: `10%`.
    #[schemars(extend("format" = "percent"))]
    rejected: Option<String>,
    /// The longest time without a completed run. Default: no limit.
    #[schemars(extend("format" = "age"))]
    stale: Option<String>,
    /// The longest time without a new row. Default: no limit.
    #[schemars(extend("format" = "age"))]
    no_rows: Option<String>,
    /// The longest time that a message of a topic, or an event, may wait. Default: no limit.
    #[schemars(extend("format" = "age"))]
    lag: Option<String>,
    /// The address of the dashboard, for links in messages. Default: no links.
    #[schemars(extend("format" = "url"))]
    dashboard: Option<String>,
}

/// Jobs of dbt that run syncs: the `dbt` of each sync names them.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Dbt {
    /// The secret with which dbt signs its webhook to `/hooks/dbt`.
    webhook_secret: Secret,
}

/// What a sync has to do with dbt.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct SyncDbt {
    /// The ids of jobs of dbt: when one of them has succeeded, the sync runs.
    jobs: Option<Vec<u64>>,
    /// The models that the sync reads, for `tidegate exposures`. Default: the name of its table.
    models: Option<Vec<String>>,
}

/// Where messages about syncs go.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Channel {
    /// How it is reached: `email`, `webhook`, `slack`, `pagerduty` or `alertmanager`.
    r#type: String,
    /// The settings of that type.
    #[serde(flatten)]
    settings: Map<String, Member>,
}

/// The alerts of one sync, and their channels. They override `alerts` of the project.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct SyncAlerts {
    /// The channels. Default: all. An empty list means none but `contacts`.
    channels: Option<Vec<String>>,
    /// The share of rejected rows of a run that opens an alert.
    #[schemars(extend("format" = "percent"))]
    rejected: Option<String>,
    /// The longest time without a completed run; `0s` switches the alert off.
    #[schemars(extend("format" = "age"))]
    stale: Option<String>,
    /// The longest time without a new row; `0s` switches the alert off.
    #[schemars(extend("format" = "age"))]
    no_rows: Option<String>,
    /// The longest time that a message of a topic, or an event, may wait; `0s` switches the alert off.
    #[schemars(extend("format" = "age"))]
    lag: Option<String>,
}

/// An account at an outside system. Shared by syncs.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Connection {
    /// Which system: one of `tidegate connectors`.
    r#type: String,
    /// The settings of that system.
    #[serde(flatten)]
    settings: Map<String, Member>,
}

/// An import (rows to a platform) or an export (events to a table, topic, stream
/// or files). The connection of the source decides which of the two it is.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Sync {
    /// The data to read.
    source: Source,
    /// Import: how the rows to send are found. Required for tables and queries,
    /// unless `cursor` or `contract` implies it. Files: `incremental`, by position.
    /// Topics: `stream`.
    mode: Option<Mode>,
    /// Import: the column by which new rows are found. Implies `mode: incremental`.
    cursor: Option<String>,
    /// Import: how far before the checkpoint late rows are looked for; a whole number
    /// if the cursor is one. Default: `10m`, or `10000`.
    lookback: Option<LookbackForm>,
    /// Import: the columns that identify a row. Default: the primary key of the table. `mode: mirror`
    /// needs one.
    primary_key: Option<NameOrNames>,
    /// Import: what happens to a row that was delivered and whose mapped columns
    /// changed since. Default: `ignore` for events and purchases that have a primary key, and
    /// a `cursor` or `mode: mirror`; else `send`.
    changed: Option<Changed>,
    /// Import: what happens to a row that the source no longer has, with `mode: mirror`. Default:
    /// `ignore`.
    removed: Option<Removed>,
    /// Import: where `mode: mirror` compares: `ours` here, or `source` in the database or warehouse
    /// of the source. Default: `ours`.
    state: Option<State>,
    /// Import: what `mode: mirror` reads of a row that is as it was: the row, or its primary key and a hash of
    /// it (tables of databases and warehouses). Default: `auto`, by what the last runs have read.
    compare: Option<Compare>,
    /// Where rows or events are sent.
    destination: Destination,
    /// Import: how a row becomes a record.
    mapping: Option<MappingSpec>,
    /// Import: a fixed layout of the table instead of `mapping` and `cursor`.
    contract: Option<String>,
    /// Import: what happens to a row that cannot be sent twice safely and whose
    /// response was lost: `hold` lists it for a person to decide, `resend` sends it again.
    /// Default: `hold`.
    in_doubt: Option<InDoubt>,
    /// Import: what is sent for a member that a line, a message or a JSON column lacks, and for a
    /// column that a file lacks: nothing, or null as if it were written. Default: `skip`.
    absent: Option<AbsentForm>,
    /// Import: how many rows one run may change or remove. A run beyond it sends nothing, until
    /// `run --yes` or a higher limit allows it.
    limits: Option<Limits>,
    /// When `tidegate serve` runs it: `continuous`, `{ every: 15m }` or
    /// `{ cron: "0 6 * * *" }`. Default: exports and topics `continuous`; others only
    /// by `tidegate run`.
    schedule: Option<Schedule>,
    /// How long an unreachable platform or sink is tried before the run gives up. Default: `2m`. A database
    /// that is unreachable ends the run at once.
    #[schemars(extend("format" = "time-span"))]
    retry_for: Option<String>,
    /// `false` makes the sync a draft: `serve` and `run --all` skip it. Default: `true`.
    enabled: Option<bool>,
    /// People to ask about the sync. Those that are e-mail addresses also get its alerts, if there is a
    /// channel of the type `email`.
    contacts: Option<Vec<String>>,
    /// Its alerts, and their channels. Default: as under `alerts` of the project.
    alerts: Option<SyncAlerts>,
    /// Jobs of dbt that run it, and the models that it reads.
    dbt: Option<SyncDbt>,
    /// Labels of your own, by name.
    labels: Option<BTreeMap<String, String>>,
}

/// The data to read. Besides these keys, the keys of the connection's type: `table`, `query`, `path` …
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Source {
    /// The connection.
    connection: ConnectionId,
    /// Import: the time zone of values that have none, an IANA name. Default: `UTC`.
    #[schemars(extend("format" = "time-zone"))]
    time_zone: Option<String>,
    /// Export: kinds of event; `*` stands for any text. Default: all.
    kinds: Option<Vec<KindPattern>>,
    /// Export: app ids. Default: all.
    apps: Option<Vec<String>>,
    /// Export: message ids. Default: all.
    messages: Option<Vec<String>>,
    /// Export: template ids. Default: all.
    templates: Option<Vec<String>>,
    /// What the connection offers.
    #[serde(flatten)]
    selection: Map<String, Member>,
}

/// Where rows or events are sent. Besides these keys, the keys of the connection's type: `catalog`, `table`,
/// `topic` …
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Destination {
    /// The connection.
    connection: ConnectionId,
    /// Import, required: the object that rows become. It cannot change once the sync has run.
    object: Option<ObjectKind>,
    /// Export: the columns of a table, `messages` or `events`. Default: the one for
    /// the connection through which the events come in.
    layout: Option<Layout>,
    /// What the connection offers.
    #[serde(flatten)]
    target: Map<String, Member>,
}

/// How many rows one run may change or remove, as a number or a share such as `10%` of the rows that
/// are known. With `object: deletion`, `removed` is a number.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Limits {
    /// Rows that are gone, with `removed: delete` or `update` (default: `10%`, and never all of them);
    /// with `object: deletion`, rows that are sent.
    removed: Option<CountOrShare>,
    /// Rows that changed, with `mode: mirror`.
    changed: Option<CountOrShare>,
    /// Rows that the first run sends, with `mode: mirror`: a number.
    first_run: Option<CountOrShare>,
}

/// A name, or a list of them.
struct NameOrNames;
/// A duration, or a whole number.
struct LookbackForm;
/// A number of rows, or a share.
struct CountOrShare;
/// The words `skip` and `null`; the second without quotes is no text for YAML.
struct AbsentForm;

/// Gives a type a schema that is written by hand.
macro_rules! form {
    ($type:ident, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

form!(NameOrNames, {
    "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }]
});
form!(LookbackForm, {
    "examples": ["10m"],
    "anyOf": [{ "type": "string", "format": "time-span" }, { "type": "integer", "minimum": 0 }]
});
form!(CountOrShare, {
    "examples": ["10%"],
    "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "format": "percent" }]
});
form!(AbsentForm, { "type": ["string", "null"], "enum": ["skip", "null", null] });

/// Returns the schema of a project with these connectors.
pub(super) fn schema(connectors: &[Connector]) -> Member {
    let mut schema = json!(schema_of::<Project>());
    let names: Vec<&str> = contracts(connectors).map(|contract| contract.name).collect();
    if let Some(contract) = schema.pointer_mut("/$defs/Sync/properties/contract") {
        contract["enum"] = json!(names);
        contract["type"] = json!("string");
    }
    schema
}

/// The contracts that these connectors know.
pub(super) fn contracts(connectors: &[Connector]) -> impl Iterator<Item = &'static ContractRole> {
    connectors.iter().flat_map(|connector| connector.contracts)
}
