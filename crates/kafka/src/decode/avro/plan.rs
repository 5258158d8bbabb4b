//! A schema as the writer walks it: names resolved, texts prepared.

use super::times::Time;

/// A type, names resolved.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(Box<Node>),
    Map(Box<Node>),
    Union(Vec<Node>),
    Fixed(usize),
    /// A decimal: digits after the point; its size if it is fixed.
    Decimal(usize, Option<usize>),
    BigDecimal,
    /// A UUID of 16 bytes; with a length in front if it is no `fixed`.
    UuidBytes {
        fixed: bool,
    },
    Time(Time),
    Duration,
    /// A type with a name, by its index in the list.
    Named(usize),
}

/// A type with a name.
#[derive(Debug)]
pub(super) enum Named {
    /// Fields in order.
    Record(Vec<Field>),
    /// Symbols, quoted.
    Enum(Vec<String>),
    /// A `fixed` of some kind, or another name of a type.
    Other(Node),
}

/// A field of a record.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// The text before its value: `,"name":`.
    pub(super) before: String,
    pub(super) node: Node,
}
