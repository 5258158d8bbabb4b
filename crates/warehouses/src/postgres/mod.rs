//! PostgreSQL, 9.6 and newer, as a source of rows and a sink of events.
//!
//! The source reads only: each of its statements runs in a read-only
//! transaction, so that it can change nothing even where its user could. The
//! sink writes one table. Neither keeps a place nor tries again; both belong to
//! the engine.

mod advice;
mod array;
mod beyond;
mod bookkeeping;
pub(crate) mod checks;
pub(crate) mod client;
mod columns;
pub(crate) mod decode;
mod digest;
mod errors;
pub(crate) mod grants;
mod hashes;
mod lookup;
pub(crate) mod parameter;
mod pool;
mod query;
mod reading;
pub(crate) mod settings;
mod setup;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod types;
pub(crate) mod writer;

use std::sync::Arc;

use tidegate_model::{Connector, Mode, SinkRole, SourceRole, SystemSetting, settings::schema_of};

pub(crate) use sink::leaves_doubt;

use settings::{PostgresSelection, PostgresSettings};
use sink::PostgresTarget;

/// PostgreSQL.
pub const CONNECTOR: Connector = Connector {
    kind: "postgres",
    title: "PostgreSQL",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<PostgresSettings>,
    system: &[
        SystemSetting::address("host"),
        SystemSetting::exact("port").or("5432"),
        SystemSetting::exact("database"),
    ],
    source: Some(SourceRole {
        selection: schema_of::<PostgresSelection>,
        modes: &[Mode::Full, Mode::Incremental, Mode::Mirror],
        keeps_checkpoint: false,
        open: |settings, context| Ok(Arc::new(source::PostgresSource::open(settings, context)?)),
    }),
    sink: Some(SinkRole {
        target: schema_of::<PostgresTarget>,
        open: |settings, target, context| Ok(Arc::new(sink::PostgresSink::open(settings, target, context)?)),
    }),
    compares: true,
    setup: Some(setup::setup),
    ..Connector::EMPTY
};
