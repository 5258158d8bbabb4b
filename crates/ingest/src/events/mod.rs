//! Events by HTTP: JSON of any shape, from apps and services of one's own.
//!
//! - `fields` finds id, kind, time, user and app in an event,
//! - `body` splits a request into events, without copying them,
//! - `bucket` counts requests, `ingest` receives them.

mod body;
mod bucket;
mod fields;
mod ingest;
mod settings;
mod setup;
#[cfg(test)]
mod tests;

use tidegate_model::settings::schema_of;
use tidegate_model::{Connector, IngestRole, Layout};

/// The connector.
pub const CONNECTOR: Connector = Connector {
    kind: "events",
    title: "Events by HTTP",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<settings::EventsSettings>,
    ingest: Some(IngestRole { paths: &[], layout: Layout::Events, open: ingest::open }),
    setup: Some(setup::setup),
    ..Connector::EMPTY
};
