//! OpenSearch: events as documents of an index for each day, or of a data stream.
//!
//! The id of a document is the id of its event, and documents are only ever created: what was
//! written before is answered with a conflict (`outcome.rs`), so a repetition has no effect.

mod checks;
mod client;
mod document;
mod errors;
mod outcome;
mod settings;
mod setup;
mod sink;
mod target;
mod template;
#[cfg(test)]
mod tests;

use tidegate_model::settings::schema_of;
use tidegate_model::{Connector, SinkRole};

/// The name in messages.
const TITLE: &str = "OpenSearch";

/// The connector.
pub const CONNECTOR: Connector = Connector {
    kind: "opensearch",
    title: "OpenSearch",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<settings::OpenSearchSettings>,
    sink: Some(SinkRole { target: schema_of::<target::Target>, open: sink::open }),
    setup: Some(setup::setup),
    ..Connector::EMPTY
};
