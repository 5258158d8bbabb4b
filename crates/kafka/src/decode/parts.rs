//! The parts of a message, and the columns that every message has.

use tidegate_model::DataType;

/// The columns that every message has, after the fields, with their types. A
/// key is text, bytes or JSON as it comes; a value may be plain text instead.
pub(super) const FIXED: [(&str, DataType); 8] = [
    ("key", DataType::Any),
    ("value", DataType::Json),
    ("headers", DataType::Object),
    ("topic", DataType::Text),
    ("partition", DataType::Integer),
    ("offset", DataType::Integer),
    ("timestamp", DataType::Timestamp),
    ("tombstone", DataType::Boolean),
];

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessagePart {
    /// The key.
    Key,
    /// The value.
    Value,
}
