//! `OPTIMIZE` now and then: many small merges leave many small files.
//!
//! Source: Databricks docs, "Optimize data file layout", "Predictive optimization for Unity Catalog
//! managed tables" (which does the same for tables that it is on for), "DESCRIBE HISTORY".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::Error;
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::relation::Naming as _;

use super::table::EventTable;
use crate::databricks::client::Client;
use crate::databricks::relation::Names;
use crate::databricks::statement::Sql;

/// How often a table is optimized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Optimize {
    /// Not by Tidegate: predictive optimization does it, or a job of yours.
    #[default]
    Never,
    /// Every hour.
    Hourly,
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
}

impl Optimize {
    fn every(self) -> Option<SignedDuration> {
        let hours = match self {
            Optimize::Never => return None,
            Optimize::Hourly => 1,
            Optimize::Daily => 24,
            Optimize::Weekly => 7 * 24,
        };
        Some(SignedDuration::from_hours(hours))
    }
}

/// Optimizes one table, beside its deliveries.
#[derive(Clone)]
pub struct Optimizer {
    client: Arc<Client>,
    table: EventTable,
    every: Option<SignedDuration>,
    is_running: Arc<AtomicBool>,
}

impl Optimizer {
    /// Creates the optimizer of a table. Nothing is sent yet.
    pub fn new(client: &Arc<Client>, table: &EventTable, optimize: Optimize) -> Optimizer {
        Optimizer {
            client: Arc::clone(client),
            table: table.clone(),
            every: optimize.every(),
            is_running: Arc::default(),
        }
    }

    /// Optimizes the table if it is due, while deliveries continue. A failure is logged: events are
    /// in the table all the same.
    pub fn after_delivery(&self) {
        let Some(every) = self.every else { return };
        if self.is_running.swap(true, Ordering::Relaxed) {
            return;
        }
        let optimizer = self.clone();
        tokio::spawn(async move {
            if let Err(error) = optimizer.optimize(every).await {
                tracing::warn!("{} was not optimized: {}", optimizer.table.label(), error.chain());
            }
            optimizer.is_running.store(false, Ordering::Relaxed);
        });
    }

    async fn optimize(&self, every: SignedDuration) -> Result<(), Error> {
        let now = self.client.clock.now();
        if self.last().await?.is_some_and(|last| now.duration_since(last) < every) {
            return Ok(());
        }
        let doing = format!("optimizing {}", self.table.label());
        let sql: Sql = format!("OPTIMIZE {}", Names::quoted(&self.table.names)).into();
        self.client.query(&sql, &doing).await.map(|_| ()).map_err(RequestError::into_error)
    }

    /// Returns when the table was optimized last, or made if it never was: by whom does not matter.
    async fn last(&self) -> Result<Option<Timestamp>, Error> {
        let doing = format!("reading the history of {}", self.table.label());
        let sql: Sql = format!(
            "SELECT max(timestamp) AS at FROM (DESCRIBE HISTORY {}) WHERE operation = 'OPTIMIZE' OR version = 0",
            Names::quoted(&self.table.names)
        )
        .into();
        let (_, rows) = self.client.query(&sql, &doing).await.map_err(RequestError::into_error)?;
        Ok(rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok()))
    }
}
