//! Appending: each event once, whether or not its caller waits for the end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_model::{Appended, Clock, Error, ErrorKind, Event, RowHash, StreamId};
use tokio::time::timeout;

use super::dedup::{DedupIndex, ReadEnd, ReadState, SplitAppend, id_of};
use super::settings::LogSettings;
use super::{loading, names};
use crate::cluster::{Cluster, RESPONSE_TIMEOUT, check_topic, code};
use crate::context::Context;
use crate::partition::lock;
use crate::producer::{Outgoing, Producer, RECORD_BYTES_MAX, WriteResult};
use crate::record;

/// How many events may wait for their results at once, over all appends.
const WAITING_MAX: usize = 50_000;

/// How long an append waits for ids that are being read: a little longer than a cluster that does not answer is
/// waited for, so that the reason is told.
const IDS_PATIENCE: Duration = Duration::from_secs(12);

/// Appends to the topics of a cluster.
pub(super) struct Appender {
    pub(super) producer: Producer,
    pub(super) settings: LogSettings,
    pub(super) clock: Arc<dyn Clock>,
    /// The streams that were appended to, with the ids of their latest events.
    streams: Mutex<HashMap<StreamId, Arc<Mutex<DedupIndex>>>>,
    waiting: Arc<AtomicUsize>,
}

impl Appender {
    /// Creates it. Nothing is connected yet.
    pub(super) fn new(cluster: Cluster, settings: LogSettings, clock: Arc<dyn Clock>) -> Appender {
        let producer = Producer::new(cluster);
        Appender { producer, settings, clock, streams: Mutex::default(), waiting: Arc::default() }
    }

    /// Returns the name of the topic of a stream.
    ///
    /// # Errors
    /// A name that Kafka does not accept.
    pub(super) fn topic(&self, stream: &StreamId) -> Result<String, Error> {
        let topic = names::topic(&self.settings.prefix, stream);
        check_topic("stream", &topic)?;
        Ok(topic)
    }

    /// Creates the topic if it is missing; returns the number of its partitions.
    ///
    /// # Errors
    /// No broker responds, or access is denied.
    pub(super) async fn create(&self, topic: &str) -> Result<i32, Error> {
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

    fn index(&self, stream: &StreamId, topic: &str) -> Arc<Mutex<DedupIndex>> {
        let mut streams = lock(&self.streams);
        let index = streams.entry(stream.clone()).or_insert_with(|| {
            Arc::new(Mutex::new(DedupIndex::new(topic, self.settings.dedup_window, self.clock.now())))
        });
        Arc::clone(index)
    }

    /// Begins to read the ids of a stream, unless they were read.
    ///
    /// # Errors
    /// A name that Kafka does not accept.
    pub(super) fn prepare(self: &Arc<Self>, stream: &StreamId) -> Result<(), Error> {
        let topic = self.topic(stream)?;
        let index = self.index(stream, &topic);
        if !lock(&index).has_begun() {
            self.read_ids(&topic, &index);
        }
        Ok(())
    }

    /// Reads ids from the topic, or joins the read that is under way. It belongs to no append: it continues
    /// if the one that began it is dropped.
    fn read_ids(self: &Arc<Self>, topic: &str, index: &Arc<Mutex<DedupIndex>>) -> ReadEnd {
        let (end, reader) = DedupIndex::join_read(index);
        if let Some(reader) = reader {
            tokio::spawn(loading::read(Arc::clone(self), topic.to_owned(), reader));
        }
        end
    }

    /// Splits an append as soon as it is known which of its events are new.
    async fn split(
        self: &Arc<Self>,
        topic: &str,
        index: &Arc<Mutex<DedupIndex>>,
        ids: &[RowHash],
    ) -> Result<SplitAppend, Error> {
        loop {
            if let Some(split) = DedupIndex::split(index, ids, self.clock.now()) {
                return Ok(split);
            }
            let mut end = self.read_ids(topic, index);
            let ended = end.wait_for(|state| !matches!(state, ReadState::UnderWay)).await;
            match ended.as_deref() {
                Ok(ReadState::Failed { message, hint }) => {
                    return Err(Error::new(ErrorKind::Storage, message).hint(hint));
                }
                Ok(_) => {}
                Err(_) => {
                    let message = format!("reading the ids of events in `{topic}` was interrupted");
                    return Err(Error::new(ErrorKind::Storage, message).hint("send the events again"));
                }
            }
        }
    }

    /// Appends events that are not in the log yet.
    ///
    /// # Errors
    /// Those of [`tidegate_model::EventLog::append`].
    pub(super) async fn append(
        self: &Arc<Self>,
        stream: &StreamId,
        events: Vec<Event>,
    ) -> Result<Appended, Error> {
        let permit = WaitingPermit::take(&self.waiting, events.len())?;
        let topic = self.topic(stream)?;
        let index = self.index(stream, &topic);
        let mut scratch = Vec::new();
        let ids: Vec<RowHash> = events.iter().map(|event| id_of(event, &mut scratch)).collect();
        let split = timeout(IDS_PATIENCE, self.split(&topic, &index, &ids)).await.unwrap_or_else(|_| {
            let message = format!("the ids of the latest events are still being read from `{topic}`");
            Err(Error::new(ErrorKind::Storage, message)
                .hint("nothing to do: events are accepted as soon as they are read"))
        })?;
        // Librdkafka writes a record that it was given. So its result is waited for, even if the caller is gone.
        let written = tokio::spawn(Arc::clone(self).write(topic, events, split, permit)).await;
        written.unwrap_or_else(|cause| {
            Err(Error::new(ErrorKind::Storage, "an append was interrupted").caused_by(cause))
        })
    }

    async fn write(
        self: Arc<Self>,
        topic: String,
        events: Vec<Event>,
        split: SplitAppend,
        _permit: WaitingPermit,
    ) -> Result<Appended, Error> {
        let results = match self.send(&topic, &events, &split.fresh).await {
            Ok(results) => results,
            Err(error) => {
                split.landing.cancel();
                return Err(not_durable(&error));
            }
        };
        split.landing.land(&results);
        let failed = results.iter().find_map(|result| match result {
            WriteResult::Written { .. } => None,
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

    /// Writes the events that are not in the log yet.
    async fn send(&self, topic: &str, events: &[Event], fresh: &[usize]) -> Result<Vec<WriteResult>, Error> {
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
struct WaitingPermit {
    waiting: Arc<AtomicUsize>,
    events: usize,
}

impl WaitingPermit {
    /// Takes a share. A single append always gets one, however large it is.
    fn take(waiting: &Arc<AtomicUsize>, events: usize) -> Result<WaitingPermit, Error> {
        let before = waiting.fetch_add(events, Ordering::Relaxed);
        let permit = WaitingPermit { waiting: Arc::clone(waiting), events };
        if before > 0 && before + events > WAITING_MAX {
            let message = format!("{before} events are waiting for Kafka already");
            return Err(Error::new(ErrorKind::Throttled(None), message));
        }
        Ok(permit)
    }
}

impl Drop for WaitingPermit {
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
