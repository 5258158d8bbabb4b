//! Messages of which something could not be read, as failed rows.

use tidegate_model::{MalformedRecord, Origin, PartialRow, Text};

use crate::decode::Damaged;
use crate::message::Message;

/// How much of a message that cannot be decoded is kept.
const SHOWN_BYTES: usize = 64 << 10;

/// Returns the failed row of a message; `name` is the one of its partition: see [`origin`].
pub(crate) fn malformed(damaged: Damaged, message: &Message<'_>, name: &Text) -> MalformedRecord {
    let Damaged { reason, row, unreadable } = damaged;
    let origin = origin(name, message.offset);
    let row = PartialRow { row, unreadable, origin: Some(origin.clone()) };
    let payload = shown(message.payload.unwrap_or_default());
    MalformedRecord { payload, ..MalformedRecord::partial(origin.to_string(), reason, row) }
}

/// Returns the origin of a message: `orders[3]@17`, of which `name` is `orders[3]@`.
pub(crate) fn origin(name: &Text, offset: i64) -> Origin {
    // No offset is negative: those of messages count from zero.
    Origin::Location { name: name.clone(), number: offset.unsigned_abs() }
}

/// Returns the topic, the partition and the offset of a location.
pub(crate) fn parse(location: &str) -> Option<(&str, i32, i64)> {
    let (partition, offset) = location.rsplit_once("]@")?;
    let (topic, partition) = partition.rsplit_once('[')?;
    Some((topic, partition.parse().ok()?, offset.parse().ok()?))
}

/// Returns the beginning of a value as text.
fn shown(payload: &[u8]) -> String {
    String::from_utf8_lossy(&payload[..payload.len().min(SHOWN_BYTES)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_says_topic_partition_and_offset() {
        let origin = origin(&"orders[3]@".into(), 17);
        assert_eq!(parse(&origin.to_string()), Some(("orders", 3, 17)));
        for other in ["orders.csv:17", "orders[3]", "orders[x]@1", ""] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
