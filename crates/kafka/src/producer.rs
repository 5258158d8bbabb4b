//! Writing records, each with an answer of its own.
//!
//! Idempotent and acknowledged by all replicas in sync: what is written is there
//! once, in order, and stays.

use std::sync::{Mutex, PoisonError};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use tidegate_model::Error;
use tokio::sync::mpsc;

use crate::cluster::{Cluster, blocking, code, partitions};
use crate::context::Context;
use crate::errors;

/// The largest record that is sent at all; the topic's own limit is mostly lower.
pub(crate) const RECORD_BYTES_MAX: usize = 8 << 20;

/// What no setting may change: written once, kept by all replicas in sync.
const PROMISED: &[(&str, &str)] = &[("enable.idempotence", "true"), ("acks", "all")];

/// What a producer does where the settings of its cluster do not say otherwise.
const WRITING: &[(&str, &str)] = &[
    // A topic is made on purpose, with its retention.
    ("allow.auto.create.topics", "false"),
    ("compression.type", "lz4"),
    // As Java clients do: their streams of the same keys can be joined.
    ("partitioner", "murmur2_random"),
    // Answers come soon enough for the engine to wait and try again.
    ("message.timeout.ms", "30000"),
    ("topic.metadata.propagation.max.ms", "10000"),
    ("queue.buffering.max.kbytes", "131072"),
    ("message.max.bytes", "8388608"),
];

/// A record to write.
pub(crate) struct Outgoing<'a> {
    /// Decides the partition.
    pub(crate) key: &'a [u8],
    /// The value.
    pub(crate) payload: &'a [u8],
    /// The headers.
    pub(crate) headers: OwnedHeaders,
    /// When it was made, in milliseconds; now where absent.
    pub(crate) timestamp: Option<i64>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All replicas in sync have it.
    Written,
    /// It was not written.
    Refused(Code),
    /// Nobody knows.
    Lost(Code),
}

/// Writes to one cluster. Started with the first record.
pub(crate) struct Producer {
    cluster: Cluster,
    running: Mutex<Option<Running>>,
}

type Running = ThreadedProducer<Answers>;

impl Producer {
    /// Remembers how to write. Nothing is connected yet.
    pub(crate) fn new(cluster: Cluster) -> Producer {
        Producer { cluster, running: Mutex::default() }
    }

    /// The cluster it writes to.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn running(&self) -> Result<Running, Error> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // After a fatal error, only a new producer may go on.
        let usable = running.as_ref().filter(|producer| producer.client().fatal_error().is_none());
        if let Some(producer) = usable {
            return Ok(producer.clone());
        }
        let client = &self.cluster.client;
        let more: Vec<(&str, &str)> =
            WRITING.iter().filter(|(name, _)| !client.sets(name)).chain(PROMISED).copied().collect();
        let started: Running = client.create(&more, None, Answers)?;
        *running = Some(started.clone());
        Ok(started)
    }

    /// How many partitions a topic has; `None` where there is no such topic.
    ///
    /// # Errors
    /// Whatever keeps us from asking.
    pub(crate) async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        let (producer, cluster, topic) = (self.running()?, self.cluster.clone(), topic.to_owned());
        blocking(move || {
            partitions(producer.client(), &topic).map_err(|code| {
                // Without an answer, what the connection met says more.
                let met = producer.client().context().met();
                cluster.explain("looking for", &topic, met.unwrap_or(code))
            })
        })
        .await
    }

    /// Writes records and waits for the answer to each, in the order of the records.
    ///
    /// # Errors
    /// Only where nothing was written.
    pub(crate) async fn send<'a>(
        &self,
        topic: &str,
        records: impl ExactSizeIterator<Item = Outgoing<'a>> + Send,
    ) -> Result<Vec<Fate>, Error> {
        // What never gets an answer stays lost.
        let mut fates = vec![Fate::Lost(Code::DestroyBroker); records.len()];
        let mut incoming = self.enqueue(topic, records, &mut fates)?;
        while let Some((at, fate)) = incoming.recv().await {
            if let Some(known) = fates.get_mut(at) {
                *known = fate;
            }
        }
        if fates.iter().any(|fate| matches!(fate, Fate::Refused(_))) {
            // Librdkafka remembers what a broker refused, for minutes, unless it
            // looks at the topic again. What it finds is told by the next request.
            let _ = self.partitions(topic).await;
        }
        Ok(fates)
    }

    fn enqueue<'a>(
        &self,
        topic: &str,
        records: impl Iterator<Item = Outgoing<'a>>,
        fates: &mut [Fate],
    ) -> Result<mpsc::UnboundedReceiver<(usize, Fate)>, Error> {
        let producer = self.running()?;
        // Holds at most one answer for each record.
        let (answers, incoming) = mpsc::unbounded_channel();
        for (at, outgoing) in records.enumerate() {
            let slot = Box::new(Slot { at, answers: answers.clone() });
            let mut record = BaseRecord::with_opaque_to(topic, slot)
                .key(outgoing.key)
                .payload(outgoing.payload)
                .headers(outgoing.headers);
            record.timestamp = outgoing.timestamp;
            if let Err((error, _)) = producer.send(record) {
                // What stands behind it may be of the same user, and overtakes nothing.
                fates[at..].fill(Fate::Refused(code(&error)));
                break;
            }
        }
        Ok(incoming)
    }
}

/// Where the answer to one record goes.
pub(crate) struct Slot {
    at: usize,
    answers: mpsc::UnboundedSender<(usize, Fate)>,
}

/// Hands answers on.
pub(crate) struct Answers(Context);

impl Answers {
    /// What the connection met that waiting cannot mend.
    fn met(&self) -> Option<Code> {
        let said = self.0.take_said();
        said.into_iter()
            .rev()
            .map(|(code, _)| code)
            .find(|code| errors::is_final(*code) || *code == Code::SSL)
    }
}

impl ClientContext for Answers {
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

impl ProducerContext for Answers {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Box<Slot>) {
        let fate = match result {
            Ok(_) => Fate::Written,
            Err((error, _)) => fate(code(error)),
        };
        // Nobody waits any more where a run was cut short.
        let _ = slot.answers.send((slot.at, fate));
    }
}

/// Whether a failure leaves doubt. Source: librdkafka, `rdkafka.h`, and Kafka's
/// `Errors`: these are told before a record is appended.
fn fate(code: Code) -> Fate {
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
        | Code::QueueFull => Fate::Refused(code),
        _ => Fate::Lost(code),
    }
}
