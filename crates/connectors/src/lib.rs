//! One folder per outside system. A folder is a system, a file is a role.
//!
//! Adding a connector is one folder, two lines here, and an example of it in
//! `tests/it/fixtures`: the suite that every connector passes does the rest.

mod braze;
mod files;
pub mod http;
mod onesignal;
mod postgres;
mod profiles;
mod sql;

use tidegate_model::Connector;

/// Every connector, by kind.
pub const CONNECTORS: &[Connector] = &[
    braze::CONNECTOR,
    files::CONNECTOR,
    tidegate_kafka::CONNECTOR,
    onesignal::CONNECTOR,
    postgres::CONNECTOR,
    profiles::CONNECTOR,
];

/// The connector of a kind.
pub fn find(kind: &str) -> Option<&'static Connector> {
    CONNECTORS.iter().find(|connector| connector.kind == kind)
}
