//! A topic of its own for each test, and a reader that is not this program.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use tidegate_kafka::CONNECTOR;
use tidegate_model::{Batch, Checkpoint, ConnectorContext, Error, Feed, ReadMode, Row, Settings, Source};
use tidegate_testkit::conforms;

/// A test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(40);

/// A topic and the brokers that have it.
pub struct Topic {
    pub brokers: String,
    pub name: String,
    pub partitions: i32,
    producer: FutureProducer,
}

/// A name that no other test has, nor the same test an hour ago.
pub fn unique(what: &str) -> String {
    format!("{what}-{:016x}", RandomState::new().build_hasher().finish())
}

/// The broker of the test servers.
pub fn tansu() -> String {
    std::env::var("TIDEGATE_TEST_KAFKA").expect("scripts/test sets it")
}

impl Topic {
    /// A new topic on the broker of the test servers.
    pub async fn new(partitions: i32) -> Topic {
        let topic = Topic::at(&tansu(), &unique("topic"), partitions);
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &topic.brokers).create().expect("a client");
        let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(1));
        let made = admin.create_topics([&new], &AdminOptions::new()).await.expect("an answer");
        made.into_iter().for_each(|made| drop(made.expect("a topic")));
        topic
    }

    /// Deletes the topic and creates it again with this many partitions.
    pub async fn recreate(self, partitions: i32) -> Topic {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().expect("a client");
        admin.delete_topics(&[&self.name], &AdminOptions::new()).await.expect("an answer");
        let new = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1));
        let made = admin.create_topics([&new], &AdminOptions::new()).await.expect("an answer");
        made.into_iter().for_each(|made| drop(made.expect("a topic")));
        Topic::at(&self.brokers, &self.name, partitions)
    }

    /// A topic that is already there.
    pub fn at(brokers: &str, name: &str, partitions: i32) -> Topic {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "0")
            .set("batch.num.messages", "1")
            .create()
            .expect("a producer");
        Topic { brokers: brokers.to_owned(), name: name.to_owned(), partitions, producer }
    }

    /// Writes messages one after the other. Each is a batch of its own: Tansu
    /// tells the base of the last batch where it is asked for the end.
    pub async fn write(&self, partition: i32, payloads: impl IntoIterator<Item = Option<String>>) {
        for payload in payloads {
            let record = FutureRecord::<str, str> {
                topic: &self.name,
                partition: Some(partition),
                payload: payload.as_deref(),
                key: Some("key"),
                timestamp: None,
                headers: None,
            };
            self.producer.send(record, Duration::from_secs(10)).await.expect("written");
        }
    }

    /// Writes `{"n": n}` for each number, spread over the partitions.
    pub async fn write_numbers(&self, numbers: impl IntoIterator<Item = i64>) {
        let sends = numbers.into_iter().map(|n| async move {
            let partition = i32::try_from(n % i64::from(self.partitions)).expect("small");
            self.write(partition, [Some(format!(r#"{{"n":{n}}}"#))]).await;
        });
        futures_util::stream::iter(sends).buffered(64).collect::<Vec<()>>().await;
    }

    /// Connection settings, with a session that a test can wait for.
    pub fn settings(&self) -> Value {
        json!({ "brokers": self.brokers, "properties": { "session.timeout.ms": 6000, "heartbeat.interval.ms": 500 } })
    }

    /// A selection of the topic, with `n` taken out.
    pub fn selection(&self, group: &str, more: &Value) -> Value {
        let mut selection = json!({ "topics": self.name, "group": group, "fields": { "n": "n" } });
        let members = selection.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        selection
    }

    /// What the group committed, as another program sees it.
    pub async fn committed(&self, group: &str) -> Vec<Option<i64>> {
        let (brokers, name, partitions, group) =
            (self.brokers.clone(), self.name.clone(), self.partitions, group.to_owned());
        let query = move || {
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", brokers)
                .set("group.id", group)
                .create()
                .expect("a consumer");
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&name, 0, partitions - 1);
            let list = consumer.committed_offsets(list, Duration::from_secs(10)).expect("offsets");
            let offset = |partition| list.find_partition(&name, partition).expect("a partition").offset();
            let number = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
            (0..partitions).map(|partition| number(offset(partition))).collect()
        };
        tokio::task::spawn_blocking(query).await.expect("offsets")
    }
}

/// Opens the source.
pub fn source(settings: &Value) -> Arc<dyn Source> {
    try_source(settings, false).expect("settings that work")
}

/// Opens the source for a dry run.
pub fn dry_run(settings: &Value) -> Arc<dyn Source> {
    try_source(settings, true).expect("settings that work")
}

pub fn try_source(settings: &Value, dry_run: bool) -> Result<Arc<dyn Source>, Error> {
    let context = ConnectorContext { dry_run, ..conforms::context(Path::new("/nonexistent")) };
    (CONNECTOR.source.expect("a source").open)(&settings_of(settings), &context)
}

pub fn settings_of(members: &Value) -> Settings {
    conforms::settings_of(members)
}

/// Reads as the engine does.
pub struct Reader {
    pub source: Arc<dyn Source>,
    pub feed: Feed,
}

impl Reader {
    pub async fn open(source: &Arc<dyn Source>, selection: &Value, follow: bool) -> Reader {
        Reader::after(source, selection, None, follow).await
    }

    pub async fn after(
        source: &Arc<dyn Source>,
        selection: &Value,
        checkpoint: Option<Checkpoint>,
        follow: bool,
    ) -> Reader {
        let mode = ReadMode::Resume { checkpoint, follow };
        let feed = source.read(&settings_of(selection), &mode, 100).await.expect("a feed");
        Reader { source: Arc::clone(source), feed }
    }

    /// The next batch, if there is one.
    pub async fn next(&mut self) -> Option<Result<Batch<Row>, Error>> {
        tokio::time::timeout(PATIENCE, self.feed.next()).await.expect("a batch in time")
    }

    /// Batches until there are this many rows; nothing is committed.
    pub async fn rows(&mut self, wanted: usize) -> (Vec<i64>, Checkpoint) {
        let (mut numbers, mut last) = (Vec::new(), None);
        while numbers.len() < wanted {
            let batch = self.next().await.expect("more rows").expect("rows");
            numbers.extend(batch.items.iter().map(number));
            last = batch.checkpoint;
        }
        (numbers, last.expect("a checkpoint"))
    }

    /// Everything to the end, each batch committed at once.
    pub async fn read_and_commit_all(mut self) -> Vec<i64> {
        let mut numbers = Vec::new();
        while let Some(batch) = self.next().await {
            let batch = batch.expect("rows");
            numbers.extend(batch.items.iter().map(number));
            self.source.committed(&batch.checkpoint.expect("a checkpoint")).await.expect("committed");
        }
        numbers.sort_unstable();
        numbers
    }
}

/// The number of a row.
pub fn number(row: &Row) -> i64 {
    match row.get("n") {
        Some(tidegate_model::Value::Int(n)) => *n,
        _ => -1,
    }
}
