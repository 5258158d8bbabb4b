//! Snowflake as a source of rows and a sink of events.
//!
//! Speaks the SQL API v2 as documented, without sessions: each statement says all that it depends on, its
//! output formats included. The source reads only, the sink writes one table. Neither keeps a position nor
//! tries again; both belong to the engine. What is asked again is how far a statement is, and a submission whose answer was lost,
//! under one request id.

mod auth;
mod bookkeeping;
mod catalog;
mod cell;
mod checks;
mod client;
mod errors;
mod part;
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
mod warehouse;

use std::sync::Arc;

use tidegate_model::{Connector, Mode, SinkRole, SourceRole, SystemSetting, settings::schema_of};

use settings::{SnowflakeSelection, SnowflakeSettings};
use sink::SnowflakeTarget;

/// Snowflake.
pub const CONNECTOR: Connector = Connector {
    kind: "snowflake",
    title: "Snowflake",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<SnowflakeSettings>,
    system: &[
        SystemSetting::address("account"),
        SystemSetting::exact("database"),
        SystemSetting::exact("schema"),
    ],
    source: Some(SourceRole {
        selection: schema_of::<SnowflakeSelection>,
        modes: &[Mode::Full, Mode::Incremental, Mode::Mirror],
        keeps_checkpoint: false,
        open: |settings, context| Ok(Arc::new(source::SnowflakeSource::open(settings, context)?)),
    }),
    sink: Some(SinkRole {
        target: schema_of::<SnowflakeTarget>,
        open: |settings, target, context| Ok(Arc::new(sink::SnowflakeSink::open(settings, target, context)?)),
    }),
    compares: true,
    setup: Some(setup::setup),
    ..Connector::EMPTY
};
