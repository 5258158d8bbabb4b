//! What erasing a user removed, and the note that is kept of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much of a user was removed, by place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ErasureCounts {
    /// Failed rows.
    pub failed_rows: u64,
    /// Identifiers that were kept to delete users whose rows are gone.
    pub kept_users: u64,
    /// Hashes of attributes that were kept to send those that change (`changed: attributes`), by user.
    pub sent_users: u64,
    /// Rows of requests that were about to be sent.
    pub intents: u64,
    /// Rows of the history.
    pub history_rows: u64,
    /// Events of the event log.
    pub events: u64,
    /// Whether the event log lies in Kafka: events of the user then stay in it until the retention of
    /// its topics removes them.
    pub events_stay: bool,
    /// What connectors kept in the data folder, by the name of the place.
    pub places: BTreeMap<String, u64>,
}

/// The note of an erasure. It does not hold the user's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Erasure {
    /// When it was done.
    pub at: Timestamp,
    /// The beginning of a keyed hash of the user's id.
    pub user: String,
    /// What was removed.
    pub removed: ErasureCounts,
}
