//! Parts of the program that another program replaces.

use std::sync::Arc;

use tidegate_model::{EventLog, Store};

/// Wraps a store in another.
pub type WrapStore = fn(Arc<dyn Store>) -> Arc<dyn Store>;

/// Parts that a program built on this one puts in the place of the usual ones: a benchmark
/// measures the cost of a part with it. `tidegate` itself replaces nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replaced {
    /// Wraps the store.
    pub store: Option<WrapStore>,
    /// Makes the event log.
    pub log: Option<fn() -> Arc<dyn EventLog>>,
}
