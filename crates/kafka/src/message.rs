//! A message of the consumer.

use jiff::Timestamp;
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
