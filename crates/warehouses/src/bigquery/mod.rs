//! BigQuery as a source of rows and a sink of events.
//!
//! Speaks the REST API as documented. A statement or a load is a job with an id that is made here, so one whose
//! answer is lost is not run twice, and the result of a query is a table that pages are read from. The source
//! reads only, the sink writes one table. Neither keeps a position nor tries again; both belong to the engine.
//! What is asked again is how far a job is.

mod advice;
mod bookkeeping;
mod catalog;
mod checks;
mod client;
mod decode;
mod errors;
mod grants;
mod job;
mod pages;
mod reading;
mod relation;
mod settings;
mod setup;
mod sink;
mod source;
mod statement;
mod storage;
#[cfg(test)]
mod tests;
mod types;

use std::sync::Arc;

use tidegate_model::{Connector, Mode, SinkRole, SourceRole, SystemSetting, settings::schema_of};

use settings::{BigQuerySelection, BigQuerySettings};
use sink::BigQueryTarget;

/// BigQuery.
pub const CONNECTOR: Connector = Connector {
    kind: "bigquery",
    title: "BigQuery",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<BigQuerySettings>,
    system: &[SystemSetting::exact("project"), SystemSetting::exact("dataset")],
    source: Some(SourceRole {
        selection: schema_of::<BigQuerySelection>,
        modes: &[Mode::Full, Mode::Incremental, Mode::Mirror],
        keeps_checkpoint: false,
        open: |settings, context| Ok(Arc::new(source::BigQuerySource::open(settings, context)?)),
    }),
    sink: Some(SinkRole {
        target: schema_of::<BigQueryTarget>,
        open: |settings, target, context| Ok(Arc::new(sink::BigQuerySink::open(settings, target, context)?)),
    }),
    compares: true,
    setup: Some(setup::setup),
    ..Connector::EMPTY
};
