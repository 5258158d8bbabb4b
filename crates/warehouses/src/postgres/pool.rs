//! The connections of all sources that read as one user of one database, with a limit.
//!
//! They are shared by the whole process, however many syncs read: a server accepts 100 connections
//! by default, from all of its clients. A connection that a source has finished with is used by the
//! next; none outlives the last source that may use it, so nothing is left open between runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tidegate_model::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::client::{Connection, Login};
use super::settings::PostgresSettings;

/// The pools that are in use.
static POOLS: Mutex<Vec<Weak<Pool>>> = Mutex::new(Vec::new());

/// Connections with the same settings, opened by the same identity.
#[derive(Debug)]
pub struct Pool {
    system: &'static str,
    settings: PostgresSettings,
    ca_file: Option<PathBuf>,
    login: Option<Arc<dyn Login>>,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    /// Returns the pool of these settings of a system; all that have the same share it, if they sign in as
    /// the same identity.
    pub fn of(
        system: &'static str,
        settings: &PostgresSettings,
        ca_file: Option<&PathBuf>,
        login: Option<&Arc<dyn Login>>,
    ) -> Arc<Pool> {
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        let same = |pool: &Arc<Pool>| {
            let is_same_identity = match (&pool.login, login) {
                (Some(its), Some(login)) => its.is_same_as(login.as_ref()),
                (its, login) => its.is_none() && login.is_none(),
            };
            is_same_identity
                && pool.system == system
                && pool.settings == *settings
                && pool.ca_file.as_ref() == ca_file
        };
        if let Some(pool) = pools.iter().filter_map(Weak::upgrade).find(same) {
            return pool;
        }
        let pool = Arc::new(Pool {
            turns: Arc::new(Semaphore::new(settings.max_connections.get() as usize)),
            idle: Mutex::default(),
            system,
            settings: settings.clone(),
            ca_file: ca_file.cloned(),
            login: login.cloned(),
        });
        pools.push(Arc::downgrade(&pool));
        pool
    }

    /// Waits until one connection more may be used. `server` is its name in the log.
    ///
    /// # Errors
    /// If the limit was closed, which nothing does.
    pub async fn turn(&self, server: &str) -> Result<OwnedSemaphorePermit, Error> {
        let turns = Arc::clone(&self.turns);
        match Arc::clone(&turns).try_acquire_owned() {
            Ok(turn) => return Ok(turn),
            Err(TryAcquireError::Closed) => {}
            Err(TryAcquireError::NoPermits) => {
                let limit = self.settings.max_connections;
                tracing::info!(server, limit, "waiting for a connection: `max_connections` are in use");
            }
        }
        turns.acquire_owned().await.map_err(|cause| Error::internal("no more connections").caused_by(cause))
    }

    /// Returns a connection that was used before; `None` if there is none left.
    pub fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|connection| !connection.client.is_closed())
    }

    /// Keeps a connection without a transaction for the next source.
    pub fn keep(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}
