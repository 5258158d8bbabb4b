//! Topics that were deleted and created again under the same name.
//!
//! Offsets of the old topic mean nothing in the new one. Kafka gives each topic an id
//! (KIP-516), but the client library does not show it; so the checkpoint keeps what the last
//! message was like (its time and its size), and that message is read again before a feed
//! starts: a message never changes. A topic one partition of which still has its message
//! is the same topic. If the message is gone (a compacted topic has a newer one of its key),
//! that cannot be known, and reading continues at the checkpoint, unless it is from another cluster.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::Offset;
use tidegate_model::{Error, ErrorKind, Text};

use crate::errors;
use crate::metadata::ClusterMetadata;
use crate::partition::{TopicPartition, list, name_of};
use crate::progress::{LastMessage, Progress};

/// How long to wait for the last messages.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    Same,
    Recreated,
    Unknown,
}

/// Returns the topics of which the checkpoint belongs to a topic that is gone. Blocks, and
/// leaves the consumer without partitions.
///
/// # Errors
/// No broker responds, or access is denied.
pub(crate) fn recreated(
    metadata: &ClusterMetadata<'_>,
    known: &Progress,
    cluster: Option<&str>,
) -> Result<HashSet<Text>, Error> {
    let read: Vec<(TopicPartition, i64, LastMessage)> = known
        .offsets()
        .filter_map(|(partition, offset)| Some((partition, offset.next, offset.last?)))
        .collect();
    if read.is_empty() {
        return Ok(HashSet::new());
    }
    let mut partitions = Vec::new();
    for topic in known.topics() {
        partitions.extend(metadata.partitions(topic)?);
    }
    let present: HashSet<TopicPartition> = partitions.into_iter().collect();
    let asked: Vec<TopicPartition> = read
        .iter()
        .map(|(partition, ..)| partition.clone())
        .filter(|asked| present.contains(asked))
        .collect();
    let watermarks = metadata.watermarks(&asked)?;
    let readable = read.iter().filter(|(partition, next, _)| {
        watermarks.get(partition).is_some_and(|found| found.low < *next && *next <= found.end)
    });
    let found = last_messages(metadata, &readable.map(|(partition, next, _)| (partition, *next)).collect())?;
    let elsewhere = match (known.cluster(), cluster) {
        (Some(before), Some(now)) => before != now,
        _ => false,
    };
    Ok(known.topics().filter(|topic| is_recreated(topic, &read, &found, elsewhere)).cloned().collect())
}

fn is_recreated(
    topic: &Text,
    read: &[(TopicPartition, i64, LastMessage)],
    found: &HashMap<TopicPartition, LastMessage>,
    elsewhere: bool,
) -> bool {
    let of_topic = read.iter().filter(|(partition, ..)| partition.0 == *topic);
    let each = of_topic.map(|(partition, _, last)| match found.get(partition) {
        Some(found) if found == last => Identity::Same,
        Some(_) => Identity::Recreated,
        None => Identity::Unknown,
    });
    // The partitions of a topic live and die together.
    let topic_is = each.fold(Identity::Unknown, |topic, partition| match (topic, partition) {
        (Identity::Same, _) | (_, Identity::Same) => Identity::Same,
        (Identity::Recreated, _) | (_, Identity::Recreated) => Identity::Recreated,
        _ => Identity::Unknown,
    });
    match topic_is {
        Identity::Recreated => {
            tracing::warn!(
                topic = &**topic,
                "the topic was deleted and created again since it was last read: it is read from its beginning"
            );
        }
        Identity::Unknown if elsewhere => {
            tracing::warn!(
                topic = &**topic,
                "the topic was last read on another cluster: it is read from its beginning here"
            );
        }
        Identity::Same if elsewhere => {
            tracing::info!(
                topic = &**topic,
                "the cluster is another one, but the topic has the message that was read last: reading continues after it"
            );
        }
        Identity::Same | Identity::Unknown => {}
    }
    topic_is == Identity::Recreated || (topic_is == Identity::Unknown && elsewhere)
}

/// Reads the message before each offset; those that are gone are left out.
fn last_messages(
    metadata: &ClusterMetadata<'_>,
    offsets: &HashMap<&TopicPartition, i64>,
) -> Result<HashMap<TopicPartition, LastMessage>, Error> {
    let doing = "reading the last messages of the topic again";
    let consumer = metadata.consumer;
    let from = offsets.iter().map(|(partition, next)| (*partition, Offset::Offset(*next - 1)));
    let assigned = consumer.assign(&list(from)?);
    assigned.map_err(|error| errors::wrap(doing, &error, metadata.access))?;
    let (mut open, mut found) = (offsets.clone(), HashMap::new());
    let since = Instant::now();
    while let Some(waiting) = open.keys().next() {
        if since.elapsed() > FETCH_TIMEOUT {
            let message = format!("{doing}: the leader of {} did not respond", name_of(waiting));
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let partition: TopicPartition = (message.topic().into(), message.partition());
                if let Some(next) = open.remove(&partition)
                    && message.offset() == next - 1
                {
                    found.insert(partition, last_of(&message));
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.retain(|(_, known), _| *known != partition);
            }
            Some(Err(error)) => {
                let code = errors::code_of(&error).filter(|code| errors::is_final(*code));
                if let Some(code) = code {
                    let message = consumer.context().message_of(code);
                    return Err(errors::explain(doing, code, message.as_deref(), metadata.access));
                }
            }
            None => {}
        }
    }
    consumer.unassign().map_err(|error| errors::wrap(doing, &error, metadata.access))?;
    Ok(found)
}

/// Returns what is kept of a message.
pub(crate) fn last_of(message: &BorrowedMessage<'_>) -> LastMessage {
    LastMessage {
        ms: message.timestamp().to_millis(),
        bytes: (message.key_len() + message.payload_len()) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(ms: i64) -> LastMessage {
        LastMessage { ms: Some(ms), bytes: 7 }
    }

    #[test]
    fn a_topic_is_the_same_if_one_partition_still_has_its_message() {
        let topic: Text = "t".into();
        let partition = |partition| (topic.clone(), partition);
        let read = [(partition(0), 5, last(1)), (partition(1), 9, last(2)), (("u".into(), 0), 3, last(3))];
        let found = |found: &[(i32, i64)]| found.iter().map(|(at, ms)| (partition(*at), last(*ms))).collect();
        for (now, elsewhere, recreated) in [
            (found(&[(0, 1), (1, 2)]), false, false),
            (found(&[(0, 1)]), true, false),
            // Truncated after an unclean election, or rewritten: the other one decides.
            (found(&[(0, 1), (1, 3)]), false, false),
            (found(&[(1, 3)]), false, true),
            (found(&[(0, 4), (1, 3)]), true, true),
            (found(&[]), false, false),
            (found(&[]), true, true),
        ] {
            assert_eq!(is_recreated(&topic, &read, &now, elsewhere), recreated, "{now:?} {elsewhere}");
        }
    }
}
