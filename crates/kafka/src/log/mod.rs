//! The event log on Kafka: one topic for each stream.
//!
//! An event is durable when all in-sync replicas have it. The topic's retention
//! removes old events; readers keep their own offsets, without a group.

mod appender;
mod dedup;
mod loading;
mod names;
mod reading;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use tidegate_model::{
    Appended, Checkpoint, ConnectorContext, Error, Event, EventLog, Exported, Feed, Lag, LoggedEvent,
    Reading, Retention, Settings, StreamId,
};

use crate::cluster::{Cluster, RESPONSE_TIMEOUT, blocking, code};
use appender::Appender;
use reading::{Reader, TO_THE_END, offsets, open_consumer};
pub use settings::LogSettings;

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
    Ok(Arc::new(KafkaLog { appender: Arc::new(Appender::new(cluster, settings, Arc::clone(&tools.clock))) }))
}

/// An event log on a Kafka cluster.
pub(crate) struct KafkaLog {
    appender: Arc<Appender>,
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn append(&self, stream: &StreamId, events: Vec<Event>) -> Result<Appended, Error> {
        if events.is_empty() {
            return Ok(Appended::default());
        }
        self.appender.append(stream, events).await
    }

    async fn read(
        &self,
        stream: &StreamId,
        after: Option<&Checkpoint>,
        reading: Reading,
    ) -> Result<Feed<LoggedEvent>, Error> {
        let topic = self.appender.topic(stream)?;
        let next = offsets(after)?;
        let partitions = match self.appender.producer.partitions(&topic).await? {
            Some(partitions) => partitions,
            // A follower needs an existing topic to subscribe to.
            None if reading.follow => self.appender.create(&topic).await?,
            None => return Ok(stream::empty().boxed()),
        };
        let cluster = self.appender.producer.cluster().clone();
        let reader =
            blocking(move || Reader::start(cluster, topic, partitions, next, Offset::Beginning, reading));
        Ok(reader.await?.feed())
    }

    async fn lag(&self, stream: &StreamId, after: Option<&Checkpoint>) -> Result<Vec<Lag>, Error> {
        let topic = self.appender.topic(stream)?;
        let next = offsets(after)?;
        let Some(partitions) = self.appender.producer.partitions(&topic).await? else {
            return Ok(Vec::new());
        };
        let cluster = self.appender.producer.cluster().clone();
        let (lows, reader) = blocking(move || {
            let consumer = open_consumer(&cluster, false)?;
            let (lows, highs) = reading::watermarks(&consumer, &cluster, &topic, partitions)?;
            drop(consumer);
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
        let cluster = self.appender.producer.cluster().clone();
        let prefix = self.appender.settings.prefix.clone();
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

    /// Compares nothing: offsets of a topic are used once. Begins to read the ids of the latest events
    /// of streams that are exported, which the first append would wait for.
    async fn fence(&self, exports: &[Exported]) -> Result<(), Error> {
        for export in exports {
            // A name that cannot be a topic is reported by what reads or appends.
            let _ = self.appender.prepare(&export.stream);
        }
        Ok(())
    }

    fn can_erase(&self) -> bool {
        false
    }

    /// Does nothing: the topic's retention removes old events.
    async fn trim(&self, _: &Retention) -> Result<(), Error> {
        Ok(())
    }
}
