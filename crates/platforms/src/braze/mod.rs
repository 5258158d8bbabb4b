//! Braze, a customer-engagement platform: users, events, purchases and
//! deletions by its user-data API, catalog items by its catalogs API.

mod attributes;
mod client;
mod contract;
mod data_points;
mod encode;
mod names;
mod nested;
mod outcome;
mod platform;
mod rules;
mod scan;
mod settings;
mod setup;
#[cfg(test)]
mod tests;
mod validate;

use tidegate_model::settings::schema_of;
use tidegate_model::{Connector, ObjectKind, PlatformRole, SystemSetting};

/// The connector.
pub const CONNECTOR: Connector = Connector {
    kind: "braze",
    title: "Braze",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<settings::BrazeSettings>,
    system: &[SystemSetting::address("endpoint")],
    platform: Some(PlatformRole {
        objects: &[
            ObjectKind::User,
            ObjectKind::Event,
            ObjectKind::Purchase,
            ObjectKind::Deletion,
            ObjectKind::CatalogItem,
        ],
        target: schema_of::<settings::Target>,
        open: platform::open,
        dry_run_response: platform::dry_run_response,
    }),
    setup: Some(setup::setup),
    contracts: &[contract::CONTRACT],
    ..Connector::EMPTY
};
