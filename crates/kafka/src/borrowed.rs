//! Messages in the buffers of librdkafka.

use jiff::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use tidegate_model::Text;

use crate::message::Message;

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
