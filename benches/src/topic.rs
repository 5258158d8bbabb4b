//! Topics: made, filled, and looked at by the bare client library.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::clock;
use crate::http::{self, Connection};
use crate::latency::Latencies;
use crate::samples::{self, Samples};

/// As many as the topic has.
pub(crate) const PARTITIONS: i32 = 12;

const PATIENCE: Duration = Duration::from_secs(60);

/// How the messages of a topic are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON as it is.
    Json,
    /// Avro in the framing of a schema registry, with this schema.
    Avro { schema: u32 },
}

/// A topic of this run. What is in it goes with the broker.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    /// The bootstrap servers.
    pub(crate) brokers: String,
    /// The name.
    pub(crate) name: String,
    /// How its messages are written.
    pub(crate) format: Format,
}

impl Topic {
    /// Makes a topic; no other one of this bench has its name.
    pub(crate) async fn make(brokers: &str, name: &str, format: Format) -> Result<Topic> {
        let name = format!("bench-{name}-{}-{}", std::process::id(), clock::micros());
        let admin: AdminClient<DefaultClientContext> = client(brokers).create()?;
        let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        for made in admin.create_topics([&topic], &options).await.context("the broker makes no topic")? {
            made.map_err(|(name, code)| anyhow::anyhow!("the topic {name} was not made: {code}"))?;
        }
        Ok(Topic { brokers: brokers.to_owned(), name, format })
    }

    /// Removes it, so that a broker that keeps messages in memory gets it back.
    pub(crate) async fn remove(self) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = client(&self.brokers).create()?;
        admin.delete_topics(&[&self.name], &AdminOptions::new()).await?;
        Ok(())
    }

    /// Sends messages with these numbers, each after its time if there is a
    /// pace in messages a second. Returns once the broker has all of them.
    pub(crate) fn fill(&self, first: u64, count: u64, pace: Option<u32>) -> Result<()> {
        let reports = Reports::default();
        let producer: ThreadedProducer<Reports> = client(&self.brokers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .create_with_context(reports.clone())?;
        let samples = Samples::new();
        let mut message = Vec::new();
        let started = Instant::now();
        for at in 0..count {
            if let Some(pace) = pace {
                clock::wait_until(started + Duration::from_secs(1) * u32::try_from(at)? / pace);
            }
            message.clear();
            self.write(&samples, first + at, &mut message);
            let key = samples::key(first + at);
            let mut record = BaseRecord::to(&self.name).key(&key).payload(&message);
            loop {
                match producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        record = back;
                        clock::wait_until(Instant::now() + Duration::from_millis(5));
                    }
                    Err((cause, _)) => return Err(cause).context("the client library takes no message"),
                }
            }
        }
        producer.flush(PATIENCE).context("the broker does not take the messages")?;
        let taken = reports.taken.load(Ordering::Relaxed);
        ensure!(taken == count, "the broker took {taken} of {count} messages");
        Ok(())
    }

    fn write(&self, samples: &Samples, number: u64, out: &mut Vec<u8>) {
        match self.format {
            Format::Json => samples.write(number, clock::micros(), out),
            Format::Avro { schema } => samples::write_avro(number, clock::micros(), schema, out),
        }
    }

    /// Reads messages as they come, without a group, and notes how long each was
    /// under way: the limit of the client library and the broker. Those of
    /// numbers below `from` do not count.
    pub(crate) fn watch(&self, from: u64, messages: u64) -> Result<Latencies> {
        let consumer: BaseConsumer = client(&self.brokers).set("group.id", "bench-watch").create()?;
        let mut partitions = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(&self.name, partition, Offset::Beginning)?;
        }
        consumer.assign(&partitions)?;
        let (mut latencies, mut seen, mut last) = (Vec::new(), 0, Instant::now());
        while seen < from + messages {
            let Some(message) = consumer.poll(Duration::from_secs(1)) else {
                ensure!(
                    last.elapsed() < PATIENCE,
                    "{seen} of {messages} messages came, and none for a long time"
                );
                continue;
            };
            let message = message?;
            last = Instant::now();
            seen += 1;
            let text = rdkafka::Message::payload(&message).unwrap_or_default();
            if samples::number(text).is_some_and(|number| number >= from) {
                latencies.extend(samples::all_sent(text).map(|sent| clock::micros().saturating_sub(sent)));
            }
        }
        Ok(Latencies::of(latencies))
    }

    /// How many messages a group has committed: the sum of its committed offsets.
    pub(crate) fn committed(&self, group: &str) -> Result<u64> {
        let consumer: BaseConsumer = client(&self.brokers).set("group.id", group).create()?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(&self.name, 0, PARTITIONS - 1);
        let committed = consumer.committed_offsets(partitions, PATIENCE)?;
        let offsets = committed.elements();
        Ok(offsets
            .iter()
            .map(|place| if let Offset::Offset(at) = place.offset() { at.unsigned_abs() } else { 0 })
            .sum())
    }
}

/// Counts what the broker has taken.
#[derive(Clone, Default)]
struct Reports {
    taken: Arc<AtomicU64>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, delivery: &DeliveryResult<'_>, (): ()) {
        if delivery.is_ok() {
            self.taken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Reads messages and does nothing with them: the limit of the client library.
/// Prints how many microseconds passed from the first message to the last.
///
/// It joins a group, as everything that commits offsets does, and commits none.
pub(crate) fn consume(brokers: &str, topic: &str, messages: u64) -> Result<()> {
    let consumer: BaseConsumer = client(brokers)
        .set("group.id", format!("bench-bare-{}-{topic}", std::process::id()))
        .set("session.timeout.ms", SESSION_MS)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(&[topic])?;
    let (mut seen, mut first, mut last) = (0, None, Instant::now());
    while seen < messages {
        // Nothing comes also where the library had something else to do, as with a rebalance.
        let Some(message) = consumer.poll(Duration::from_secs(1)) else {
            ensure!(
                last.elapsed() < PATIENCE,
                "{seen} of {messages} messages came, and none for a long time"
            );
            continue;
        };
        let message: BorrowedMessage<'_> = message?;
        // What is not looked at is not read by the processor either.
        std::hint::black_box(rdkafka::Message::payload(&message).map(<[u8]>::len));
        last = Instant::now();
        first.get_or_insert(last);
        seen += 1;
    }
    let moving = first.map(|first| first.elapsed()).unwrap_or_default();
    println!("{}", moving.as_micros());
    Ok(())
}

/// The broker of the tests lets a group wait for half of it whenever a member joins.
pub(crate) const SESSION_MS: &str = "6000";

/// A schema registry.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    /// Its address, `http://<ip>:<port>`.
    pub(crate) url: String,
    /// User and password, where it asks for them.
    pub(crate) login: Option<(String, String)>,
}

impl Registry {
    /// Makes the Avro schema of the events known; its id.
    pub(crate) fn register(&self) -> Result<u32> {
        let address: SocketAddr = self
            .url
            .strip_prefix("http://")
            .and_then(|rest| rest.trim_end_matches('/').parse().ok())
            .with_context(|| format!("the registry's address is not http://<ip>:<port> but {}", self.url))?;
        let body = serde_json::json!({ "schema": samples::AVRO }).to_string();
        let secret = self.login.as_ref().map_or(String::new(), |(user, password)| {
            format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
        });
        let request = http::head("/subjects/bench-value/versions", body.len(), &secret) + &body;
        let mut connection = Connection::open(address)?;
        let answer = connection.send(request.as_bytes())?;
        let told: serde_json::Value = serde_json::from_slice(answer.body).unwrap_or_default();
        match told["id"].as_u64().and_then(|id| u32::try_from(id).ok()) {
            Some(id) if answer.status == 200 => Ok(id),
            _ => bail!("the registry answered {}: {told}", answer.status),
        }
    }
}
