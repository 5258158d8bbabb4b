//! Reading a topic without a group: the place is the reader's own.

use std::collections::{BTreeMap, HashSet};

use futures_util::{FutureExt, StreamExt, stream};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tidegate_model::{Batch, Checkpoint, Error, Feed, LoggedEvent, Reading, Unreadable};

use crate::cluster::{ANSWER, Cluster, code};
use crate::context::Context;
use crate::record;

/// The bytes of a batch: it ends with the event that reaches them.
const BATCH_BYTES: usize = 8 << 20;
/// How much of a record that is no event is shown.
const SHOWN_BYTES: usize = 200;

/// What a reader does besides the settings of its cluster.
const READING: &[(&str, &str)] = &[
    // Librdkafka wants a name; nothing is joined and nothing committed.
    ("group.id", "tidegate-event-log"),
    // What retention removed is passed over.
    ("auto.offset.reset", "earliest"),
    ("queued.max.messages.kbytes", "16384"),
];

/// The next offset of each partition, as checkpoints hold it.
pub(super) type Places = BTreeMap<i32, i64>;

/// A consumer that leaves no trace at the brokers.
pub(super) type Watcher = StreamConsumer<Context>;

/// Starts a consumer.
pub(super) fn watcher(cluster: &Cluster, follow: bool) -> Result<Watcher, Error> {
    let mut more = READING.to_vec();
    if !follow {
        // The end is told by an answer without records: that one must not wait for some.
        more.push(("fetch.wait.max.ms", "10"));
    }
    cluster.client.create(&more, None, |context| context)
}

/// The places of a checkpoint.
pub(super) fn places(checkpoint: Option<&Checkpoint>) -> Result<Places, Error> {
    let Some(checkpoint) = checkpoint else { return Ok(Places::new()) };
    serde_json::from_value(checkpoint.0.clone())
        .map_err(|cause| Error::internal("the checkpoint is none of a Kafka event log").caused_by(cause))
}

/// One topic being read.
pub(super) struct Reader {
    cluster: Cluster,
    consumer: Watcher,
    topic: String,
    partitions: i32,
    next: Places,
    reading: Reading,
    ended: HashSet<i32>,
}

impl Reader {
    /// Puts a consumer to its places; partitions without one start where `or` says.
    pub(super) fn start(
        cluster: Cluster,
        topic: String,
        partitions: i32,
        next: Places,
        or: Offset,
        reading: Reading,
    ) -> Result<Reader, Error> {
        let consumer = watcher(&cluster, reading.follow)?;
        let mut list = TopicPartitionList::new();
        let placed = (0..partitions).try_for_each(|partition| {
            let offset = next.get(&partition).map_or(or, |at| Offset::Offset(*at));
            list.add_partition_offset(&topic, partition, offset)
        });
        placed
            .and_then(|()| consumer.assign(&list))
            .map_err(|error| cluster.explain("reading", &topic, code(&error)))?;
        Ok(Reader { cluster, consumer, topic, partitions, next, reading, ended: HashSet::new() })
    }

    /// Reads to the end of every partition and tells where that is. Said by the
    /// answers to fetching: some brokers answer the question for it wrongly.
    pub(super) async fn ends(mut self) -> Result<Places, Error> {
        while self.batch().await?.is_some() {}
        Ok(self.next)
    }

    /// Batches until nothing is left, or until it is dropped.
    pub(super) fn feed(self) -> Feed<LoggedEvent> {
        stream::try_unfold(self, |mut reader| async move {
            let batch = reader.batch().await?;
            Ok(batch.map(|batch| (batch, reader)))
        })
        .boxed()
    }

    async fn batch(&mut self) -> Result<Option<Batch<LoggedEvent>>, Error> {
        let mut batch = Batch::of(Vec::new());
        let mut bytes = 0;
        while self.reading.follow || (self.ended.len() as i32) < self.partitions {
            let empty = batch.items.is_empty() && batch.unreadable.is_empty();
            let received = if empty {
                self.consumer.recv().await
            } else {
                // What is here already goes along; nothing waits for more.
                match self.consumer.recv().now_or_never() {
                    Some(received) => received,
                    None => break,
                }
            };
            match received {
                Ok(message) => {
                    self.next.insert(message.partition(), message.offset() + 1);
                    match record::event(&message) {
                        Ok(event) => {
                            bytes += event.event.weight();
                            batch.items.push(event);
                        }
                        Err(reason) => {
                            let (place, payload) = (place(&message), shown(&message));
                            batch.unreadable.push(Unreadable { place, payload, reason });
                        }
                    }
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    self.ended.insert(partition);
                }
                Err(error) if passes(code(&error)) => {
                    tracing::debug!(%error, topic = self.topic, "reading goes on by itself");
                }
                Err(error) => return Err(self.cluster.explain("reading", &self.topic, code(&error))),
            }
            let count = batch.items.len() + batch.unreadable.len();
            if count >= self.reading.batch_events.max(1) || bytes >= BATCH_BYTES {
                break;
            }
        }
        if batch.items.is_empty() && batch.unreadable.is_empty() {
            return Ok(None);
        }
        batch.checkpoint = Some(Checkpoint(serde_json::json!(self.next)));
        Ok(Some(batch))
    }
}

/// Whether librdkafka mends it by itself: one broker of several, and the group
/// that we have no part in.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::GroupAuthorizationFailed
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
    )
}

fn place(message: &BorrowedMessage<'_>) -> String {
    format!("{}[{}]:{}", message.topic(), message.partition(), message.offset())
}

fn shown(message: &BorrowedMessage<'_>) -> String {
    let payload = message.payload().unwrap_or_default();
    String::from_utf8_lossy(&payload[..payload.len().min(SHOWN_BYTES)]).into_owned()
}

/// The first place at or after a moment, by partition; none where nothing was
/// logged since. Blocks.
pub(super) fn places_since(
    consumer: &Watcher,
    topic: &str,
    partitions: i32,
    milliseconds: i64,
) -> Result<Places, Code> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        let asked = list.add_partition_offset(topic, partition, Offset::Offset(milliseconds));
        asked.map_err(|error| code(&error))?;
    }
    let found = consumer.offsets_for_times(list, ANSWER).map_err(|error| code(&error))?;
    Ok(found
        .elements()
        .iter()
        .filter_map(|element| match element.offset() {
            Offset::Offset(at) => Some((element.partition(), at)),
            _ => None,
        })
        .collect())
}

/// Where each partition begins, and where it ends or a little before. Blocks.
pub(super) fn bounds(cluster: &Cluster, topic: &str, partitions: i32) -> Result<(Places, Places), Error> {
    let consumer = watcher(cluster, false)?;
    let (mut lows, mut highs) = (Places::new(), Places::new());
    for partition in 0..partitions {
        let bounds = consumer.fetch_watermarks(topic, partition, ANSWER);
        let (low, high) = bounds.map_err(|error| cluster.explain("looking at", topic, code(&error)))?;
        lows.insert(partition, low);
        highs.insert(partition, high);
    }
    Ok((lows, highs))
}
