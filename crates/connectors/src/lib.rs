//! One folder per outside system. A folder is a system, a file is a role.
//!
//! Adding a connector is one folder and two lines here.

pub mod http;
mod onesignal;
mod profiles;

use tidegate_model::Connector;

/// Every connector, by kind.
pub const CONNECTORS: &[Connector] = &[onesignal::CONNECTOR];

/// The connector of a kind.
pub fn find(kind: &str) -> Option<&'static Connector> {
    CONNECTORS.iter().find(|connector| connector.kind == kind)
}
