//! Puts the engine together: the only place that names every crate.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::registry::{CHANNELS, CONNECTORS};
use tempfile::TempDir;
use tidegate_engine::service::{Config, Engine};
use tidegate_model::{Clock, ConnectorContext, Error, ErrorKind, EventLog, Http, Secret, Store, SystemClock};
use tidegate_project::{Project, Retention};
use tidegate_state::{
    BucketConfig, CACHE_BYTES, LogAccess, LogConfig, MasterKeys, StateConfig, StoreLocation,
};
use tidegate_transport::http::RealHttp;

use crate::cli::ProjectArgs;
use crate::output::note;
use crate::owner;

/// How long things are kept if nothing says so.
const DAYS: u32 = 90;
/// The file of a data folder that holds its state.
const STATE_FILE: &str = "tidegate.db";
/// The master key of the sealed secrets, if it is not kept beside them.
const MASTER_KEY: &str = "TIDEGATE_MASTER_KEY";
/// The master key before it, until `tidegate secret rotate` has run.
const FORMER_MASTER_KEY: &str = "TIDEGATE_FORMER_MASTER_KEY";

/// What an event log is opened with.
struct Tools {
    store: Arc<dyn Store>,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    /// How many days events are kept.
    log_days: u32,
}

/// An engine that shows what is there.
pub(crate) struct Shown {
    engine: Engine,
    /// Holds empty state while it is shown.
    empty: Option<TempDir>,
}

impl From<Engine> for Shown {
    fn from(engine: Engine) -> Shown {
        Shown { engine, empty: None }
    }
}

impl Shown {
    /// Whether there is state; otherwise it is empty, and goes with this value.
    pub(crate) fn has_state(&self) -> bool {
        self.empty.is_none()
    }
}

impl Deref for Shown {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl ProjectArgs {
    /// The project's folder: relative paths start here.
    pub(crate) fn folder(&self) -> PathBuf {
        tidegate_project::folder_of(&self.project)
    }

    /// Where state is kept.
    pub(crate) fn data_folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| self.folder().join(".tidegate"))
    }

    /// What people wrote down.
    pub(crate) fn project(&self) -> Result<Project, Error> {
        tidegate_project::load(&self.project, CONNECTORS, CHANNELS)
    }

    /// Where state is kept, and how.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a bucket that cannot be used.
    pub(crate) fn state_config(&self, retention: Retention) -> Result<StateConfig, Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = match &self.store {
            None => StoreLocation::Embedded,
            Some(url) => StoreLocation::Postgres { url: Secret::new(url.clone()) },
        };
        Ok(StateConfig {
            data: self.data_folder(),
            store,
            clock,
            history_days: self.history_days.or(retention.history_days).unwrap_or(DAYS),
            failed_row_days: retention.failed_row_days.unwrap_or(0),
            master_keys: MasterKeys {
                current: std::env::var(MASTER_KEY).ok().map(Secret::new),
                former: std::env::var(FORMER_MASTER_KEY).ok().map(Secret::new),
            },
            lease: Duration::from_secs(self.lease_seconds),
            bucket: self.bucket()?,
        })
    }

    /// The bucket for files of the state.
    pub(crate) fn bucket(&self) -> Result<Option<BucketConfig>, Error> {
        let Some(address) = &self.bucket else { return Ok(None) };
        let http = Arc::new(RealHttp::new()?);
        let context = self.connector_context(http, Arc::new(SystemClock));
        let bucket = address.open(&context).map_err(|error| error.context("--bucket"))?;
        let cache_bytes = address.cache_bytes().unwrap_or(CACHE_BYTES);
        Ok(Some(BucketConfig { bucket: Arc::new(bucket), cache_bytes }))
    }

    fn connector_context(&self, http: Arc<dyn Http>, clock: Arc<dyn Clock>) -> ConnectorContext {
        ConnectorContext { http, clock, project: self.folder(), data: self.data_folder(), dry_run: false }
    }

    /// What is remembered.
    pub(crate) async fn open_store(&self, retention: Retention) -> Result<Arc<dyn Store>, Error> {
        tidegate_state::open(self.state_config(retention)?).await
    }

    /// Where events are durable.
    async fn open_log(
        &self,
        project: &Project,
        tools: &Tools,
        access: LogAccess,
    ) -> Result<Arc<dyn EventLog>, Error> {
        if let Some(log) = self.replaced.log {
            return Ok(log());
        }
        let Some(address) = &self.log else {
            let folder = self.data_folder().join("events");
            return tidegate_state::open_log(LogConfig::new(folder, tools.clock.clone(), access));
        };
        let (connection, settings) = address.settings(project, tools.log_days)?;
        let connection = connection.settings.resolve(&self.folder(), tools.store.as_ref()).await;
        let context = self.connector_context(tools.http.clone(), tools.clock.clone());
        connection
            .and_then(|connection| tidegate_kafka::event_log(&connection, settings, &context))
            .map_err(|error| error.context(format!("the event log at {address}")))
    }

    /// The engine of this project.
    pub(crate) async fn engine(&self) -> Result<Engine, Error> {
        self.engine_that(LogAccess::Read).await
    }

    /// The engine of a verb that shows what is there. It makes no state: if there is none, it shows what
    /// empty state would, and says so.
    pub(crate) async fn showing_engine(&self) -> Result<Shown, Error> {
        let shown = self.examined_engine().await?;
        if !shown.has_state() {
            note(format!("no state in {}", self.data_folder().display()));
            note("  → nothing has run yet, or the state is elsewhere: `--data`, or `TIDEGATE_STORE`");
        }
        Ok(shown)
    }

    /// The engine of a verb that looks at what is there. It makes no state: if there is none, it works by
    /// empty state.
    pub(crate) async fn examined_engine(&self) -> Result<Shown, Error> {
        let data = self.data_folder();
        if data.is_file() {
            return Err(Error::settings(format!("{} is a file, and --data names a folder", data.display()))
                .hint("name the folder that holds `tidegate.db`"));
        }
        let file = data.join(STATE_FILE);
        let has_state = file.try_exists().map_err(|cause| {
            Error::new(ErrorKind::Storage, format!("{} cannot be read", file.display()))
                .hint("run tidegate as the user that the folder belongs to")
                .caused_by(cause)
        });
        if self.store.is_some() || has_state? {
            return self.engine().await.map(Shown::from);
        }
        // A project that cannot be used says that first.
        self.project()?;
        let empty = tempfile::tempdir().map_err(|cause| {
            Error::new(ErrorKind::Storage, "cannot make a temporary folder").caused_by(cause)
        })?;
        let args = ProjectArgs { data: Some(empty.path().to_owned()), ..self.clone() };
        let engine = args.engine().await?;
        Ok(Shown { engine, empty: Some(empty) })
    }

    /// The engine of the one process that events come in to.
    pub(crate) async fn serving_engine(&self) -> Result<Engine, Error> {
        self.engine_that(LogAccess::Append).await
    }

    async fn engine_that(&self, access: LogAccess) -> Result<Engine, Error> {
        let project = self.project()?;
        // The certificates of the machine are read while the state is opened.
        let http = tokio::task::spawn_blocking(RealHttp::new);
        let store = self.open_store(project.retention).await?;
        let log_days = self.event_days.or(project.retention.event_days).unwrap_or(DAYS);
        owner::claim(&self.folder(), &self.data_folder())?;
        owner::claim_store(store.as_ref(), &self.folder(), &project).await?;
        let http = http.await.map_err(|fault| {
            Error::internal("setting up HTTP ended by an internal error").caused_by(fault)
        })?;
        let http = Arc::new(http?);
        let tools = Tools { store, http, clock: Arc::new(SystemClock), log_days };
        let log = self.open_log(&project, &tools, access).await?;
        let Tools { store, http, clock, log_days } = tools;
        Ok(Engine::new(Config {
            connectors: CONNECTORS,
            channels: CHANNELS,
            run_store: match self.replaced.run_store {
                Some(wrap) => wrap(store.clone()),
                None => store.clone(),
            },
            store,
            http,
            log,
            clock,
            project,
            folder: self.folder(),
            data: self.data_folder(),
            log_days,
            log_connection: self.log.as_ref().map(|address| address.connection().clone()),
            log_bytes: self.event_gib.map(|gib| u64::from(gib) << 30),
            runs_at_once: usize::from(self.runs_at_once),
        }))
    }
}
