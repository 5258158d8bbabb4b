//! Where a store keeps its data.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::Store;

use crate::ManualClock;

/// Where a store keeps its data, for one test.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Opens the store on what earlier ones left behind, each time: as after
    /// a restart of the process.
    async fn open(&self) -> Arc<dyn Store>;

    /// The clock that the store is handed.
    fn clock(&self) -> &ManualClock;
}
