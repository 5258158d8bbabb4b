//! What happens at platforms and in apps.

mod cell;
pub mod kind;
mod members;
pub mod selection;
pub mod table;

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Json, RowHash, Text};

pub use cell::{Cell, ColumnType, TableColumn};
pub use kind::{Channel, MESSAGE_KINDS, OLDER_KINDS, channel_of, current_kind};
pub use selection::{EventSelection, KindPattern};
pub use table::Layout;

/// Something that happened at a platform or in an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique in its stream: a repetition is known by it.
    pub id: Text,
    /// What happened: one of [`MESSAGE_KINDS`], or a name of the app's own.
    pub kind: Text,
    /// When it happened.
    pub at: Timestamp,
    /// The user's identifier: events of one user keep their order. Empty where
    /// no user is known.
    pub user: Text,
    /// The app it happened in. Empty if there is none.
    pub app: Text,
    /// The message it is about. Empty if there is none.
    pub message: Text,
    /// The template that message was made from. Empty if there is none.
    pub template: Text,
    /// The whole event as sinks write it: a JSON object.
    pub payload: Json,
}

impl Event {
    /// About how many bytes it takes.
    pub fn estimated_size(&self) -> usize {
        const ENVELOPE: usize = 32;
        ENVELOPE
            + self.id.len()
            + self.kind.len()
            + self.user.len()
            + self.app.len()
            + self.message.len()
            + self.template.len()
            + self.payload.as_str().len()
    }

    /// Returns the channel of its message, if it is about one.
    pub fn channel(&self) -> Option<Channel> {
        channel_of(&self.kind)
    }
}

/// The random id of an event log. A log that was started over has another one, so two events with
/// the same offset and the same id are one event. A log that never reuses offsets (Kafka) has id 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub u64);

impl LogId {
    /// Returns whether this is the id of a log, not the absence of one.
    pub fn is_known(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for LogId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Text: programs that read JSON hold no whole number beyond 2^53.
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LogId, D::Error> {
        let text = String::deserialize(deserializer)?;
        let id = u64::from_str_radix(&text, 16);
        id.map(LogId).map_err(|_| serde::de::Error::custom("expected the id of an event log"))
    }
}

/// The position of an event in its stream. Offsets of one partition rise, with gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Offset {
    /// The log.
    #[schemars(with = "String")]
    pub log: LogId,
    /// The partition; the embedded log has one, 0.
    pub partition: u32,
    /// The place inside it.
    pub at: u64,
}

impl Offset {
    /// Returns an offset of a log without an id.
    pub fn new(partition: u32, at: u64) -> Offset {
        Offset { log: LogId::default(), partition, at }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.at)
    }
}

/// A durable event and its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Where it is.
    pub offset: Offset,
    /// When it was logged.
    pub logged_at: Timestamp,
    /// What happened.
    pub event: Event,
}

impl LoggedEvent {
    /// Returns the hash of its id: two events with the same id have the same one.
    pub fn key(&self) -> RowHash {
        RowHash::of_bytes(self.event.id.as_bytes())
    }

    /// Returns the hash of its id and its offset: an event that was logged twice has two.
    /// `scratch` is reused between events.
    pub fn version(&self, scratch: &mut Vec<u8>) -> RowHash {
        scratch.clear();
        scratch.extend_from_slice(&self.offset.partition.to_le_bytes());
        scratch.extend_from_slice(&self.offset.at.to_le_bytes());
        scratch.extend_from_slice(self.event.id.as_bytes());
        RowHash::of_bytes(scratch)
    }
}
