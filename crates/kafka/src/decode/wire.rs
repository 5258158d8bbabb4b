//! Confluent's framing: which schema a body was written with.
//!
//! Source: Confluent docs, Schema Registry, "Wire format"; for headers, the
//! serializers of `confluent_kafka` 2.16.

use tidegate_model::Reason;
use tidegate_model::varint::{self, NoNumber};

use super::parts::MessagePart;
use crate::message::Message;
use crate::registry::SchemaId;

/// The longest way to a nested message that is believed.
const INDEXES_MAX: usize = 100;

/// A body and what was said about its schema.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framed<'a> {
    /// The schema.
    pub(super) id: SchemaId,
    /// Protobuf: the way to the message inside its file, outermost first.
    /// Empty for other formats.
    pub(super) indexes: Indexes,
    /// What was written with it.
    pub(super) body: &'a [u8],
}

/// The way to a message inside its file; usually one step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Indexes {
    /// The format has none.
    None,
    /// The first message of the file, or another one at the top.
    Top(u32),
    /// A message inside messages.
    Nested(Vec<u32>),
}

/// Reads the framing in front of `bytes`, or in the header that newer
/// producers write instead.
pub(super) fn framed<'a>(
    bytes: &'a [u8],
    message: &Message<'_>,
    part: MessagePart,
    indexed: bool,
) -> Result<Framed<'a>, Reason> {
    let name = match part {
        MessagePart::Key => "__key_schema_id",
        MessagePart::Value => "__value_schema_id",
    };
    let header = message.headers.iter().find(|(header, _)| *header == name);
    if let Some(&(_, Some(mut header))) = header {
        let (id, indexes) = prefix(&mut header, indexed)?;
        return Ok(Framed { id, indexes, body: bytes });
    }
    let mut rest = bytes;
    let (id, indexes) = prefix(&mut rest, indexed)?;
    Ok(Framed { id, indexes, body: rest })
}

fn prefix(bytes: &mut &[u8], indexed: bool) -> Result<(SchemaId, Indexes), Reason> {
    let magic = take::<1>(bytes)?[0];
    let id = match magic {
        0 => SchemaId::Number(u32::from_be_bytes(take(bytes)?)),
        1 => SchemaId::Guid(take(bytes)?),
        other => {
            return Err(Reason::new(
                "wrong_magic",
                format!("starts with byte {other}, not with the 0 of a schema registry's framing"),
            ));
        }
    };
    let indexes = if indexed { indexes(bytes)? } else { Indexes::None };
    Ok((id, indexes))
}

/// The message's position in its file: a count and as many indexes, all zigzag
/// varints; a lone 0 stands for the first message.
fn indexes(bytes: &mut &[u8]) -> Result<Indexes, Reason> {
    let count = index(bytes)? as usize;
    match count {
        0 => Ok(Indexes::Top(0)),
        1 => Ok(Indexes::Top(index(bytes)?)),
        2..=INDEXES_MAX => {
            let mut all = Vec::with_capacity(count);
            for _ in 0..count {
                all.push(index(bytes)?);
            }
            Ok(Indexes::Nested(all))
        }
        _ => Err(Reason::new("schema_mismatch", "the message indexes are more than any file has")),
    }
}

fn index(bytes: &mut &[u8]) -> Result<u32, Reason> {
    let raw = varint(bytes)?;
    let value = (raw >> 1) as i64 ^ -((raw & 1) as i64);
    u32::try_from(value).map_err(|_| Reason::new("schema_mismatch", "a message index is out of range"))
}

/// An unsigned number of up to 64 bits, seven a byte, lowest first.
#[inline]
pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, Reason> {
    varint::take(bytes).map_err(|cause| match cause {
        NoNumber::Truncated => truncated(),
        NoNumber::TooLong => Reason::new("schema_mismatch", "a number has more than 64 bits"),
    })
}

/// The next `N` bytes.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Reason> {
    let Some((head, rest)) = bytes.split_first_chunk::<N>() else { return Err(truncated()) };
    *bytes = rest;
    Ok(*head)
}

/// The bytes end before the value does.
pub(super) fn truncated() -> Reason {
    Reason::new("truncated", "the message ends in the middle of a value")
}
