//! What platforms take.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kinds of object that a platform takes. The kind of a sync cannot change after its first run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A user profile: created or updated.
    User,
    /// Something a user did.
    Event,
    /// Something a user bought.
    Purchase,
    /// A user profile to delete. It cannot be undone.
    Deletion,
    /// An entry of a catalog: created, updated or removed.
    CatalogItem,
}

impl ObjectKind {
    /// Returns the word used in project files, tables and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            ObjectKind::User => "user",
            ObjectKind::Event => "event",
            ObjectKind::Purchase => "purchase",
            ObjectKind::Deletion => "deletion",
            ObjectKind::CatalogItem => "catalog_item",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an object may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// The effect is the same as of sending it once.
    Idempotent,
    /// The platform drops a duplicate with the same key within the window.
    Keyed(Duration),
    /// Sending it again takes effect twice.
    None,
}

/// One kind of object and how a platform treats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectSpec {
    /// The kind of object.
    pub kind: ObjectKind,
    /// Whether it may be sent twice.
    pub idempotency: Idempotency,
    /// The identifiers that a row of this kind may have, by their names in a mapping, for example
    /// `external_id` or `platform_id`; `alias` is both of its fields.
    pub identifiers: &'static [&'static str],
}
