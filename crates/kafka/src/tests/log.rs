//! The event log keeps the promises of every event log.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use jiff::SignedDuration;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tidegate_model::{ErrorKind, EventLog, Reading, StreamId};
use tidegate_testkit::ManualClock;
use tidegate_testkit::event_log::{Backend, event, events};

use super::{broker, context, other, settings, unique};
use crate::{LogSettings, event_log};

fn open(brokers: &str, log: LogSettings, clock: &ManualClock) -> Arc<dyn EventLog> {
    event_log(&settings(brokers), log, &context(Arc::new(clock.clone()), false)).expect("settings that work")
}

struct Topics {
    prefix: String,
    clock: ManualClock,
}

impl Topics {
    fn new() -> Topics {
        Topics { prefix: format!("{}.", unique("log")), clock: ManualClock::default() }
    }

    fn settings(&self) -> LogSettings {
        LogSettings {
            prefix: self.prefix.clone(),
            partitions: 3,
            replicas: Some(1),
            ..LogSettings::default()
        }
    }
}

#[async_trait]
impl Backend for Topics {
    async fn open(&self) -> Arc<dyn EventLog> {
        open(&broker(), self.settings(), &self.clock)
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn dedup_window(&self) -> SignedDuration {
        self.settings().dedup_window
    }
}

tidegate_testkit::event_logs_conform! { Topics::new() }

#[tokio::test]
async fn users_are_spread_over_partitions_and_every_checkpoint_goes_on() {
    let topics = Topics::new();
    let log = topics.open().await;
    let stream = StreamId::new("shop");
    let many: Vec<_> = (0..300)
        .map(|at| tidegate_model::Event { user: format!("u{}", at % 30).into(), ..event(&at.to_string()) })
        .collect();
    log.append(&stream, many).await.expect("appended");

    let reading = Reading { batch_events: 20, follow: false };
    let feed = log.read(&stream, None, reading).await.expect("feed");
    let batches: Vec<_> = feed.try_collect().await.expect("batches");
    let partitions: std::collections::HashSet<_> =
        batches.iter().flat_map(|batch| &batch.items).map(|logged| logged.offset.partition).collect();
    assert_eq!(partitions.len(), 3);

    let mut done: Vec<String> = Vec::new();
    for batch in batches {
        done.extend(batch.items.iter().map(|logged| logged.event.id.to_string()));
        let rest = log.read(&stream, batch.checkpoint.as_ref(), reading).await.expect("feed");
        let rest: Vec<_> = rest.try_collect().await.expect("batches");
        let rest = rest.iter().flat_map(|batch| &batch.items).map(|logged| logged.event.id.to_string());
        let mut all: Vec<usize> =
            done.iter().cloned().chain(rest).map(|id| id.parse().expect("id")).collect();
        all.sort_unstable();
        assert_eq!(all, (0..300).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_record_that_is_no_event_is_told_and_passed_over() {
    let topics = Topics::new();
    let log = topics.open().await;
    let stream = StreamId::new("shop");
    log.append(&stream, events(0, 2)).await.expect("appended");
    let topic = format!("{}shop", topics.prefix);
    let foreign: ThreadedProducer<DefaultProducerContext> = other(&broker()).create().expect("producer");
    foreign
        .send(BaseRecord::to(&topic).key("ada").payload("hello"))
        .map_err(|(error, _)| error)
        .expect("sent");
    rdkafka::producer::Producer::flush(&foreign, std::time::Duration::from_secs(5)).expect("flushed");
    log.append(&stream, events(2, 4)).await.expect("appended");

    let feed = log.read(&stream, None, Reading { batch_events: 100, follow: false }).await.expect("feed");
    let batches: Vec<_> = feed.try_collect().await.expect("batches");

    let malformed: Vec<_> = batches.iter().flat_map(|batch| &batch.malformed).collect();
    assert_eq!(malformed.len(), 1);
    assert_eq!((malformed[0].payload.as_str(), &*malformed[0].reason.code), ("hello", "no_event"));
    assert!(malformed[0].location.starts_with(&topic), "{}", malformed[0].location);
    assert_eq!(batches.iter().map(|batch| batch.items.len()).sum::<usize>(), 4);
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_makes_nothing_durable() {
    let log = open("127.0.0.1:1", LogSettings::default(), &ManualClock::default());
    let error = log.append(&StreamId::new("shop"), events(0, 1)).await.expect_err("no response");
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(error.message().contains("127.0.0.1:1"), "{error:?}");
}

#[tokio::test]
async fn an_append_that_was_refused_may_be_sent_again() {
    let mock = MockCluster::new(1).expect("mock");
    mock.create_topic("t.shop", 1, 1).expect("topic");
    let settings = LogSettings { prefix: "t.".to_owned(), ..LogSettings::default() };
    let log = open(&mock.bootstrap_servers(), settings, &ManualClock::default());
    let stream = StreamId::new("shop");
    log.append(&stream, events(0, 1)).await.expect("appended");

    mock.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED],
    );
    let error = log.append(&stream, events(0, 3)).await.expect_err("rejected");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.next_step().contains("kafka-acls"), "{}", error.next_step());

    let again = log.append(&stream, events(0, 3)).await.expect("appended");
    assert_eq!((again.events, again.duplicates), (2, 1));
}
