//! Reading a topic without a group: the reader keeps its own offsets.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tidegate_model::{Batch, Checkpoint, Error, ErrorKind, Feed, LoggedEvent, MalformedRecord, Reading};
use tokio::time::Interval;

use crate::cluster::{self, Cluster, RESPONSE_TIMEOUT, blocking, code};
use crate::context::Context;
use crate::record;

/// The bytes of a batch: it ends with the event that reaches them.
const BATCH_BYTES: usize = 8 << 20;
/// How often a reader that follows looks for partitions that were added to its topic.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long a read to the end may come to nothing new before it is given up.
pub(super) const STALL_MAX: Duration = Duration::from_secs(10);
/// How much of a record that is no event is shown.
const SHOWN_BYTES: usize = 200;

/// Settings of a reader besides those of the connection.
const READING: &[(&str, &str)] = &[
    // Librdkafka requires a name; no group is joined and nothing is committed.
    ("group.id", "tidegate-event-log"),
    // Events removed by retention are skipped.
    ("auto.offset.reset", "earliest"),
    ("queued.max.messages.kbytes", "16384"),
];

/// Reads to the end and stops.
pub(super) const TO_THE_END: Reading = Reading { batch_events: 10_000, follow: false };

/// The next offset of each partition, as checkpoints hold it.
pub(super) type Offsets = BTreeMap<i32, i64>;

/// A consumer without a group.
pub(super) type LogConsumer = StreamConsumer<Context>;

/// Opens a consumer.
pub(super) fn open_consumer(cluster: &Cluster, follow: bool) -> Result<LogConsumer, Error> {
    let mut more = READING.to_vec();
    if !follow {
        // The end is known from a response without records, which must not wait for some.
        more.push(("fetch.wait.max.ms", "10"));
    }
    cluster.client.create(&more, None, |context| context)
}

/// Reads the offsets of a checkpoint.
pub(super) fn offsets(checkpoint: Option<&Checkpoint>) -> Result<Offsets, Error> {
    let Some(checkpoint) = checkpoint else { return Ok(Offsets::new()) };
    serde_json::from_value(checkpoint.0.clone()).map_err(|_| {
        Error::settings("this export has read another event log before, and not the one in Kafka")
            .hint("name the log that it has read, or run `tidegate reset` for the export: it reads all events of this one")
    })
}

/// One topic being read.
pub(super) struct Reader {
    cluster: Cluster,
    consumer: Arc<LogConsumer>,
    topic: String,
    partitions: i32,
    next: Offsets,
    reading: Reading,
    ended: HashSet<i32>,
    look: Interval,
}

impl Reader {
    /// Assigns all partitions at their offsets; those without one start at `or`.
    pub(super) fn start(
        cluster: Cluster,
        topic: String,
        partitions: i32,
        next: Offsets,
        or: Offset,
        reading: Reading,
    ) -> Result<Reader, Error> {
        let consumer = Arc::new(open_consumer(&cluster, reading.follow)?);
        listed(&topic, 0..partitions, &next, or)
            .and_then(|list| consumer.assign(&list))
            .map_err(|error| cluster.explain("reading", &topic, code(&error)))?;
        let look = tokio::time::interval(LOOK_EVERY);
        Ok(Reader { cluster, consumer, topic, partitions, next, reading, ended: HashSet::new(), look })
    }

    /// Reads the partitions that were added since it began, too, from their beginning.
    async fn grow(&mut self) -> Result<(), Error> {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let found = blocking(move || Ok(cluster::partitions(consumer.client(), &topic))).await?;
        let partitions = match found {
            Ok(Some(partitions)) if partitions > self.partitions => partitions,
            Ok(_) => return Ok(()),
            Err(code) => {
                tracing::debug!(%code, topic = self.topic, "its partitions could not be counted");
                return Ok(());
            }
        };
        listed(&self.topic, self.partitions..partitions, &self.next, Offset::Beginning)
            .and_then(|list| self.consumer.incremental_assign(&list))
            .map_err(|error| self.cluster.explain("reading", &self.topic, code(&error)))?;
        tracing::info!(
            topic = self.topic,
            partitions,
            "partitions were added to the topic: they are read, too"
        );
        self.partitions = partitions;
        Ok(())
    }

    /// Reads to the end of every partition and returns these offsets. Some brokers
    /// report wrong watermarks, so the responses to fetches decide.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if no broker sends records for [`STALL_MAX`].
    pub(super) async fn ends(mut self) -> Result<Offsets, Error> {
        while self.batch_in_time("start the brokers that lead these partitions").await?.is_some() {}
        Ok(self.next)
    }

    /// Returns the next batch, as [`Reader::batch`] does, and waits for [`STALL_MAX`] at most.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] with this hint if none came. The reader is dropped then.
    pub(super) async fn batch_in_time(&mut self, hint: &str) -> Result<Option<Batch<LoggedEvent>>, Error> {
        let batch = tokio::time::timeout(STALL_MAX, self.batch()).await;
        batch.unwrap_or_else(|_| Err(self.stalled().hint(hint)))
    }

    /// The error of a read that comes to nothing new.
    fn stalled(&self) -> Error {
        let unread = (0..self.partitions).filter(|partition| !self.ended.contains(partition));
        let unread: Vec<String> = unread.map(|partition| partition.to_string()).collect();
        let (topic, unread) = (&self.topic, unread.join(", "));
        let message = format!("`{topic}`: no broker sends the records of partition {unread}");
        Error::new(ErrorKind::Unavailable, message)
    }

    /// Returns the offsets that it came to.
    pub(super) fn into_offsets(self) -> Offsets {
        self.next
    }

    /// Returns batches until the end, or until it is dropped.
    pub(super) fn feed(self) -> Feed<LoggedEvent> {
        stream::try_unfold(self, |mut reader| async move {
            let batch = reader.batch().await?;
            Ok(batch.map(|batch| (batch, reader)))
        })
        .boxed()
    }

    /// Returns the next batch; `None` at the end. It may be dropped only together with the reader.
    pub(super) async fn batch(&mut self) -> Result<Option<Batch<LoggedEvent>>, Error> {
        let mut batch = Batch::of(Vec::new());
        let mut bytes = 0;
        let consumer = Arc::clone(&self.consumer);
        while self.reading.follow || (self.ended.len() as i32) < self.partitions {
            let empty = batch.items.is_empty() && batch.malformed.is_empty();
            let received = if empty {
                tokio::select! {
                    received = consumer.recv() => received,
                    _ = self.look.tick(), if self.reading.follow => {
                        self.grow().await?;
                        continue;
                    }
                }
            } else {
                // Take what is available; do not wait for more.
                match consumer.recv().now_or_never() {
                    Some(received) => received,
                    None => break,
                }
            };
            match received {
                Ok(message) => {
                    self.next.insert(message.partition(), message.offset() + 1);
                    match record::event(&message) {
                        Ok(event) => {
                            bytes += event.event.estimated_size();
                            batch.items.push(event);
                        }
                        Err(reason) => {
                            let (place, payload) = (position(&message), shown(&message));
                            batch.push_malformed(MalformedRecord::new(place, payload, reason));
                        }
                    }
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    self.ended.insert(partition);
                }
                Err(error) if is_transient(code(&error)) => {
                    tracing::debug!(%error, topic = self.topic, "reading continues automatically");
                }
                Err(error) => return Err(self.cluster.explain("reading", &self.topic, code(&error))),
            }
            let count = batch.items.len() + batch.malformed.len();
            if count >= self.reading.batch_events.max(1) || bytes >= BATCH_BYTES {
                break;
            }
        }
        if batch.items.is_empty() && batch.malformed.is_empty() {
            return Ok(None);
        }
        batch.checkpoint = Some(Checkpoint(serde_json::json!(self.next)));
        Ok(Some(batch))
    }
}

/// Lists partitions at their offsets; those without one are at `or`.
fn listed(
    topic: &str,
    mut partitions: Range<i32>,
    next: &Offsets,
    or: Offset,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    partitions.try_for_each(|partition| {
        let offset = next.get(&partition).map_or(or, |at| Offset::Offset(*at));
        list.add_partition_offset(topic, partition, offset)
    })?;
    Ok(list)
}

/// Returns whether librdkafka recovers automatically: from the loss of one broker, and from
/// errors of the group, which is not used.
fn is_transient(code: Code) -> bool {
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

fn position(message: &BorrowedMessage<'_>) -> String {
    format!("{}[{}]:{}", message.topic(), message.partition(), message.offset())
}

fn shown(message: &BorrowedMessage<'_>) -> String {
    let payload = message.payload().unwrap_or_default();
    String::from_utf8_lossy(&payload[..payload.len().min(SHOWN_BYTES)]).into_owned()
}

/// Returns the first offset at or after a time, by partition; none if nothing was
/// logged since. Blocks.
pub(super) fn offsets_since(
    consumer: &LogConsumer,
    topic: &str,
    partitions: i32,
    milliseconds: i64,
) -> Result<Offsets, Code> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        let asked = list.add_partition_offset(topic, partition, Offset::Offset(milliseconds));
        asked.map_err(|error| code(&error))?;
    }
    let found = consumer.offsets_for_times(list, RESPONSE_TIMEOUT).map_err(|error| code(&error))?;
    let mut offsets = Offsets::new();
    for element in found.elements() {
        // A partition that did not answer is not one without events.
        element.error().map_err(|error| code(&error))?;
        if let Offset::Offset(at) = element.offset() {
            offsets.insert(element.partition(), at);
        }
    }
    Ok(offsets)
}

/// Returns the first offset of each partition, and the last one or a slightly lower one. Blocks.
pub(super) fn watermarks(
    consumer: &LogConsumer,
    cluster: &Cluster,
    topic: &str,
    partitions: i32,
) -> Result<(Offsets, Offsets), Error> {
    let (mut lows, mut highs) = (Offsets::new(), Offsets::new());
    for partition in 0..partitions {
        let watermarks = consumer.fetch_watermarks(topic, partition, RESPONSE_TIMEOUT);
        let (low, high) = watermarks.map_err(|error| cluster.explain("looking at", topic, code(&error)))?;
        lows.insert(partition, low);
        highs.insert(partition, high);
    }
    Ok((lows, highs))
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use tidegate_model::{Event, StreamId};
    use tidegate_testkit::ManualClock;
    use tidegate_testkit::event_log::event;

    use super::*;
    use crate::tests::{broker, context, settings, unique};
    use crate::{LogSettings, event_log};

    /// Neither the broker of the tests nor librdkafka's can add partitions to a topic: this reader began
    /// when there were three.
    #[tokio::test]
    async fn partitions_that_are_added_while_an_export_follows_are_read() {
        let prefix = format!("{}.", unique("log"));
        let context = context(Arc::new(ManualClock::default()), false);
        let log = LogSettings {
            prefix: prefix.clone(),
            partitions: 6,
            replicas: Some(1),
            ..LogSettings::default()
        };
        let log = event_log(&settings(&broker()), log, &context).expect("settings that work");
        let users = (0..30).map(|at| Event { user: format!("u{at}").into(), ..event(&at.to_string()) });
        log.append(&StreamId::new("shop"), users.collect()).await.expect("appended");

        let cluster = Cluster::new(&settings(&broker()), &["READ"], &context).expect("settings that work");
        let follow = Reading { batch_events: 100, follow: true };
        let topic = format!("{prefix}shop");
        let reader = Reader::start(cluster, topic, 3, Offsets::new(), Offset::Beginning, follow);
        let mut reader = reader.expect("it reads");
        let mut found = std::collections::BTreeSet::new();
        let mut last = Offsets::new();
        let reading = async {
            while found.len() < 30 {
                let batch = reader.batch().await.expect("a batch").expect("it follows");
                found.extend(batch.items.iter().map(|logged| logged.event.id.to_string()));
                last = offsets(batch.checkpoint.as_ref()).expect("a checkpoint of this log");
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reading).await.expect("all users");
        assert_eq!((last.values().sum::<i64>(), last.keys().max()), (30, Some(&5)));
    }

    #[tokio::test]
    async fn the_lag_of_an_export_whose_broker_is_down_is_an_error_and_not_a_wait_without_end() {
        let mock = MockCluster::new(2).expect("mock");
        mock.create_topic("t.shop", 2, 1).expect("topic");
        for (partition, broker) in [(0, 1), (1, 2)] {
            mock.partition_leader("t.shop", partition, Some(broker)).expect("a leader");
        }
        let context = context(Arc::new(ManualClock::default()), false);
        let brokers = mock.bootstrap_servers();
        let cluster = Cluster::new(&settings(&brokers), &["READ"], &context).expect("settings that work");
        let open = || {
            let (cluster, topic) = (cluster.clone(), "t.shop".to_owned());
            Reader::start(cluster, topic, 2, Offsets::new(), Offset::End, TO_THE_END).expect("it reads")
        };
        let ends = |reader: Reader| tokio::time::timeout(Duration::from_secs(40), reader.ends());
        assert_eq!(ends(open()).await.expect("in time").expect("the ends"), Offsets::new());

        mock.broker_down(2).expect("down");
        let error = ends(open()).await.expect("it waits no longer").expect_err("no end of partition 1");

        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert_eq!(error.message(), "`t.shop`: no broker sends the records of partition 1");
    }
}
