//! The data plane of Amazon Pinpoint: apps keep sending `PutEvents` here as they
//! did there, and event streams keep flowing to Kinesis and Firehose.
//!
//! - `signature` authenticates a request, `route` returns which call it makes,
//! - `batch` takes `PutEvents` apart, `check` knows the limits of an event,
//!   `app_record` writes the record that consumers of event streams expect,
//! - `endpoints` and `streams` are what the API remembers, in `store`; `endpoint_check` knows
//!   the limits of an endpoint,
//! - `ingest` puts them together; `answer` has the error responses,
//! - `records` writes message events as the records of campaigns, e-mail and SMS,
//!   for every sink that is asked for that shape.
//!
//! Source: Amazon Pinpoint API reference (`pinpoint/2016-12-01`) and developer
//! guide, quotas and event streams.

mod answer;
mod app_record;
mod batch;
mod check;
mod endpoint_check;
mod endpoints;
mod ingest;
mod route;
mod settings;
mod setup;
mod signature;
mod store;
mod streams;
#[cfg(test)]
mod tests;

use tidegate_model::settings::schema_of;
use tidegate_model::{Connector, IngestRole, Layout};

/// The connector.
pub const CONNECTOR: Connector = Connector {
    kind: "pinpoint",
    title: "Amazon Pinpoint data plane",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<settings::PinpointSettings>,
    ingest: Some(IngestRole { paths: &["v1"], layout: Layout::Events, open: ingest::open }),
    setup: Some(setup::setup),
    erase: Some(ingest::erase),
    ..Connector::EMPTY
};
