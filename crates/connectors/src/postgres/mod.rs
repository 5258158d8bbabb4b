//! PostgreSQL, 9.6 and newer, as a source of rows.
//!
//! Reads only: every statement runs in a read-only transaction, so that this
//! connector can change nothing even where its user could. It keeps no place and
//! never tries again; both belong to the engine.

mod array;
mod checks;
mod client;
mod decode;
mod errors;
mod grants;
mod parameter;
mod query;
mod reading;
mod settings;
mod setup;
mod source;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;

use tidegate_model::{Connector, SourceRole, settings::schema_of};

use settings::{PostgresSelection, PostgresSettings};

/// PostgreSQL.
pub const CONNECTOR: Connector = Connector {
    kind: "postgres",
    title: "PostgreSQL",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<PostgresSettings>,
    source: Some(SourceRole {
        selection: schema_of::<PostgresSelection>,
        open: |settings, tools| Ok(Arc::new(source::PostgresSource::open(settings, tools)?)),
    }),
    platform: None,
    sink: None,
    ingest: None,
    sandbox: None,
    setup: Some(setup::setup),
};
