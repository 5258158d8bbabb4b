//! The built-in platform: users, events, purchases and catalogs in one SQLite
//! file. It is a platform like any other, and what every vendor's sandbox keeps
//! its state in.

mod activity;
mod catalogs;
mod erase;
mod export;
mod platform;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod users;

use tidegate_model::settings::schema_of;
use tidegate_model::{Connector, ObjectKind, PlatformRole, SystemSetting};

pub use activity::{ActivitySummary, Event, Key, Purchase};
pub use catalogs::Catalog;
pub use erase::erase;
pub use export::Export;
pub use store::{Durability, Profiles, Session};
pub use users::{User, UserId};

/// The built-in platform.
pub const CONNECTOR: Connector = Connector {
    kind: "profiles",
    title: "Built-in platform",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<settings::ProfilesSettings>,
    system: &[SystemSetting::exact("file")],
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
        // It speaks no HTTP: in a dry run it works in memory.
        dry_run_response: |_| http::Response::default(),
    }),
    erase: Some(platform::erase),
    ..Connector::EMPTY
};
