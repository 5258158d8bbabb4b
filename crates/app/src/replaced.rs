//! Parts of the program that another program replaces.

use std::sync::Arc;

use tidegate_model::store::RunStore;
use tidegate_model::{EventLog, Store};

/// Makes what runs read and write of the store.
pub type WrapStore = fn(Arc<dyn Store>) -> Arc<dyn RunStore>;

/// Parts that a program built on this one puts in the place of the usual ones: a benchmark
/// measures the cost of a part with it. `tidegate` itself replaces nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replaced {
    /// Wraps the store of runs.
    pub run_store: Option<WrapStore>,
    /// Makes the event log.
    pub log: Option<fn() -> Arc<dyn EventLog>>,
}
