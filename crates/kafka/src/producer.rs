//! Writing records, each with a result of its own.
//!
//! Idempotent and acknowledged by all in-sync replicas: a written record exists
//! once, in order, and durably.

use std::sync::{Mutex, PoisonError};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use tidegate_model::Error;
use tokio::sync::mpsc;

use crate::cluster::{Cluster, blocking, code, partitions};
use crate::context::Context;
use crate::errors;

/// The largest record that is sent at all; the topic's own limit is mostly lower.
pub(crate) const RECORD_BYTES_MAX: usize = 8 << 20;

/// Settings that delivery depends on: written once, kept by all in-sync replicas.
const REQUIRED: &[(&str, &str)] = &[("enable.idempotence", "true"), ("acks", "all")];

/// Defaults of a producer, which the connection may override.
const DEFAULTS: &[(&str, &str)] = &[
    // A topic is created explicitly, with its retention.
    ("allow.auto.create.topics", "false"),
    ("compression.type", "lz4"),
    // As Java clients do: their streams of the same keys can be joined.
    ("partitioner", "murmur2_random"),
    // Errors arrive soon enough for the engine to wait and retry.
    ("message.timeout.ms", "30000"),
    ("topic.metadata.propagation.max.ms", "10000"),
    ("queue.buffering.max.kbytes", "131072"),
    ("message.max.bytes", "8388608"),
];

/// A record to write.
pub(crate) struct Outgoing<'a> {
    /// Determines the partition.
    pub(crate) key: &'a [u8],
    /// The value.
    pub(crate) payload: &'a [u8],
    /// The headers.
    pub(crate) headers: OwnedHeaders,
    /// Its time in milliseconds; now if absent.
    pub(crate) timestamp: Option<i64>,
}

/// The result of writing a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteResult {
    /// All replicas in sync have it. The offset is negative if the broker did not say it.
    Written {
        /// Where it is.
        partition: i32,
        /// Where it is in the partition.
        offset: i64,
    },
    /// It was not written.
    Rejected(Code),
    /// It may have been written: no response arrived.
    Lost(Code),
}

/// Writes to one cluster. Started with the first record.
pub(crate) struct Producer {
    cluster: Cluster,
    running: Mutex<Option<Running>>,
}

type Running = ThreadedProducer<DeliveryContext>;

impl Producer {
    /// Creates a producer. Nothing is connected yet.
    pub(crate) fn new(cluster: Cluster) -> Producer {
        Producer { cluster, running: Mutex::default() }
    }

    /// The cluster it writes to.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn running(&self) -> Result<Running, Error> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // After a fatal error, only a new producer may continue.
        let usable = running.as_ref().filter(|producer| producer.client().fatal_error().is_none());
        if let Some(producer) = usable {
            return Ok(producer.clone());
        }
        let client = &self.cluster.client;
        let more: Vec<(&str, &str)> =
            DEFAULTS.iter().filter(|(name, _)| !client.sets(name)).chain(REQUIRED).copied().collect();
        let started: Running = client.create(&more, None, DeliveryContext)?;
        *running = Some(started.clone());
        Ok(started)
    }

    /// Returns the number of partitions of a topic; `None` if there is no such topic.
    ///
    /// # Errors
    /// No broker responds, or access is denied.
    pub(crate) async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        let (producer, cluster, topic) = (self.running()?, self.cluster.clone(), topic.to_owned());
        blocking(move || {
            partitions(producer.client(), &topic).map_err(|code| {
                // Without a response, the error of the connection says more.
                let cause = producer.client().context().connection_error();
                cluster.explain("looking for", &topic, cause.unwrap_or(code))
            })
        })
        .await
    }

    /// Writes records and waits for the result of each, in the order of the records.
    ///
    /// # Errors
    /// Only if nothing was written.
    pub(crate) async fn send<'a>(
        &self,
        topic: &str,
        records: impl ExactSizeIterator<Item = Outgoing<'a>> + Send,
    ) -> Result<Vec<WriteResult>, Error> {
        // A record without a result stays lost.
        let mut results = vec![WriteResult::Lost(Code::DestroyBroker); records.len()];
        let mut incoming = self.enqueue(topic, records, &mut results)?;
        while let Some((at, result)) = incoming.recv().await {
            if let Some(known) = results.get_mut(at) {
                *known = result;
            }
        }
        if results.iter().any(|result| matches!(result, WriteResult::Rejected(_))) {
            // Librdkafka caches a rejection for minutes unless it refreshes the topic's
            // metadata. The next request reports what it finds.
            let _ = self.partitions(topic).await;
        }
        Ok(results)
    }

    fn enqueue<'a>(
        &self,
        topic: &str,
        records: impl Iterator<Item = Outgoing<'a>>,
        results: &mut [WriteResult],
    ) -> Result<mpsc::UnboundedReceiver<(usize, WriteResult)>, Error> {
        let producer = self.running()?;
        // Holds at most one result for each record.
        let (sender, incoming) = mpsc::unbounded_channel();
        for (at, outgoing) in records.enumerate() {
            let pending = Box::new(PendingRecord { at, results: sender.clone() });
            let mut record = BaseRecord::with_opaque_to(topic, pending)
                .key(outgoing.key)
                .payload(outgoing.payload)
                .headers(outgoing.headers);
            record.timestamp = outgoing.timestamp;
            if let Err((error, _)) = producer.send(record) {
                // Records after it may be of the same user and must not overtake it.
                results[at..].fill(WriteResult::Rejected(code(&error)));
                break;
            }
        }
        Ok(incoming)
    }
}

/// A record without a result yet: where to send it.
pub(crate) struct PendingRecord {
    at: usize,
    results: mpsc::UnboundedSender<(usize, WriteResult)>,
}

/// Sends the result of each record to the waiting call.
pub(crate) struct DeliveryContext(Context);

impl DeliveryContext {
    /// Returns the latest error of the connection that waiting cannot fix.
    fn connection_error(&self) -> Option<Code> {
        let errors = self.0.take_errors();
        errors
            .into_iter()
            .rev()
            .map(|(code, _)| code)
            .find(|code| errors::is_final(*code) || *code == Code::SSL)
    }
}

impl ClientContext for DeliveryContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.generate_oauth_token(config)
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Box<PendingRecord>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Box<PendingRecord>) {
        let result = match result {
            Ok(message) => WriteResult::Written { partition: message.partition(), offset: message.offset() },
            Err((error, _)) => write_result(code(error)),
        };
        // The receiver is gone if the run was interrupted.
        let _ = pending.results.send((pending.at, result));
    }
}

/// Returns whether a record with this error may have been written. Source: librdkafka,
/// `rdkafka.h`, and Kafka's `Errors`: these occur before a record is appended.
fn write_result(code: Code) -> WriteResult {
    match code {
        Code::MessageSizeTooLarge
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::InvalidMessage
        | Code::InvalidRecord
        | Code::InvalidTimestamp
        | Code::InvalidTopic
        | Code::PolicyViolation
        | Code::NotEnoughReplicas
        | Code::PurgeQueue
        | Code::QueueFull => WriteResult::Rejected(code),
        _ => WriteResult::Lost(code),
    }
}
