//! Single messages, read again by their offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::Offset;
use tidegate_model::{Batch, Error, ErrorKind, Row, Text, Value};
use tokio::runtime::Handle;

use crate::decode::Decoder;
use crate::errors;
use crate::malformed::{malformed, origin, parse};
use crate::message::Message;
use crate::metadata::ClusterMetadata;
use crate::partition::{TopicPartition, list, name_of};

/// How long to wait for a message.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Up to this many messages are read rather than skipped by a seek: a jump discards what was fetched.
const NEAR: i64 = 500;

/// The offsets of messages, by partition.
pub(crate) type Wanted = BTreeMap<TopicPartition, BTreeSet<i64>>;

/// Returns the messages at locations such as `orders[3]@17`; `None` if one is none of a message.
pub(crate) fn at_locations(locations: &[String]) -> Option<Wanted> {
    let mut wanted = Wanted::new();
    for location in locations {
        let (topic, partition, offset) = parse(location)?;
        wanted.entry((topic.into(), partition)).or_default().insert(offset);
    }
    Some(wanted)
}

/// Returns the messages of rows, by the values of their columns `topic`, `partition` and
/// `offset`; `None` if the key is another one.
pub(crate) fn of_rows(key: &[String], values: &[Vec<Value>]) -> Option<Wanted> {
    let at = |name: &str| key.iter().position(|column| column == name);
    let (topic, partition, offset) = (at("topic")?, at("partition")?, at("offset")?);
    let mut wanted = Wanted::new();
    for row in values {
        let (Value::Text(topic), Value::Int(partition), Value::Int(offset)) =
            (row.get(topic)?, row.get(partition)?, row.get(offset)?)
        else {
            return None;
        };
        let partition = i32::try_from(*partition).ok()?;
        wanted.entry((topic.clone(), partition)).or_default().insert(*offset);
    }
    Some(wanted)
}

/// Reads messages again, those that the topic still has. Blocks.
///
/// # Errors
/// No broker responds, access is denied, or the schema registry cannot be asked.
pub(crate) fn read(
    metadata: &ClusterMetadata<'_>,
    decoder: &Decoder,
    topics: &[String],
    wanted: &Wanted,
) -> Result<Batch<Row>, Error> {
    let mut batch = Batch::of(Vec::new());
    let present = metadata.all_partitions(topics)?;
    let partitions: Vec<TopicPartition> =
        wanted.keys().filter(|partition| present.contains(partition)).cloned().collect();
    let watermarks = metadata.watermarks(&partitions)?;
    for partition in &partitions {
        let (Some(offsets), Some(range)) = (wanted.get(partition), watermarks.get(partition)) else {
            continue;
        };
        let offsets = offsets.range(range.low..range.end).copied().collect();
        read_partition(metadata, decoder, partition, offsets, &mut batch)?;
    }
    let _ = metadata.consumer.unassign();
    Ok(batch)
}

fn read_partition(
    metadata: &ClusterMetadata<'_>,
    decoder: &Decoder,
    partition: &TopicPartition,
    mut offsets: BTreeSet<i64>,
    batch: &mut Batch<Row>,
) -> Result<(), Error> {
    let doing = "reading messages of the topic again";
    let name = Text::from(format!("{}@", name_of(partition)));
    let consumer = metadata.consumer;
    let (mut next, mut since) = (None::<i64>, Instant::now());
    while let Some(&offset) = offsets.first() {
        if next.is_none_or(|next| offset < next || offset > next.saturating_add(NEAR)) {
            let from = list(std::iter::once((partition, Offset::Offset(offset))))?;
            consumer.assign(&from).map_err(|error| errors::wrap(doing, &error, metadata.access))?;
            next = Some(offset);
        }
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                since = Instant::now();
                next = Some(message.offset() + 1);
                if offsets.remove(&message.offset()) {
                    decode(decoder, &message, partition, &name, batch)?;
                }
                // What the topic has compacted away, or never showed, is gone.
                offsets = offsets.split_off(&(message.offset() + 1));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) => {
                if let Some(code) = errors::code_of(&error).filter(|code| errors::is_final(*code)) {
                    let message = consumer.context().message_of(code);
                    return Err(errors::explain(doing, code, message.as_deref(), metadata.access));
                }
            }
            None => {}
        }
        if since.elapsed() > FETCH_TIMEOUT {
            let message = format!("{doing}: the leader of {} did not respond", name_of(partition));
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
    }
    Ok(())
}

fn decode(
    decoder: &Decoder,
    message: &BorrowedMessage<'_>,
    partition: &TopicPartition,
    name: &Text,
    batch: &mut Batch<Row>,
) -> Result<(), Error> {
    let message = Message::of(message, &partition.0);
    match Handle::current().block_on(decoder.row(&message))? {
        Ok(row) => {
            batch.items.push(row);
            batch.origins.push(origin(name, message.offset));
        }
        Err(damaged) => batch.push_malformed(malformed(*damaged, &message, name)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_named_by_location_or_by_key() {
        let locations = ["a[1]@5".to_owned(), "a[1]@2".to_owned(), "b[0]@7".to_owned()];
        let expected: Wanted =
            [(("a".into(), 1), [2, 5].into()), (("b".into(), 0), [7].into())].into_iter().collect();
        assert_eq!(at_locations(&locations), Some(expected.clone()));
        assert_eq!(at_locations(&["orders.csv:17".to_owned()]), None);

        let key = ["topic", "partition", "offset"].map(str::to_owned);
        let row = |topic: &'static str, partition, offset| {
            vec![Value::Text(topic.into()), Value::Int(partition), Value::Int(offset)]
        };
        let values = [row("a", 1, 5), row("a", 1, 2), row("b", 0, 7)];
        assert_eq!(of_rows(&key, &values), Some(expected));
        assert_eq!(of_rows(&["id".to_owned()], &[vec![Value::Int(1)]]), None);
    }
}
