//! A connector: its roles as function pointers and schemas.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use schemars::Schema;
use serde::{Deserialize, Serialize};

use crate::mapping::TableContract;
use crate::settings::schema_of;
use crate::{
    Clock, Columns, ConnectionId, Error, Http, Ingest, Layout, Mode, ObjectKind, Platform, Settings, Sink,
    Source, StreamId, SyncId, SystemSetting,
};

/// Opens a source from the settings of its connection.
pub type OpenSource = fn(&Settings, &ConnectorContext) -> Result<Arc<dyn Source>, Error>;
/// Opens a platform for one kind of object: connection settings, target settings.
pub type OpenPlatform =
    fn(&Settings, ObjectKind, &Settings, &ConnectorContext) -> Result<Arc<dyn Platform>, Error>;
/// Opens a sink for one export: connection settings, what is exported.
pub type OpenSink = fn(&Settings, &SinkTarget, &ConnectorContext) -> Result<Arc<Sink>, Error>;
/// Opens an ingest from the settings of its connection.
pub type OpenIngest = fn(&Settings, &ConnectorContext) -> Result<Arc<dyn Ingest>, Error>;
/// Answers as the platform does when it accepts everything.
pub type DryRunResponse = fn(&http::Request<bytes::Bytes>) -> http::Response<bytes::Bytes>;
/// Erases a user from what a connector keeps in the data folder: settings, folders, the user's
/// identifier. Returns how much was removed.
pub type EraseUser = fn(&Settings, &ConnectorContext, &str) -> Result<u64, Error>;
/// Writes the steps of an administrator for a connection of this name, with
/// these settings and this selection.
pub type Setup = fn(&ConnectionId, &Settings, Option<&Settings>) -> Result<String, Error>;

/// What every connector is given: HTTP, clock and folders.
#[derive(Clone)]
pub struct ConnectorContext {
    /// The HTTP client: the network, a recorder (`plan`) or a sandbox.
    pub http: Arc<dyn Http>,
    /// The only clock that a connector reads.
    pub clock: Arc<dyn Clock>,
    /// The project's folder, at which relative paths in settings start.
    pub project: PathBuf,
    /// The data folder, in which embedded parts keep their state.
    pub data: PathBuf,
    /// Whether this is a dry run: nothing outside may change.
    pub dry_run: bool,
}

impl ConnectorContext {
    /// Returns this context with an HTTP that also trusts the certificates in `ca_file`, a path
    /// relative to the project's folder; the same if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`](crate::ErrorKind::Settings) or
    /// [`ErrorKind::Missing`](crate::ErrorKind::Missing) for a file without certificates.
    pub fn trusting(&self, ca_file: Option<&Path>) -> Result<ConnectorContext, Error> {
        let mut context = self.clone();
        if let Some(ca_file) = ca_file
            && let Some(http) = self.http.trusting(&self.project.join(ca_file))?
        {
            context.http = http;
        }
        Ok(context)
    }
}

/// How to open a system that rows are read from. Opening does no I/O.
#[derive(Clone, Copy)]
pub struct SourceRole {
    /// The schema of what a sync selects.
    pub selection: fn() -> Schema,
    /// The modes that a sync may have. If the source keeps its own checkpoint,
    /// the first is the default; otherwise a sync names its mode. `stream` is among them if, and only
    /// if, the source follows ([`Source::supports_streaming`]).
    pub modes: &'static [Mode],
    /// Whether the source keeps its own checkpoint in every mode, as files and topics do: its
    /// rows have no cursor column. Agrees with [`Source::supports_checkpoints`].
    pub keeps_checkpoint: bool,
    /// Opens the source for one connection.
    pub open: OpenSource,
}

/// How to open a system that takes records. Opening does no I/O.
#[derive(Clone, Copy)]
pub struct PlatformRole {
    /// The kinds of object it takes.
    pub objects: &'static [ObjectKind],
    /// The schema of a sync's own settings under `destination:`.
    pub target: fn() -> Schema,
    /// Opens the platform for one kind of object, with the settings of the connection and of the
    /// destination.
    pub open: OpenPlatform,
    /// Returns the response of the platform if it accepts everything, for a dry run.
    pub dry_run_response: DryRunResponse,
}

/// What one export writes, and where.
#[derive(Clone, Debug)]
pub struct SinkTarget {
    /// The export: part of the name under which its offset is stored at the sink.
    pub sync: SyncId,
    /// The stream that its events come from.
    pub stream: StreamId,
    /// The columns, if the sink writes tables.
    pub layout: Layout,
    /// The export's own settings under `destination:`, such as a table's name.
    pub settings: Settings,
}

/// How to open a system that events are exported to. Opening does no I/O.
#[derive(Clone, Copy)]
pub struct SinkRole {
    /// The schema of an export's own settings under `destination:`.
    pub target: fn() -> Schema,
    /// Opens the sink for one export.
    pub open: OpenSink,
}

/// How to receive events by HTTP. Opening does no network I/O.
#[derive(Clone, Copy)]
pub struct IngestRole {
    /// The first path segments that belong to this API alone, besides
    /// `/in/{type}/{connection}`: for clients whose paths are fixed.
    pub paths: &'static [&'static str],
    /// The default layout of tables that its events are written to.
    pub layout: Layout,
    /// Opens the ingest of one connection.
    pub open: OpenIngest,
}

/// How to serve a vendor's HTTP API locally, on the built-in platform.
#[derive(Clone, Copy)]
pub struct SandboxRole {
    /// The first path segments that belong to this API, for example `users`.
    pub paths: &'static [&'static str],
    /// Opens the sandbox as an HTTP client: requests are answered in this process.
    pub open: fn(&SandboxContext) -> Result<Arc<dyn Http>, Error>,
    /// Erases a user from the folder of the sandbox. Returns how many users were erased.
    pub erase: fn(&Path, &str) -> Result<u64, Error>,
}

/// What a sandbox is made from.
#[derive(Clone)]
pub struct SandboxContext {
    /// The folder for its users, events and catalogs; in memory if absent.
    pub data: Option<PathBuf>,
    /// The only clock that the sandbox reads.
    pub clock: Arc<dyn Clock>,
    /// The faults that it injects; may be changed while it runs.
    pub faults: Arc<Mutex<Faults>>,
    /// Whether the documented rate limits are enforced.
    pub limits: bool,
    /// The connection's settings under `sandbox:`, empty if there are none.
    pub settings: Settings,
    /// The HTTP client for webhooks; none are posted if absent.
    pub http: Option<Arc<dyn Http>>,
    /// How many webhooks wait to be posted. The process waits for them before it ends.
    pub webhooks: Arc<AtomicU64>,
}

/// How a sandbox misbehaves. Shares are between 0 and 1; choices follow from `seed`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Wait before each answer, in milliseconds.
    pub latency_ms: u64,
    /// Share of requests answered 429 with the vendor's headers, without effect.
    pub throttled: f64,
    /// Share of requests answered 503, without effect.
    pub unavailable: f64,
    /// Share of requests that take effect and are never answered.
    pub dropped: f64,
    /// Share of items rejected with a partial error.
    pub rejected: f64,
    /// Requests whose body or path has this text are answered as `poison_answer` says.
    pub poison: Option<String>,
    /// How they are answered.
    pub poison_answer: PoisonAnswer,
    /// Every request is answered 401.
    pub revoked: bool,
    /// Makes the choices repeatable.
    pub seed: u64,
}

/// A response that does not say whether the items of a request took effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoisonAnswer {
    /// A success with an error that names no item: those with the text are not taken, the others
    /// are. An endpoint that takes one item answers 500 instead.
    #[default]
    Unnamed,
    /// A 500. The request takes effect.
    Failed,
    /// None. The request takes effect.
    Dropped,
}

/// Finds the columns of a contract in a table.
pub type CompileContract = fn(ObjectKind, &Columns) -> Result<Arc<dyn TableContract>, Error>;

/// A fixed layout of a table: the columns of rows that are ready to be sent.
#[derive(Clone, Copy, Debug)]
pub struct ContractRole {
    /// The word used for `contract:` in project files.
    pub name: &'static str,
    /// What it is, for help texts.
    pub about: &'static str,
    /// The column that incremental reads follow.
    pub cursor: &'static str,
    /// Finds the columns of the contract in a table.
    pub compile: CompileContract,
}

/// Two contracts are the same if they have the same name.
impl PartialEq for ContractRole {
    fn eq(&self, other: &ContractRole) -> bool {
        self.name == other.name
    }
}

/// One outside system and the roles it can play.
#[derive(Clone, Copy)]
pub struct Connector {
    /// The word used for `type:` in project files.
    pub kind: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// Its page of documentation.
    pub readme: &'static str,
    /// A small picture, SVG.
    pub icon: &'static str,
    /// The schema of its settings.
    pub settings: fn() -> Schema,
    /// The settings that say which system a connection is of. If one of them changes, what syncs remember was
    /// read from another system, or delivered to one.
    pub system: &'static [SystemSetting],
    /// Rows can be read from it.
    pub source: Option<SourceRole>,
    /// Records can be sent to it.
    pub platform: Option<PlatformRole>,
    /// Events can be exported to it.
    pub sink: Option<SinkRole>,
    /// Events come in through it.
    pub ingest: Option<IngestRole>,
    /// Its HTTP API can be served locally.
    pub sandbox: Option<SandboxRole>,
    /// Whether it compares rows itself as a source, with `state: source` ([`Source::bookkeeping`]).
    pub compares: bool,
    /// The statements and steps that a customer's administrator runs, for the
    /// names in these settings and this selection.
    pub setup: Option<Setup>,
    /// Erases a user from what it keeps in the data folder; absent if it keeps nothing of users.
    pub erase: Option<EraseUser>,
    /// Fixed layouts of tables that this vendor documents; rows in them need no mapping.
    pub contracts: &'static [ContractRole],
}

impl Connector {
    /// A connector without a name and without roles: what others are made from.
    pub const EMPTY: Connector = Connector {
        kind: "",
        title: "",
        readme: "",
        icon: "",
        settings: schema_of::<()>,
        system: &[],
        compares: false,
        source: None,
        platform: None,
        sink: None,
        ingest: None,
        sandbox: None,
        setup: None,
        erase: None,
        contracts: &[],
    };
}
