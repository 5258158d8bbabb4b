//! Where an event log keeps its data.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;
use tidegate_model::{EventLog, StreamId};

use crate::ManualClock;

/// Where an event log keeps its data, for one test.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Opens the log on what earlier ones left behind, each time: as after
    /// a restart of the process. The one before was dropped.
    async fn open(&self) -> Arc<dyn EventLog>;

    /// The clock that the log is handed.
    fn clock(&self) -> &ManualClock;

    /// For how long the log knows an event by its id.
    fn dedup_window(&self) -> SignedDuration;

    /// The stream that a test calls by this name: a shared server has others of that name.
    fn stream(&self, name: &str) -> StreamId {
        StreamId::new(name)
    }
}
