//! BigQuery as a source of rows.
//!
//! Speaks the REST API as documented. A statement is a job with an id that is made here, so one whose
//! answer is lost is not run twice, and its result is a table that pages are read from. The source reads
//! only. It keeps no position and does not try again; both belong to the engine. What is asked again is
//! how far a job is.

mod advice;
mod auth;
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
mod source;
mod statement;
#[cfg(test)]
mod tests;
mod types;

use std::sync::Arc;

use tidegate_model::{Connector, Mode, SourceRole, settings::schema_of};

use settings::{BigQuerySelection, BigQuerySettings};

/// BigQuery.
pub const CONNECTOR: Connector = Connector {
    kind: "bigquery",
    title: "BigQuery",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<BigQuerySettings>,
    source: Some(SourceRole {
        selection: schema_of::<BigQuerySelection>,
        modes: &[Mode::Full, Mode::Incremental, Mode::Mirror],
        keeps_checkpoint: false,
        open: |settings, context| Ok(Arc::new(source::BigQuerySource::open(settings, context)?)),
    }),
    setup: Some(setup::setup),
    ..Connector::EMPTY
};
