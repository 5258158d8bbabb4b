//! The content of a project file.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_model::mapping::Absent;
use tidegate_model::{
    ConnectionId, ContractRole, Error, EventSelection, Layout, Lookback, MappingSpec, Mode, ObjectKind,
    Settings, SyncId,
};

use super::findings::Finding;
use super::limits::Limits;
use super::references::{Variable, Written};
use super::schedule::Schedule;

/// The content of one project file.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// Accounts at outside systems, by name.
    pub connections: IndexMap<ConnectionId, ConnectionSpec>,
    /// Imports and exports, by name.
    pub syncs: IndexMap<SyncId, SyncSpec>,
    /// Notes that are not errors.
    pub notes: Vec<Finding>,
    /// How long what is known of rows and events is kept.
    pub retention: Retention,
    /// How people hear of syncs that need them.
    pub alerts: Alerts,
    /// The webhook of dbt, if the project has one.
    pub dbt: Option<Dbt>,
    /// The addresses and networks from which this installation connects to other systems.
    pub egress: Vec<String>,
}

/// How people hear of syncs that need them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alerts {
    /// Where messages go, by name.
    pub channels: IndexMap<String, ChannelSpec>,
    /// The address of the dashboard, without a slash at its end.
    pub dashboard: Option<String>,
    /// What is told of every sync that does not say otherwise.
    pub rules: AlertRules,
}

/// The webhook of dbt.
#[derive(Clone, Debug, PartialEq)]
pub struct Dbt {
    /// Its settings: `webhook_secret`.
    pub settings: Written,
}

/// What a sync has to do with dbt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DbtUse {
    /// The ids of the jobs that run it.
    pub jobs: Vec<u64>,
    /// The models that it reads, if the file says so.
    pub models: Vec<String>,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelSpec {
    /// How it is reached.
    pub kind: String,
    /// The settings of that type.
    pub settings: Written,
}

/// What is told of a sync. What is `None` is said elsewhere, or not watched.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AlertRules {
    /// Percent of the rows of a run from which on rejected rows are told.
    pub rejected: Option<f64>,
    /// How long a sync may take without a run that came to its end; zero switches it off.
    pub stale: Option<Duration>,
    /// How long a sync may read no row; zero switches it off.
    pub no_rows: Option<Duration>,
    /// How long what came in may wait; zero switches it off.
    pub lag: Option<Duration>,
}

impl AlertRules {
    /// Returns these rules, and those of `other` for what they do not say.
    #[must_use]
    pub fn or(self, other: AlertRules) -> AlertRules {
        AlertRules {
            rejected: self.rejected.or(other.rejected),
            stale: self.stale.or(other.stale),
            no_rows: self.no_rows.or(other.no_rows),
            lag: self.lag.or(other.lag),
        }
    }
}

/// How long what is known of rows and events is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Days that the status of every row is kept, if the file says so.
    pub history_days: Option<u32>,
    /// Days that the contents of failed rows are kept, if the file says so.
    pub failed_row_days: Option<u32>,
    /// Days that events are kept, if the file says so.
    pub event_days: Option<u32>,
    /// Days that the keys of delivered rows are kept, if the file says so.
    pub key_days: Option<u32>,
}

impl Project {
    /// Returns all settings in which references resolve.
    fn written(&self) -> impl Iterator<Item = &Written> {
        let connections = self.connections.values().map(|connection| &connection.settings);
        let channels = self.alerts.channels.values().map(|channel| &channel.settings);
        let dbt = self.dbt.iter().map(|dbt| &dbt.settings);
        connections.chain(channels).chain(dbt).chain(self.syncs.values().flat_map(SyncSpec::written))
    }

    /// Returns the variables that the project refers to and the environment lacks, in the order of the file.
    pub fn unset(&self) -> Vec<Variable> {
        let mut unset: Vec<Variable> = self.written().flat_map(Written::unset).collect();
        unset.sort_by_key(|variable| variable.at);
        unset
    }

    /// Returns the paths of the settings that refer to a sealed secret, such as
    /// `connections.shop.password`.
    pub fn users_of_secret(&self, name: &str) -> Vec<String> {
        let secrets = self.written().flat_map(Written::secrets);
        secrets.filter(|(_, used)| *used == name).map(|(path, _)| path.to_owned()).collect()
    }
}

impl Project {
    /// Returns the variables among [`Project::unset`] that `tidegate serve` cannot do without:
    /// all but those that only drafts refer to.
    pub fn unset_to_serve(&self) -> Vec<Variable> {
        let uses = |sync: &SyncSpec, id: &ConnectionId| sync.source() == id || sync.destination() == id;
        let draft_only = |id: &ConnectionId| {
            let mut users = self.syncs.values().filter(|sync| uses(sync, id)).peekable();
            users.peek().is_some() && users.all(|sync| !sync.options().enabled)
        };
        let connections = self.connections.iter().filter(|(id, _)| !draft_only(id));
        let syncs = self.syncs.iter().filter(|(_, sync)| sync.options().enabled);
        let needed = Project {
            connections: connections.map(|(id, connection)| (id.clone(), connection.clone())).collect(),
            syncs: syncs.map(|(id, sync)| (id.clone(), sync.clone())).collect(),
            alerts: self.alerts.clone(),
            dbt: self.dbt.clone(),
            ..Project::default()
        };
        needed.unset()
    }
}

/// An account at an outside system. Shared by syncs.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionSpec {
    /// Which system: one of `tidegate connectors`.
    pub kind: String,
    /// The settings of that system.
    pub settings: Written,
}

/// What moves from where to where.
#[derive(Clone, Debug, PartialEq)]
pub enum SyncSpec {
    /// Rows of a source become objects of a platform.
    Import(Box<ImportSpec>),
    /// Events of a stream go to a sink.
    Export(Box<ExportSpec>),
}

/// What imports and exports have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncOptions {
    /// When `tidegate serve` runs it.
    pub schedule: Option<Schedule>,
    /// How long an unreachable system is tried before the run gives up.
    pub retry_for: Duration,
    /// Whether `tidegate serve` and `run --all` run it; otherwise it is a draft.
    pub enabled: bool,
    /// The people to ask about it.
    pub contacts: Vec<String>,
    /// What is told of it in place of the project's rules.
    pub alert_rules: AlertRules,
    /// The channels that its alerts go to; `None` for all.
    pub alert_channels: Option<Vec<String>>,
    /// Labels from the project file.
    pub labels: BTreeMap<String, String>,
    /// What it has to do with dbt.
    pub dbt: DbtUse,
}

impl SyncSpec {
    /// Returns the connection that is read from.
    pub fn source(&self) -> &ConnectionId {
        match self {
            SyncSpec::Import(import) => &import.source.connection,
            SyncSpec::Export(export) => &export.source.connection,
        }
    }

    /// Returns the connection that is delivered to.
    pub fn destination(&self) -> &ConnectionId {
        match self {
            SyncSpec::Import(import) => &import.destination.connection,
            SyncSpec::Export(export) => &export.destination.connection,
        }
    }

    /// Returns what imports and exports have in common.
    pub fn options(&self) -> &SyncOptions {
        match self {
            SyncSpec::Import(import) => &import.options,
            SyncSpec::Export(export) => &export.options,
        }
    }

    /// Returns the sync without what is for people and other programs only and changes nothing of a run:
    /// contacts, labels, alerts and `dbt`.
    #[must_use]
    pub fn without_people(&self) -> SyncSpec {
        let mut bare = self.clone();
        let options = match &mut bare {
            SyncSpec::Import(import) => &mut import.options,
            SyncSpec::Export(export) => &mut export.options,
        };
        options.contacts.clear();
        options.labels.clear();
        options.dbt = DbtUse::default();
        options.alert_channels = None;
        options.alert_rules = AlertRules::default();
        bare
    }

    /// Returns when `tidegate serve` runs it.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.options().schedule.as_ref()
    }

    /// Returns the import, if it is one.
    pub fn as_import(&self) -> Option<&ImportSpec> {
        match self {
            SyncSpec::Import(import) => Some(import),
            SyncSpec::Export(_) => None,
        }
    }

    /// Returns the export, if it is one.
    pub fn as_export(&self) -> Option<&ExportSpec> {
        match self {
            SyncSpec::Import(_) => None,
            SyncSpec::Export(export) => Some(export),
        }
    }

    /// Returns the settings that may be references.
    fn written(&self) -> [&Written; 2] {
        match self {
            SyncSpec::Import(import) => [&import.source.selection, &import.destination.target],
            SyncSpec::Export(export) => [&export.source.selection, &export.destination.target],
        }
    }
}

/// One import: rows of a source become objects of a platform.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportSpec {
    /// Where rows are read.
    pub source: RowSource,
    /// How the rows to send are found.
    pub mode: Mode,
    /// The column by which new rows are found, if the source keeps no checkpoint of its own.
    pub cursor: Option<String>,
    /// How far before the checkpoint late rows are looked for.
    pub lookback: Option<Lookback>,
    /// The columns that name a row. Default: the primary key of the table.
    pub primary_key: Option<Vec<String>>,
    /// What happens to a row that was delivered and whose mapped columns changed.
    pub changed: Option<Changed>,
    /// What happens to a row that the source no longer has.
    pub removed: Removed,
    /// Where all rows are compared.
    pub state: State,
    /// What a comparison reads of rows that are as they were.
    pub compare: Compare,
    /// Where records go.
    pub destination: RowDestination,
    /// How a row becomes a record.
    pub mapping: Option<MappingSpec>,
    /// A fixed layout of the table instead of `mapping` and `cursor`.
    pub contract: Option<&'static ContractRole>,
    /// What happens to rows in doubt.
    pub in_doubt: InDoubt,
    /// What is sent for members that a row lacks.
    pub absent: Absent,
    /// How much a run may remove or change before it asks.
    pub limits: Limits,
    /// What imports and exports have in common.
    pub options: SyncOptions,
}

/// One export: events of a stream go to a sink.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportSpec {
    /// Which events.
    pub source: EventSource,
    /// Where events go.
    pub destination: EventDestination,
    /// What imports and exports have in common.
    pub options: SyncOptions,
}

/// Where rows are read.
#[derive(Clone, Debug, PartialEq)]
pub struct RowSource {
    /// The connection.
    pub connection: ConnectionId,
    /// What is read there: `table`, `query`, `path` …, and `time_zone`.
    pub selection: Written,
}

/// The key of a source that belongs to no connector.
const TIME_ZONE: &str = "time_zone";

impl RowSource {
    /// Splits resolved settings into what the connector reads and the time zone
    /// of values that have none.
    pub fn split(settings: &Settings) -> (Settings, String) {
        let mut members = settings.members().clone();
        let zone = members.shift_remove(TIME_ZONE).and_then(|zone| zone.as_str().map(str::to_owned));
        (Settings::new(members), zone.unwrap_or_else(|| "UTC".to_owned()))
    }
}

/// Where records go.
#[derive(Clone, Debug, PartialEq)]
pub struct RowDestination {
    /// The connection.
    pub connection: ConnectionId,
    /// What rows become. It cannot change once the sync ran.
    pub object: ObjectKind,
    /// The platform's own settings of a sync: `catalog`, `update_existing_only` …
    pub target: Written,
}

/// Which events an export takes: those that fit every list that is given.
#[derive(Clone, Debug, PartialEq)]
pub struct EventSource {
    /// The connection that events come in through.
    pub connection: ConnectionId,
    /// The lists: `kinds`, `apps`, `messages`, `templates`.
    pub selection: Written,
}

impl EventSource {
    /// Reads the lists from resolved settings.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) for a kind of event that does not exist.
    pub fn lists(settings: &Settings) -> Result<EventSelection, Error> {
        settings.parse()
    }
}

/// Where events go.
#[derive(Clone, Debug, PartialEq)]
pub struct EventDestination {
    /// The connection.
    pub connection: ConnectionId,
    /// The columns of a table. Default: what fits the connection that events come in through.
    pub layout: Option<Layout>,
    /// The sink's own settings of an export: `table`, `stream`, `path` …
    pub target: Written,
}

/// What happens to rows in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// Listed for a person to decide, and never sent twice.
    #[default]
    Hold,
    /// Sent again, up to five times in all: may count twice. A row that is still unanswered is listed.
    Resend,
}

impl ImportSpec {
    /// Returns what happens to a row that was delivered and whose mapped columns changed; `keyed`
    /// says whether rows have a key.
    ///
    /// An event happens once: a change of its row is not a second one.
    pub fn changed(&self, keyed: bool) -> Changed {
        let happens = matches!(self.destination.object, ObjectKind::Event | ObjectKind::Purchase);
        let compared = match self.mode {
            Mode::Incremental => self.cursor.is_some(),
            Mode::Mirror => true,
            Mode::Full | Mode::Stream => false,
        };
        match self.changed {
            Some(changed) => changed,
            None if happens && keyed && compared && self.contract.is_none() => Changed::Ignore,
            None => Changed::Send,
        }
    }
}

/// What happens to a row that was delivered and whose mapped columns changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// It is sent again, as it is now.
    Send,
    /// It is counted. The key of every delivered row is kept until the sync is reset, or for `retention.keys`.
    Ignore,
    /// Of a user, the attributes that changed are sent. A hash of each attribute that was delivered is kept,
    /// sealed.
    Attributes,
}

/// What happens to a row that the source no longer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Removed {
    /// It is counted.
    #[default]
    Ignore,
    /// Its user or catalog item is deleted at the platform.
    Delete,
    /// The attributes of the mapping are set to null.
    Update,
}

/// Returns why nothing could be done about rows that are gone, of which only the key is known; `None`
/// if it can.
pub fn not_removable(mapping: &MappingSpec, object: ObjectKind, key: &[String]) -> Option<Error> {
    let field = if object == ObjectKind::CatalogItem { "id" } else { "external_id" };
    let identifier = mapping.identifier(object);
    if let (Some(column), [key]) = (identifier, key)
        && column.eq_ignore_ascii_case(key)
    {
        return None;
    }
    let error = Error::settings(
        "of a row that is gone only its key is known, so `removed` needs a `primary_key` that is the identifier",
    );
    Some(error.hint(match identifier {
        Some(column) => format!("write `primary_key: {column}`, or `removed: ignore`"),
        None => format!(
            "map one column to `{field}` and write the same one as `primary_key`, or write `removed: ignore`"
        ),
    }))
}

/// What a comparison of all rows reads of a row that is as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// What was cheaper by the last runs: the row, or a hash if rows are wide and few of them change.
    #[default]
    Auto,
    /// The row.
    Rows,
    /// The primary key and a hash that the source has made of the row.
    Hashes,
}

/// Where a comparison of all rows keeps what it compares with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Here: all rows are read, and the source needs no write access.
    #[default]
    Ours,
    /// In the database or warehouse of the source, which keeps hashes in the schema `tidegate`: only rows that
    /// differ are read.
    Source,
}
