//! One folder per outside system. A folder is a system, a file is a role.
//!
//! Adding a connector is one folder, two lines here, and an example of it in
//! `tests/it/fixtures`: the suite that every connector passes does the rest.

mod aws;
mod braze;
mod events;
mod files;
mod firehose;
pub mod http;
mod kinesis;
mod onesignal;
mod pinpoint;
mod postgres;
mod profiles;
mod sql;

use tidegate_model::Connector;

/// Every connector, by kind.
pub const CONNECTORS: &[Connector] = &[
    braze::CONNECTOR,
    tidegate_lake::CONNECTOR,
    events::CONNECTOR,
    files::CONNECTOR,
    firehose::CONNECTOR,
    tidegate_kafka::CONNECTOR,
    kinesis::CONNECTOR,
    onesignal::CONNECTOR,
    pinpoint::CONNECTOR,
    postgres::CONNECTOR,
    profiles::CONNECTOR,
];

/// The connector of a kind.
pub fn find(kind: &str) -> Option<&'static Connector> {
    CONNECTORS.iter().find(|connector| connector.kind == kind)
}
