//! One folder per outside system. A folder is a system, a file is a role.
//!
//! Adding a connector is one folder and two lines here.

pub mod files;
pub mod postgres;
mod sql;

use tidegate_model::Connector;

/// Every connector, by kind.
pub const CONNECTORS: &[Connector] = &[files::CONNECTOR, postgres::CONNECTOR];

/// The connector of a kind.
pub fn find(kind: &str) -> Option<&'static Connector> {
    CONNECTORS.iter().find(|connector| connector.kind == kind)
}
