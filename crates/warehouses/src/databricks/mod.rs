//! Databricks SQL warehouses as a source of rows and a sink of events.
//!
//! Speaks the Statement Execution API as documented, without sessions: each statement says all
//! that it depends on. The source reads only, the sink writes one table. Neither keeps a position nor tries again; both
//! belong to the engine. What is asked again is how far a statement is.

mod auth;
mod bookkeeping;
mod catalog;
mod changes;
mod checks;
mod client;
mod errors;
mod grants;
mod privileges;
mod reading;
mod relation;
mod result;
mod settings;
mod setup;
mod sink;
mod source;
mod statement;
#[cfg(test)]
mod tests;
mod types;

use std::sync::Arc;

use tidegate_model::{Connector, Mode, SinkRole, SourceRole, SystemSetting, settings::schema_of};

use settings::{DatabricksSelection, DatabricksSettings};
use sink::DatabricksTarget;

/// Databricks.
pub const CONNECTOR: Connector = Connector {
    kind: "databricks",
    title: "Databricks",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<DatabricksSettings>,
    system: &[
        SystemSetting::address("host"),
        SystemSetting::exact("catalog"),
        SystemSetting::exact("schema"),
    ],
    source: Some(SourceRole {
        selection: schema_of::<DatabricksSelection>,
        modes: &[Mode::Full, Mode::Incremental, Mode::Mirror, Mode::Stream],
        keeps_checkpoint: false,
        open: |settings, context| Ok(Arc::new(source::DatabricksSource::open(settings, context)?)),
    }),
    sink: Some(SinkRole {
        target: schema_of::<DatabricksTarget>,
        open: |settings, target, context| {
            Ok(Arc::new(sink::DatabricksSink::open(settings, target, context)?))
        },
    }),
    compares: true,
    setup: Some(setup::setup),
    ..Connector::EMPTY
};
