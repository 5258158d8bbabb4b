//! A message of the consumer.

use jiff::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use tidegate_model::Text;

/// One message, borrowed from the client's own buffers.
#[derive(Clone, Debug)]
pub(crate) struct Message<'a> {
    /// Topic, shared by the rows of many messages.
    pub(crate) topic: &'a Text,
    /// Partition of the topic.
    pub(crate) partition: i32,
    /// Offset in the partition.
    pub(crate) offset: i64,
    /// When it was produced or appended, as the topic is set up.
    pub(crate) timestamp: Option<Timestamp>,
    /// Key, if it has one.
    pub(crate) key: Option<&'a [u8]>,
    /// Value; none for a tombstone.
    pub(crate) payload: Option<&'a [u8]>,
    /// Headers in order; a name may occur several times.
    pub(crate) headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl<'a> Message<'a> {
    /// Wraps a message of the library, with its topic's name as shared text.
    pub(crate) fn of(message: &'a BorrowedMessage<'_>, topic: &'a Text) -> Message<'a> {
        let headers = message.headers();
        Message {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().and_then(|at| Timestamp::from_millisecond(at).ok()),
            key: message.key(),
            payload: message.payload(),
            headers: headers
                .map(|all| all.iter().map(|one| (one.key, one.value)).collect())
                .unwrap_or_default(),
        }
    }
}
