//! The event log on Kafka: one topic for each stream.
//!
//! An event is durable when all in-sync replicas have it. The topic's retention
//! removes old events; readers keep their own offsets, without a group.

mod dedup;
mod names;
mod reading;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::SignedDuration;
use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_model::{
    Appended, Checkpoint, Clock, ConnectorContext, Error, ErrorKind, Event, EventLog, Feed, Lag, LoggedEvent,
    Reading, Retention, RowHash, Settings, StreamId,
};

use crate::cluster::{Cluster, RESPONSE_TIMEOUT, blocking, check_topic, code};
use crate::context::Context;
use crate::producer::{Outgoing, Producer, RECORD_BYTES_MAX, WriteResult};
use crate::record;
use dedup::{DedupIndex, id_of};
use reading::{Reader, offsets, offsets_since, open_consumer};

/// How many events may wait for their results at once, over all appends.
const WAITING_MAX: usize = 50_000;

/// Reads to the end and stops.
const TO_THE_END: Reading = Reading { batch_events: 10_000, follow: false };

/// Settings of the event log.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// The prefix of the names of topics.
    pub prefix: String,
    /// Partitions of a topic that is created: events of one user are in one of them.
    pub partitions: u16,
    /// Replicas of a topic that is created; the brokers' own number if absent.
    pub replicas: Option<u16>,
    /// How long events are kept, in a topic that is created.
    pub retention: SignedDuration,
    /// The deduplication window: how long the id of an event is known.
    pub dedup_window: SignedDuration,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings {
            prefix: "tidegate.".to_owned(),
            partitions: 12,
            replicas: None,
            retention: SignedDuration::from_hours(90 * 24),
            dedup_window: SignedDuration::from_hours(1),
        }
    }
}

/// Returns an event log on the cluster of a connection of kind `kafka`. Nothing is contacted yet.
///
/// # Errors
/// Settings that cannot work.
pub fn event_log(
    connection: &Settings,
    settings: LogSettings,
    tools: &ConnectorContext,
) -> Result<Arc<dyn EventLog>, Error> {
    let cluster = Cluster::new(connection, &["CREATE", "READ", "WRITE", "DESCRIBE"], tools)?;
    Ok(Arc::new(KafkaLog::new(cluster, settings, Arc::clone(&tools.clock))))
}

/// An event log on a Kafka cluster.
pub(crate) struct KafkaLog {
    producer: Producer,
    settings: LogSettings,
    clock: Arc<dyn Clock>,
    /// The streams that were appended to, with the ids of their latest events.
    streams: tokio::sync::Mutex<HashMap<StreamId, Arc<Mutex<DedupIndex>>>>,
    waiting: AtomicUsize,
}

impl KafkaLog {
    /// Opens the log. Nothing is connected yet.
    pub(crate) fn new(cluster: Cluster, settings: LogSettings, clock: Arc<dyn Clock>) -> KafkaLog {
        let producer = Producer::new(cluster);
        KafkaLog {
            producer,
            settings,
            clock,
            streams: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    fn topic(&self, stream: &StreamId) -> Result<String, Error> {
        let topic = names::topic(&self.settings.prefix, stream);
        check_topic("stream", &topic)?;
        Ok(topic)
    }

    /// Creates the topic if it is missing; returns the number of its partitions.
    async fn create(&self, topic: &str) -> Result<i32, Error> {
        if let Some(partitions) = self.producer.partitions(topic).await? {
            return Ok(partitions);
        }
        let cluster = self.producer.cluster();
        let failed = |code| cluster.explain("creating", topic, code);
        let admin: AdminClient<Context> = cluster.client.create(&[], None, |context| context)?;
        let retention = self.settings.retention.as_millis().to_string();
        let largest = RECORD_BYTES_MAX.to_string();
        let replicas = self.settings.replicas.map_or(-1, i32::from);
        let wanted = NewTopic::new(topic, self.settings.partitions.into(), TopicReplication::Fixed(replicas))
            .set("retention.ms", &retention)
            .set("cleanup.policy", "delete")
            .set("max.message.bytes", &largest);
        let made = admin
            .create_topics([&wanted], &AdminOptions::new().operation_timeout(Some(RESPONSE_TIMEOUT)))
            .await;
        for result in made.map_err(|error| failed(code(&error)))? {
            match result {
                // Another process created it at the same moment.
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(failed(code)),
            }
        }
        let partitions = self.producer.partitions(topic).await?;
        partitions.ok_or_else(|| failed(Code::LeaderNotAvailable))
    }

    /// Returns the deduplication index of a stream. The first append reads it from the
    /// log itself, so that a restart forgets nothing.
    async fn dedup(&self, stream: &StreamId, topic: &str) -> Result<Arc<Mutex<DedupIndex>>, Error> {
        let mut streams = self.streams.lock().await;
        if let Some(dedup) = streams.get(stream) {
            return Ok(Arc::clone(dedup));
        }
        let partitions = self.create(topic).await?;
        let now = self.clock.now();
        let since = now.as_millisecond() - self.settings.dedup_window.as_millis() as i64;
        let cluster = self.producer.cluster().clone();
        let name = topic.to_owned();
        let reader = blocking(move || {
            let offsets = offsets_since(&open_consumer(&cluster, false)?, &name, partitions, since)
                .map_err(|code| cluster.explain("reading", &name, code))?;
            Reader::start(cluster, name, partitions, offsets, Offset::End, TO_THE_END)
        })
        .await?;
        let mut dedup = DedupIndex::new(self.settings.dedup_window, now);
        let mut scratch = Vec::new();
        let mut feed = reader.feed();
        while let Some(batch) = feed.try_next().await? {
            for logged in batch.items {
                dedup.know(id_of(&logged.event, &mut scratch), logged.logged_at);
            }
        }
        let dedup = Arc::new(Mutex::new(dedup));
        streams.insert(stream.clone(), Arc::clone(&dedup));
        Ok(dedup)
    }

    /// Writes the events that are not in the log yet.
    async fn write(&self, topic: &str, events: &[Event], fresh: &[usize]) -> Result<Vec<WriteResult>, Error> {
        let logged_at = self.clock.now().as_millisecond();
        let records = fresh.iter().map(|at| {
            let event = &events[*at];
            Outgoing {
                key: record::key(event),
                payload: event.payload.as_str().as_bytes(),
                headers: record::headers(event),
                timestamp: Some(logged_at),
            }
        });
        self.producer.send(topic, records).await
    }
}

/// A share of [`WAITING_MAX`], held while events wait for their results.
struct WaitingPermit<'a> {
    waiting: &'a AtomicUsize,
    events: usize,
}

impl<'a> WaitingPermit<'a> {
    /// Takes a share. A single append always gets one, however large it is.
    fn take(waiting: &'a AtomicUsize, events: usize) -> Result<WaitingPermit<'a>, Error> {
        let before = waiting.fetch_add(events, Ordering::Relaxed);
        let permit = WaitingPermit { waiting, events };
        if before > 0 && before + events > WAITING_MAX {
            let message = format!("{before} events are waiting for Kafka already");
            return Err(Error::new(ErrorKind::Throttled(None), message));
        }
        Ok(permit)
    }
}

impl Drop for WaitingPermit<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.events, Ordering::Relaxed);
    }
}

/// Converts the error of an append to one of the three kinds that its callers handle.
fn not_durable(error: &Error) -> Error {
    let kind = match error.kind() {
        kind @ (ErrorKind::Throttled(_) | ErrorKind::TooLarge) => kind,
        _ => ErrorKind::Storage,
    };
    Error::new(kind, error.message()).hint(error.next_step())
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn append(&self, stream: &StreamId, events: Vec<Event>) -> Result<Appended, Error> {
        if events.is_empty() {
            return Ok(Appended::default());
        }
        let _permit = WaitingPermit::take(&self.waiting, events.len())?;
        let topic = self.topic(stream)?;
        let dedup = self.dedup(stream, &topic).await.map_err(|error| not_durable(&error))?;
        let mut scratch = Vec::new();
        let ids: Vec<RowHash> = events.iter().map(|event| id_of(event, &mut scratch)).collect();
        let split = DedupIndex::split(&dedup, &ids, self.clock.now());
        let results = self.write(&topic, &events, &split.fresh).await;
        let results = results.map_err(|error| not_durable(&error))?;
        split.landing.land(results.iter().map(|result| *result == WriteResult::Written));
        let failed = results.iter().find_map(|result| match result {
            WriteResult::Written => None,
            WriteResult::Rejected(code) | WriteResult::Lost(code) => Some(*code),
        });
        if let Some(code) = failed {
            return Err(not_durable(&self.producer.cluster().explain("appending to", &topic, code)));
        }
        if !split.others.landed().await {
            let message = format!("appending to `{topic}`: another append of the same events failed");
            return Err(Error::new(ErrorKind::Storage, message));
        }
        Ok(Appended { events: split.fresh.len() as u64, duplicates: split.duplicates })
    }

    async fn read(
        &self,
        stream: &StreamId,
        after: Option<&Checkpoint>,
        reading: Reading,
    ) -> Result<Feed<LoggedEvent>, Error> {
        let topic = self.topic(stream)?;
        let next = offsets(after)?;
        let partitions = match self.producer.partitions(&topic).await? {
            Some(partitions) => partitions,
            // A follower needs an existing topic to subscribe to.
            None if reading.follow => self.create(&topic).await?,
            None => return Ok(stream::empty().boxed()),
        };
        let cluster = self.producer.cluster().clone();
        let reader =
            blocking(move || Reader::start(cluster, topic, partitions, next, Offset::Beginning, reading));
        Ok(reader.await?.feed())
    }

    async fn lag(&self, stream: &StreamId, after: Option<&Checkpoint>) -> Result<Vec<Lag>, Error> {
        let topic = self.topic(stream)?;
        let next = offsets(after)?;
        let Some(partitions) = self.producer.partitions(&topic).await? else { return Ok(Vec::new()) };
        let cluster = self.producer.cluster().clone();
        let (lows, reader) = blocking(move || {
            let (lows, highs) = reading::watermarks(&cluster, &topic, partitions)?;
            let reader = Reader::start(cluster, topic, partitions, highs, Offset::End, TO_THE_END)?;
            Ok((lows, reader))
        })
        .await?;
        let lag = reader.ends().await?.into_iter().map(|(partition, end)| {
            let low = lows.get(&partition).copied().unwrap_or_default();
            // Events removed by retention do not count as lag.
            let read = next.get(&partition).copied();
            let position = read.map_or(low, |at| at.max(low));
            let removed = read.map_or(0, |at| low - at);
            let trouble = (removed > 0).then(|| {
                format!(
                    "the retention of the topic of `{stream}` has removed {removed} events of partition {partition} \
                     that were not exported"
                )
            });
            let end = end.max(position);
            let count = |at: i64| u64::try_from(at).unwrap_or_default();
            Lag {
                partition: format!("{stream}[{partition}]"),
                position: count(position),
                end: count(end),
                behind: count(end - position),
                last_seen: None,
                per_minute: None,
                trouble,
            }
        });
        Ok(lag.collect())
    }

    async fn streams(&self) -> Result<Vec<StreamId>, Error> {
        let cluster = self.producer.cluster().clone();
        let prefix = self.settings.prefix.clone();
        blocking(move || {
            let failed = |error| cluster.explain("listing", &prefix, code(&error));
            let consumer = open_consumer(&cluster, false)?;
            let metadata = consumer.fetch_metadata(None, RESPONSE_TIMEOUT).map_err(failed)?;
            let mut streams = Vec::new();
            for topic in metadata.topics() {
                let Some(stream) = names::stream(&prefix, topic.name()) else { continue };
                // A follower may have created the topic before the first event.
                for partition in topic.partitions() {
                    let bounds = consumer.fetch_watermarks(topic.name(), partition.id(), RESPONSE_TIMEOUT);
                    if bounds.map_err(failed)?.1 > 0 {
                        streams.push(stream);
                        break;
                    }
                }
            }
            streams.sort();
            Ok(streams)
        })
        .await
    }

    fn can_erase(&self) -> bool {
        false
    }

    /// Does nothing: the topic's retention removes old events.
    async fn trim(&self, _: &Retention) -> Result<(), Error> {
        Ok(())
    }
}
