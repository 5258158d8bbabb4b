//! The service API, which the command line, the HTTP API and the pages call.

mod active;
mod advice;
mod attempt;
mod backfill;
mod background;
pub(crate) mod backlog;
mod catalog;
mod check;
mod connection_form;
mod connections;
mod cursor;
mod dbt;
mod draft;
mod dry_run;
mod erase;
mod events;
pub(crate) mod export;
mod failed_rows;
mod form;
mod health;
mod limits;
mod live;
pub(crate) mod measures;
mod metered;
mod open;
mod overview;
mod pauses;
mod plan;
mod plan_id;
mod preview;
mod reasons;
pub(crate) mod receive;
mod recorder;
mod repeated;
mod requested_work;
mod restored;
mod retry;
pub(crate) mod runs;
mod secrets;
mod shown;
mod shown_record;
mod sync_form;
mod timeline;
mod unsaved_secrets;
mod visibility;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_model::alert::ChannelType;
use tidegate_model::store::RunStore;
use tidegate_model::{
    Claim, Clock, ConnectionId, Connector, Error, ErrorKind, EventLog, Faults, Http, Ingest, Store, SyncId,
};
use tokio::sync::{Semaphore, watch};

pub use crate::alerts::{AlertDetails, ChannelDetails, TestedChannel};
pub use crate::people::{
    AtProvider, AuditVerdict, FromProvider, GroupRole, Oidc, OidcSettings, SignIn, SignedIn, Visitor,
};
pub use crate::pipeline::{ConfirmedRows, ExceededLimit};
pub use active::{ActiveProject, Expected, Proposal, Refusal, Text, every_variable_is_set};
pub use background::{BegunRun, Started};
pub use catalog::{ConnectorInfo, connector, connectors, setup};
pub use check::{Report, Subject};
pub use connection_form::{ConnectionForm, WrittenConnection};
pub use connections::{ConnectionDetails, Simulated, StreamDetails, Usage};
pub use dbt::{DbtRuns, DbtWebhook};
pub use draft::{Draft, Section};
pub use dry_run::{DryRun, Rejection};
pub use events::KindCount;
pub use form::{Field, Takes, filled, form_text};
pub use health::{Health, NextAction};
pub use measures::{RUN_BUCKETS, RUN_SECONDS, describe_metrics};
pub use overview::{Endpoint, Hour, Overview, SyncDetails, SyncOverview};
pub use plan::{Billed, Caveat, Pace, Plan, PlannedRows};
pub use plan_id::{PlanId, WouldSend};
pub use preview::{Preview, PreviewInput};
pub use receive::{IngestEndpoint, OpenRequest, Opened};
pub use recorder::{PlannedRequest, PlannedRequests};
pub use repeated::Repetition;
pub use restored::SinceBackup;
pub use retry::{RetryFilter, RetryResult};
pub use runs::{RunMode, SyncStatus};
pub use secrets::{remove_secret, rotate_master_key, secret_names, set_secret};
pub use shown_record::ShownRecord;
pub use sync_form::{
    ExportForm, Filling, MappingField, SyncForm, likely_cursor, likely_user, mapping_fields,
};
pub use timeline::{Entry, Timeline};
pub use visibility::without_row_values;

use crate::alerts::{Disk, Watching};
use crate::people::SignInLimit;
use crate::pipeline::{Parts, RateLimiters, wait};
pub use tidegate_project::{Changes, Finding, Mark, NameChanges};
use tidegate_project::{ImportSpec, Project, SyncSpec};

/// What an engine is made from.
#[derive(Clone)]
pub struct Config {
    /// Every connector there is.
    pub connectors: &'static [Connector],
    /// Every type of channel for alerts.
    pub channels: &'static [ChannelType],
    /// The store.
    pub store: Arc<dyn Store>,
    /// What runs read and write: the store, unless a benchmark measures what it costs.
    pub run_store: Arc<dyn RunStore>,
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// The way to speak HTTP.
    pub http: Arc<dyn Http>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The project.
    pub project: Project,
    /// The project's folder.
    pub folder: PathBuf,
    /// Where embedded parts keep their state.
    pub data: PathBuf,
    /// Days that events are kept.
    pub log_days: u32,
    /// Size of a stream, in bytes, above which the oldest events are removed, exported or not.
    pub log_bytes: Option<u64>,
    /// The connection that the event log is kept in, if it is not kept in files.
    pub log_connection: Option<ConnectionId>,
    /// How many scheduled runs may be under way at once; the others wait for their turn.
    pub runs_at_once: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs syncs and answers queries about them, by one version of the project.
///
/// Everything but the project and the APIs of its connections is shared with the engines of later versions.
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) rate_limiters: Arc<RateLimiters>,
    /// Sandboxes that connections of this process talk to, by kind.
    pub(crate) sandboxes: Arc<Mutex<HashMap<&'static str, Arc<dyn Http>>>>,
    /// How those sandboxes misbehave.
    pub(crate) faults: Arc<Mutex<Faults>>,
    /// How many webhooks of those sandboxes wait to be posted.
    pub(crate) webhooks: Arc<AtomicU64>,
    /// The APIs under which events come in, opened once.
    pub(crate) ingests: Mutex<HashMap<ConnectionId, Arc<dyn Ingest>>>,
    /// The connections through which events come in.
    pub(crate) ingest_endpoints: Vec<IngestEndpoint>,
    /// Runs that were started by a request, and outlive it.
    pub(crate) background: Arc<background::Background>,
    /// Counts the changes of what is exported on request of an API's callers.
    pub(crate) requested: Arc<watch::Sender<u64>>,
    /// The turns of scheduled runs.
    pub(crate) turns: Arc<Semaphore>,
    /// Which syncs are paused, for those who look again and again.
    pub(crate) pauses: Arc<pauses::Pauses>,
    /// What is remembered between two looks for alerts.
    pub(crate) watching: Arc<Watching>,
    /// What waits in the streams that syncs follow.
    pub(crate) backlogs: Arc<backlog::Backlogs>,
    /// Attempts to sign in that failed.
    pub(crate) sign_ins: Arc<SignInLimit>,
    /// The disk of the state, if it is watched.
    pub(crate) disk: Option<Arc<Disk>>,
    /// The identity provider by which people sign in, if there is one.
    pub(crate) oidc: Option<Arc<Oidc>>,
}

impl Engine {
    /// Creates an engine.
    pub fn new(config: Config) -> Engine {
        let turns = config.runs_at_once.max(1);
        let rate_limiters = Arc::new(RateLimiters::shared_by(config.store.clone()));
        Engine {
            ingest_endpoints: receive::endpoints_of(&config.project, config.connectors),
            config,
            rate_limiters,
            sandboxes: Arc::default(),
            faults: Arc::default(),
            webhooks: Arc::default(),
            ingests: Mutex::default(),
            background: Arc::default(),
            requested: Arc::default(),
            turns: Arc::new(Semaphore::new(turns)),
            pauses: Arc::default(),
            watching: Arc::default(),
            backlogs: Arc::default(),
            sign_ins: Arc::default(),
            disk: None,
            oidc: None,
        }
    }

    /// Returns the engine of another version of the project. Runs that are under way keep their engine, and
    /// with it what they began with.
    pub(crate) fn with_project(&self, project: Project) -> Engine {
        let before = &self.config.project.connections;
        let is_same = |id: &ConnectionId| before.get(id) == project.connections.get(id);
        let mut ingests = lock(&self.ingests).clone();
        ingests.retain(|id, _| is_same(id));
        Engine {
            ingest_endpoints: receive::endpoints_of(&project, self.config.connectors),
            config: Config { project, ..self.config.clone() },
            rate_limiters: self.rate_limiters.clone(),
            sandboxes: self.sandboxes.clone(),
            faults: self.faults.clone(),
            webhooks: self.webhooks.clone(),
            ingests: Mutex::new(ingests),
            background: self.background.clone(),
            requested: self.requested.clone(),
            turns: self.turns.clone(),
            pauses: self.pauses.clone(),
            watching: self.watching.clone(),
            backlogs: self.backlogs.clone(),
            sign_ins: self.sign_ins.clone(),
            disk: self.disk.clone(),
            oidc: self.oidc.clone(),
        }
    }

    /// Returns the project.
    pub fn project(&self) -> &Project {
        &self.config.project
    }

    /// Returns the store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.config.store
    }

    /// Waits until the sandboxes of this process have posted their webhooks, for ten seconds at most.
    pub async fn flush_sandbox_webhooks(&self) {
        const LOOKS: u32 = 200;
        const LOOK: Duration = Duration::from_millis(50);
        for _ in 0..LOOKS {
            if self.webhooks.load(Ordering::Acquire) == 0 {
                return;
            }
            wait::span(LOOK).await;
        }
    }

    fn parts(&self, lease: &Claim) -> Parts {
        Parts {
            store: self.config.run_store.clone(),
            clock: self.config.clock.clone(),
            rate_limiters: self.rate_limiters.clone(),
            lease: lease.clone(),
            next_run: None,
        }
    }

    /// Returns a sync by its name.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] where the project has no such sync.
    pub fn sync(&self, id: &SyncId) -> Result<&SyncSpec, Error> {
        self.config.project.syncs.get(id).ok_or_else(|| {
            let names: Vec<&str> = self.config.project.syncs.keys().map(SyncId::as_str).collect();
            let hint = match names.len() {
                0 => "the project has no syncs yet".to_owned(),
                _ => format!("the syncs are: {}", names.join(", ")),
            };
            Error::new(ErrorKind::Settings, format!("there is no sync `{id}`")).hint(hint)
        })
    }

    /// Checks that the project has a sync, or the ledger runs of one that it had: an export that was
    /// requested through the API of a connection, or a sync that was removed.
    ///
    /// # Errors
    /// As [`Engine::sync`], and if the store cannot be read.
    pub async fn has_history_of(&self, id: &SyncId) -> Result<(), Error> {
        let Err(unknown) = self.sync(id) else { return Ok(()) };
        match self.config.store.runs(Some(id), 1).await?.is_empty() {
            true => Err(unknown),
            false => Ok(()),
        }
    }

    /// Returns an import by its name.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] where the project has no such sync, or it is an export.
    pub fn import_spec(&self, id: &SyncId) -> Result<&ImportSpec, Error> {
        self.sync(id)?.as_import().ok_or_else(|| {
            Error::settings(format!("the sync `{id}` is an export"))
                .hint("`tidegate events` shows its events, `tidegate status` its progress")
        })
    }
}
