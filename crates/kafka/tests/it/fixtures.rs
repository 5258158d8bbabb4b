//! Topics that are made for the test.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, TopicPartitionList};
use serde_json::json;
use tidegate_model::ErrorKind;
use tidegate_testkit::conforms::sink::{MakeBackend, SinkBackend, WrongBackend};
use tidegate_testkit::conforms::{Example, PRIVATE, SourceBackend, SourceExample};

const ROWS: usize = 40;

/// The example of a type. A type without one fails the suite.
pub fn of(kind: &str) -> Option<Example> {
    (kind == "kafka").then(kafka)
}

/// How a place for a sink of this type is made.
pub fn sink_of(kind: &str) -> Option<MakeBackend> {
    (kind == "kafka").then_some(|| Box::pin(sink_topic()))
}

fn kafka() -> Example {
    Example {
        // Nothing listens there.
        settings: json!({
            "brokers": "127.0.0.1:1",
            "security": "sasl_plaintext",
            "api_key": "f00d-4-kafka",
            "api_secret": "f00d-5-kafka",
        }),
        source: Some(SourceExample { backends: || Box::pin(async { vec![topic().await] }) }),
        ..Example::default()
    }
}

fn brokers() -> String {
    std::env::var("TIDEGATE_TEST_KAFKA").expect("scripts/test sets it")
}

/// A topic with one partition, which no server knows.
async fn new_topic(config: &ClientConfig) -> String {
    let name = format!("conforms-{:016x}", RandomState::new().build_hasher().finish());
    let admin: AdminClient<DefaultClientContext> = config.create().expect("a client");
    let new = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
    admin.create_topics([&new], &AdminOptions::new()).await.expect("an answer").remove(0).expect("a topic");
    name
}

async fn topic() -> SourceBackend {
    let brokers = brokers();
    let mut config = ClientConfig::new();
    // Each message is a batch of its own: the broker's edges are only right then.
    config.set("bootstrap.servers", &brokers).set("batch.num.messages", "1");
    let name = new_topic(&config).await;
    let producer: FutureProducer = config.create().expect("a producer");
    for id in 0..ROWS {
        let payload = format!(r#"{{"id":{id},"note":"{PRIVATE} {id}"}}"#);
        let record = FutureRecord::to(&name).key("key").payload(&payload);
        producer.send(record, Duration::from_secs(10)).await.expect("written");
    }
    SourceBackend {
        settings: json!({ "brokers": brokers }),
        project: std::env::temp_dir(),
        http: None,
        selection: json!({ "topics": name, "group": name }),
        missing: json!({ "topics": format!("{name}-none"), "group": name }),
        failing: None,
        rows: ROWS,
        cursor: None,
        key: &["topic", "partition", "offset"],
        untyped: &["key"],
        running: Box::new(|| Box::pin(async { threads() })),
        keep: Box::new(()),
    }
}

/// A topic to write events to.
async fn sink_topic() -> SinkBackend {
    let brokers = brokers();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &brokers).set("group.id", "none").set("enable.partition.eof", "true");
    let topic = new_topic(&config).await;
    let settings = json!({ "brokers": brokers });
    let wrong = |what, settings, target, kind| WrongBackend { what, settings, target, kind };
    let missing = json!({ "topic": format!("{topic}-none") });
    SinkBackend {
        settings: settings.clone(),
        target: json!({ "topic": topic }),
        folder: std::env::temp_dir(),
        http: None,
        ids: Box::new(move || {
            let (config, topic) = (config.clone(), topic.clone());
            Box::pin(
                async move { tokio::task::spawn_blocking(move || ids(&config, &topic)).await.expect("read") },
            )
        }),
        exactly_once: false,
        too_large: None,
        wrong: vec![
            wrong("no such topic", settings, missing, ErrorKind::Missing),
            wrong("nobody listens", json!({ "brokers": "127.0.0.1:1" }), json!({}), ErrorKind::Unavailable),
        ],
        keep: Box::new(()),
    }
}

/// The ids of the events in a topic.
fn ids(config: &ClientConfig, topic: &str) -> Vec<String> {
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).expect("a place");
    consumer.assign(&from).expect("assigned");
    let mut ids = Vec::new();
    loop {
        match consumer.poll(Duration::from_secs(10)).expect("the broker answers") {
            Err(KafkaError::PartitionEOF(_)) => return ids,
            Err(cause) => panic!("{topic}: {cause}"),
            Ok(message) => {
                let event: serde_json::Value =
                    serde_json::from_slice(message.payload().expect("a payload")).expect("an event");
                ids.push(event["event_id"].as_str().expect("an id").to_owned());
            }
        }
    }
}

/// How many threads of this process read from Kafka.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux tells the threads");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "tidegate-kafka").count()
}
