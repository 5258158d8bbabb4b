//! OneSignal: users, events, purchases and deletions through its REST API, and message events
//! from its event streams. The sandbox of its API is in `crates/sandbox`.
//!
//! - `encode` writes request bodies, `profile` reads a row's attributes,
//! - `client` makes the requests, `outcome` and `partial` turn answers into outcomes,
//! - `validate` rejects what OneSignal would refuse, by the limits in `rules`,
//! - `platform` puts them together.
//!
//! For message events:
//!
//! - `template` is the body to paste into OneSignal, `events` and `repair` read its output,
//! - `ingest` receives it.
//!
//! The engine waits and retries.

mod client;
mod encode;
mod events;
mod ingest;
mod outcome;
mod partial;
mod platform;
mod profile;
mod repair;
mod rules;
mod settings;
mod setup;
mod template;
#[cfg(test)]
mod tests;
mod validate;

use tidegate_model::settings::schema_of;
use tidegate_model::{Connector, IngestRole, Layout, ObjectKind, PlatformRole, SystemSetting};

use settings::{OneSignalSettings, PUBLIC_ENDPOINT, Target};

/// The connector.
pub const CONNECTOR: Connector = Connector {
    kind: "onesignal",
    title: "OneSignal",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<OneSignalSettings>,
    system: &[SystemSetting::address("endpoint").or(PUBLIC_ENDPOINT), SystemSetting::exact("app_id")],
    platform: Some(PlatformRole {
        objects: &[ObjectKind::User, ObjectKind::Event, ObjectKind::Purchase, ObjectKind::Deletion],
        target: schema_of::<Target>,
        open: platform::open,
        dry_run_response: platform::dry_run_response,
    }),
    ingest: Some(IngestRole { paths: &[], layout: Layout::Messages, open: ingest::open }),
    setup: Some(setup::setup),
    ..Connector::EMPTY
};
