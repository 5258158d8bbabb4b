//! Persistent state: runs, checkpoints, the status of every row, secrets.
//!
//! [`open`] gives the [`Store`] that the engine asks. It keeps its tables in one
//! SQLite file in the data folder, or on a PostgreSQL server where several
//! processes share the work, and the history of rows in Parquet files that other
//! programs can read. Processes on several machines keep these files in a [`Bucket`]. [`open_log`] gives the event log in files.

pub mod backup;
mod blocking;
mod codec;
mod failure;
mod folder;
mod held;
mod history;
mod log;
mod lookback;
mod seal;
mod shared_files;
mod store;
mod user_mark;

pub use log::{LogAccess, LogConfig, open_log};
pub use seal::MasterKeys;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::{Bucket, Clock, Error, Secret, Store};

/// Where state is kept.
pub struct StateConfig {
    /// The data folder; made on first use, closed to other users.
    pub data: PathBuf,
    /// Where the tables are.
    pub store: StoreLocation,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How many days the status of rows is kept; 0 keeps it forever.
    pub history_days: u32,
    /// How many days the contents of a failed row are kept after it failed last; 0 keeps them until
    /// it is delivered.
    pub failed_row_days: u32,
    /// The master keys that the environment gives.
    pub master_keys: MasterKeys,
    /// How long a lease on a server lasts without being renewed.
    pub lease: Duration,
    /// Where files of the state are kept, if machines that share no disk share a PostgreSQL store.
    pub bucket: Option<BucketConfig>,
}

/// A bucket for files of the state.
#[derive(Clone)]
pub struct BucketConfig {
    /// The bucket.
    pub bucket: Arc<dyn Bucket>,
    /// How many bytes of copies of history files may stay on this machine.
    pub cache_bytes: u64,
}

/// How many bytes of copies stay by default: 1 GiB.
pub const CACHE_BYTES: u64 = 1 << 30;

/// How long a lease lasts by default.
pub const LEASE: Duration = Duration::from_secs(30);

/// Where the tables are.
pub enum StoreLocation {
    /// In `<data>/tidegate.db`.
    Embedded,
    /// On a PostgreSQL server.
    Postgres {
        /// `postgres://user:password@host:5432/database`.
        url: Secret,
    },
}

/// Opens the store, and creates it on first use.
///
/// # Errors
/// [`Storage`](tidegate_model::ErrorKind::Storage) if the data folder cannot be
/// used; for a server also `Unavailable`, `Denied`, `Missing` and `Settings`.
pub async fn open(config: StateConfig) -> Result<Arc<dyn Store>, Error> {
    folder::prepare(&config.data)?;
    Ok(Arc::new(store::SqlStore::open(config).await?))
}
