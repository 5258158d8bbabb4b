//! The event log on Kafka: one topic for each stream.
//!
//! An event is durable when all replicas in sync have it. The topic's retention
//! removes what is old; readers keep their own places, no group does.

mod names;
mod reading;
mod repeats;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_model::{
    Appended, Checkpoint, Clock, Error, ErrorKind, Event, EventLog, Feed, Fingerprint, Lag, LoggedEvent,
    Reading, Settings, StreamId, Tools,
};

use crate::cluster::{ANSWER, Cluster, blocking, check_topic, code};
use crate::context::Context;
use crate::producer::{Fate, Outgoing, Producer, RECORD_BYTES_MAX};
use crate::record;
use reading::{Reader, places, places_since, watcher};
use repeats::{Repeats, id_of};

/// Events that may wait for their answers at once, over all appends.
const WAITING_MAX: usize = 50_000;

/// How one reads what is there.
const TO_THE_END: Reading = Reading { batch_events: 10_000, follow: false };

/// How streams are kept.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// What the names of topics begin with.
    pub prefix: String,
    /// Partitions of a topic that is made: events of one user are in one of them.
    pub partitions: u16,
    /// Replicas of a topic that is made; the brokers' own number where absent.
    pub replicas: Option<u16>,
    /// How long events are kept, in a topic that is made.
    pub retention: SignedDuration,
    /// How long an event is known by its id.
    pub repetition: SignedDuration,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings {
            prefix: "tidegate.".to_owned(),
            partitions: 12,
            replicas: None,
            retention: SignedDuration::from_hours(90 * 24),
            repetition: SignedDuration::from_hours(1),
        }
    }
}

/// An event log on the cluster of a connection of kind `kafka`. Nothing is
/// reached yet.
///
/// # Errors
/// Settings that cannot work.
pub fn event_log(
    connection: &Settings,
    settings: LogSettings,
    tools: &Tools,
) -> Result<Arc<dyn EventLog>, Error> {
    let cluster = Cluster::new(connection, &["CREATE", "READ", "WRITE", "DESCRIBE"], tools)?;
    Ok(Arc::new(KafkaLog::new(cluster, settings, Arc::clone(&tools.clock))))
}

/// An event log on a Kafka cluster.
pub(crate) struct KafkaLog {
    producer: Producer,
    settings: LogSettings,
    clock: Arc<dyn Clock>,
    /// The streams that were appended to, with what is known of their last hour.
    streams: tokio::sync::Mutex<HashMap<StreamId, Arc<Mutex<Repeats>>>>,
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

    /// Makes the topic where it is missing; how many partitions it has.
    async fn make(&self, topic: &str) -> Result<i32, Error> {
        if let Some(partitions) = self.producer.partitions(topic).await? {
            return Ok(partitions);
        }
        let cluster = self.producer.cluster();
        let refused = |code| cluster.explain("making", topic, code);
        let admin: AdminClient<Context> = cluster.client.create(&[], None, |context| context)?;
        let retention = self.settings.retention.as_millis().to_string();
        let largest = RECORD_BYTES_MAX.to_string();
        let replicas = self.settings.replicas.map_or(-1, i32::from);
        let wanted = NewTopic::new(topic, self.settings.partitions.into(), TopicReplication::Fixed(replicas))
            .set("retention.ms", &retention)
            .set("cleanup.policy", "delete")
            .set("max.message.bytes", &largest);
        let made = admin.create_topics([&wanted], &AdminOptions::new().operation_timeout(Some(ANSWER))).await;
        for result in made.map_err(|error| refused(code(&error)))? {
            match result {
                // Another process made it at the same moment.
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(refused(code)),
            }
        }
        let partitions = self.producer.partitions(topic).await?;
        partitions.ok_or_else(|| refused(Code::LeaderNotAvailable))
    }

    /// What is known of a stream's last hour: with the first append, it is read
    /// from the log itself, so that a restart forgets nothing.
    async fn repeats(&self, stream: &StreamId, topic: &str) -> Result<Arc<Mutex<Repeats>>, Error> {
        let mut streams = self.streams.lock().await;
        if let Some(repeats) = streams.get(stream) {
            return Ok(Arc::clone(repeats));
        }
        let partitions = self.make(topic).await?;
        let now = self.clock.now();
        let since = now.as_millisecond() - self.settings.repetition.as_millis() as i64;
        let cluster = self.producer.cluster().clone();
        let name = topic.to_owned();
        let reader = blocking(move || {
            let places = places_since(&watcher(&cluster, false)?, &name, partitions, since)
                .map_err(|code| cluster.explain("reading", &name, code))?;
            Reader::start(cluster, name, partitions, places, Offset::End, TO_THE_END)
        })
        .await?;
        let mut repeats = Repeats::new(self.settings.repetition, now);
        let mut scratch = Vec::new();
        let mut feed = reader.feed();
        while let Some(batch) = feed.try_next().await? {
            for logged in batch.items {
                repeats.know(id_of(&logged.event, &mut scratch), logged.logged_at);
            }
        }
        let repeats = Arc::new(Mutex::new(repeats));
        streams.insert(stream.clone(), Arc::clone(&repeats));
        Ok(repeats)
    }

    /// Writes what is not there yet.
    async fn write(&self, topic: &str, events: &[Event], fresh: &[usize]) -> Result<Vec<Fate>, Error> {
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

/// Room among the events that wait.
struct Room<'a> {
    waiting: &'a AtomicUsize,
    events: usize,
}

impl<'a> Room<'a> {
    /// A single append is let in however large it is, or it could never be.
    fn take(waiting: &'a AtomicUsize, events: usize) -> Result<Room<'a>, Error> {
        let before = waiting.fetch_add(events, Ordering::Relaxed);
        let room = Room { waiting, events };
        if before > 0 && before + events > WAITING_MAX {
            let message = format!("{before} events wait for Kafka already");
            return Err(Error::new(ErrorKind::Throttled(None), message));
        }
        Ok(room)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.events, Ordering::Relaxed);
    }
}

/// The failure of an append: its callers know three reactions.
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
        let _room = Room::take(&self.waiting, events.len())?;
        let topic = self.topic(stream)?;
        let repeats = self.repeats(stream, &topic).await.map_err(|error| not_durable(&error))?;
        let mut scratch = Vec::new();
        let ids: Vec<Fingerprint> = events.iter().map(|event| id_of(event, &mut scratch)).collect();
        let admitted = Repeats::admit(&repeats, &ids, self.clock.now());
        let fates = self.write(&topic, &events, &admitted.fresh).await;
        let fates = fates.map_err(|error| not_durable(&error))?;
        admitted.landing.land(fates.iter().map(|fate| *fate == Fate::Written));
        let failed = fates.iter().find_map(|fate| match fate {
            Fate::Written => None,
            Fate::Refused(code) | Fate::Lost(code) => Some(*code),
        });
        if let Some(code) = failed {
            return Err(not_durable(&self.producer.cluster().explain("appending to", &topic, code)));
        }
        if !admitted.others.landed().await {
            let message = format!("appending to `{topic}`: another append of the same events failed");
            return Err(Error::new(ErrorKind::Storage, message));
        }
        Ok(Appended { events: admitted.fresh.len() as u64, repeated: admitted.repeated })
    }

    async fn read(
        &self,
        stream: &StreamId,
        after: Option<&Checkpoint>,
        reading: Reading,
    ) -> Result<Feed<LoggedEvent>, Error> {
        let topic = self.topic(stream)?;
        let next = places(after)?;
        let partitions = match self.producer.partitions(&topic).await? {
            Some(partitions) => partitions,
            // Who waits for a stream needs something to wait at.
            None if reading.follow => self.make(&topic).await?,
            None => return Ok(stream::empty().boxed()),
        };
        let cluster = self.producer.cluster().clone();
        let reader =
            blocking(move || Reader::start(cluster, topic, partitions, next, Offset::Beginning, reading));
        Ok(reader.await?.feed())
    }

    async fn lag(&self, stream: &StreamId, after: Option<&Checkpoint>) -> Result<Vec<Lag>, Error> {
        let topic = self.topic(stream)?;
        let next = places(after)?;
        let Some(partitions) = self.producer.partitions(&topic).await? else { return Ok(Vec::new()) };
        let cluster = self.producer.cluster().clone();
        let (lows, reader) = blocking(move || {
            let (lows, highs) = reading::bounds(&cluster, &topic, partitions)?;
            let reader = Reader::start(cluster, topic, partitions, highs, Offset::End, TO_THE_END)?;
            Ok((lows, reader))
        })
        .await?;
        let lag = reader.ends().await?.into_iter().map(|(partition, end)| {
            let low = lows.get(&partition).copied().unwrap_or_default();
            // What retention removed is behind nobody.
            let position = next.get(&partition).map_or(low, |at| *at.max(&low));
            let end = end.max(position);
            let count = |at: i64| u64::try_from(at).unwrap_or_default();
            Lag {
                partition: format!("{stream}[{partition}]"),
                position: count(position),
                end: count(end),
                behind: count(end - position),
                last_seen: None,
                per_minute: None,
            }
        });
        Ok(lag.collect())
    }

    async fn streams(&self) -> Result<Vec<StreamId>, Error> {
        let cluster = self.producer.cluster().clone();
        let prefix = self.settings.prefix.clone();
        blocking(move || {
            let refused = |error| cluster.explain("listing", &prefix, code(&error));
            let consumer = watcher(&cluster, false)?;
            let metadata = consumer.fetch_metadata(None, ANSWER).map_err(refused)?;
            let mut streams = Vec::new();
            for topic in metadata.topics() {
                let Some(stream) = names::stream(&prefix, topic.name()) else { continue };
                // Somebody may wait at a topic for a stream that does not exist yet.
                for partition in topic.partitions() {
                    let bounds = consumer.fetch_watermarks(topic.name(), partition.id(), ANSWER);
                    if bounds.map_err(refused)?.1 > 0 {
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

    /// The topic's own retention does it.
    async fn trim(&self, _: Timestamp) -> Result<(), Error> {
        Ok(())
    }
}
