//! Puts the engine together: the only place that names every crate.

use std::path::PathBuf;
use std::sync::Arc;

use tidegate_connectors::CONNECTORS;
use tidegate_engine::control::{Config, Engine, Rehearsal};
use tidegate_engine::project::{self, Project};
use tidegate_model::{Clock, Error, Secret, Store, SystemClock};
use tidegate_state::{StateConfig, StoreLocation};

use crate::cli::Place;
use crate::owner;

/// Set to `off` by the benchmark suite to measure what the ledger costs.
const BENCH_LEDGER: &str = "TIDEGATE_BENCH_LEDGER";

/// The master key of the sealed secrets, where it is not kept beside them.
const MASTER_KEY: &str = "TIDEGATE_MASTER_KEY";

impl Place {
    /// Where state is kept.
    pub(crate) fn data_folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| self.project.join(".tidegate"))
    }

    /// What people wrote down.
    pub(crate) fn project(&self) -> Result<Project, Error> {
        project::load(&self.project, CONNECTORS)
    }

    /// What is remembered.
    pub(crate) async fn open_store(&self) -> Result<Arc<dyn Store>, Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = match &self.store {
            None => StoreLocation::Embedded,
            Some(url) => StoreLocation::Postgres { url: Secret::new(url.clone()) },
        };
        let config = StateConfig {
            data: self.data_folder(),
            store,
            clock,
            history_days: self.history_days,
            master_key: std::env::var(MASTER_KEY).ok().map(Secret::new),
        };
        let store = tidegate_state::open(config).await?;
        if std::env::var(BENCH_LEDGER).is_ok_and(|ledger| ledger == "off") {
            return Ok(Arc::new(Rehearsal::over(store)));
        }
        Ok(store)
    }

    /// The engine of this project.
    pub(crate) async fn engine(&self) -> Result<Engine, Error> {
        let project = self.project()?;
        let store = self.open_store().await?;
        owner::claim(&self.project, &self.data_folder())?;
        Ok(Engine::new(Config {
            connectors: CONNECTORS,
            store,
            http: Arc::new(tidegate_connectors::http::RealHttp::new()?),
            clock: Arc::new(SystemClock),
            project,
            folder: self.project.clone(),
            data: self.data_folder(),
        }))
    }
}
