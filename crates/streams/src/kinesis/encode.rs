//! Bodies of requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tidegate_model::LoggedEvent;
use tidegate_model::json::write_string;

use super::settings::{PartitionBy, Target};
use crate::shape::{Writer, base64_len};

/// Characters of a partition key. Source: AWS docs, PutRecordsRequestEntry.
const KEY_CHARS_MAX: usize = 256;
/// Bytes around a record: `{"Data":"","PartitionKey":""},`.
const AROUND: usize = 31;

/// The partition key of an event.
///
/// Longer ones are cut: it decides the shard only, and the same user stays in the same one.
pub(super) fn key(by: PartitionBy, logged: &LoggedEvent) -> &str {
    let event = &logged.event;
    let key = match by {
        PartitionBy::User if !event.user.is_empty() => &event.user,
        PartitionBy::User | PartitionBy::Event => &event.id,
    };
    let end = key.char_indices().nth(KEY_CHARS_MAX).map_or(key.len(), |(at, _)| at);
    // The service wants at least one character.
    if end == 0 { "-" } else { &key[..end] }
}

/// Bytes of a record as the service counts them: data before base64, and key.
pub(super) fn size(target: &Target, writer: &Writer, logged: &LoggedEvent) -> usize {
    writer.size(logged, target.limits.record_max()) + key(target.partition_by, logged).len()
}

/// About how many bytes a record takes in a request.
pub(super) fn estimated_size(target: &Target, writer: &Writer, logged: &LoggedEvent) -> usize {
    AROUND + base64_len(writer.estimated_size(logged)) + key(target.partition_by, logged).len()
}

/// `PutRecords`. Source: AWS docs, Kinesis API reference, PutRecords.
pub(super) fn put_records<'a>(
    target: &Target,
    writer: &Writer,
    events: impl Iterator<Item = &'a LoggedEvent> + Clone,
) -> Bytes {
    let bytes: usize = events.clone().map(|logged| estimated_size(target, writer, logged)).sum();
    let mut body = String::with_capacity(bytes + 256);
    let (member, stream) = target.addressed();
    body.push_str("{\"");
    body.push_str(member);
    body.push_str("\":");
    write_string(stream, &mut body);
    body.push_str(",\"Records\":[");
    for (at, logged) in events.enumerate() {
        body.push_str(if at == 0 { "{\"Data\":\"" } else { ",{\"Data\":\"" });
        STANDARD.encode_string(writer.write(logged).as_bytes(), &mut body);
        body.push_str("\",\"PartitionKey\":");
        write_string(key(target.partition_by, logged), &mut body);
        body.push('}');
    }
    body.push_str("]}");
    body.into()
}
