//! Amazon Redshift, provisioned and serverless, as a source of rows and a sink of events.
//!
//! Speaks PostgreSQL's protocol through the connections of `postgres`, in the part of it that Redshift has:
//! cells arrive as text, through a cursor in a read-only transaction. Events go through files in S3.
//! Neither keeps a position nor tries again; both belong to the engine.

mod bookkeeping;
mod catalog;
mod cell;
mod checks;
mod errors;
mod iam;
mod keys;
mod reading;
mod relation;
mod settings;
mod setup;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod types;
mod unload;

use std::sync::Arc;

use tidegate_model::{Connector, Mode, SinkRole, SourceRole, SystemSetting, settings::schema_of};

use settings::{RedshiftSelection, RedshiftSettings};
use sink::RedshiftTarget;

/// Amazon Redshift.
pub const CONNECTOR: Connector = Connector {
    kind: "redshift",
    title: "Amazon Redshift",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<RedshiftSettings>,
    system: &[
        SystemSetting::address("host"),
        SystemSetting::exact("port").or("5439"),
        SystemSetting::exact("database"),
    ],
    source: Some(SourceRole {
        selection: schema_of::<RedshiftSelection>,
        modes: &[Mode::Full, Mode::Incremental, Mode::Mirror],
        keeps_checkpoint: false,
        open: |settings, context| Ok(Arc::new(source::RedshiftSource::open(settings, context)?)),
    }),
    sink: Some(SinkRole {
        target: schema_of::<RedshiftTarget>,
        open: |settings, target, context| Ok(Arc::new(sink::RedshiftSink::open(settings, target, context)?)),
    }),
    compares: true,
    setup: Some(setup::setup),
    ..Connector::EMPTY
};
