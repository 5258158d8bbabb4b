//! The event log keeps the promises of every event log.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use jiff::SignedDuration;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tidegate_model::{ErrorKind, EventLog, Reading, StreamId};
use tidegate_testkit::ManualClock;
use tidegate_testkit::event_log::{Backend, event, events};
use tokio::time::timeout;

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
    rdkafka::producer::Producer::flush(&foreign, Duration::from_secs(5)).expect("flushed");
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

/// A cluster with a topic of one partition for each stream, and a log there.
fn mocked(streams: &[&str]) -> (MockCluster<'static, DefaultProducerContext>, Arc<dyn EventLog>) {
    let mock = MockCluster::new(1).expect("mock");
    for stream in streams {
        mock.create_topic(&format!("t.{stream}"), 1, 1).expect("topic");
    }
    let settings = LogSettings { prefix: "t.".to_owned(), ..LogSettings::default() };
    let log = open(&mock.bootstrap_servers(), settings, &ManualClock::default());
    (mock, log)
}

/// The ids in a stream.
async fn logged(log: &dyn EventLog, stream: &StreamId) -> Vec<String> {
    let feed = log.read(stream, None, Reading { batch_events: 100, follow: false }).await.expect("feed");
    let batches: Vec<_> = feed.try_collect().await.expect("batches");
    batches.iter().flat_map(|batch| &batch.items).map(|logged| logged.event.id.to_string()).collect()
}

#[tokio::test]
async fn senders_that_wait_shorter_than_the_ids_take_to_read_do_not_keep_a_log_from_taking_events() {
    let (mock, log) = mocked(&["shop"]);
    let stream = StreamId::new("shop");
    mock.broker_round_trip_time(-1, Duration::from_millis(200)).expect("slow");
    let mut tries = 0;
    let appended = loop {
        tries += 1;
        assert!(tries < 300, "nothing is accepted");
        if let Ok(appended) = timeout(Duration::from_millis(100), log.append(&stream, events(0, 1))).await {
            break appended.expect("appended");
        }
    };
    assert!(tries > 2, "the first senders hung up");
    assert_eq!(appended.events + appended.duplicates, 1);
    mock.broker_round_trip_time(-1, Duration::ZERO).expect("fast");
    assert_eq!(logged(&*log, &stream).await, ["0"]);
}

#[tokio::test]
async fn a_stream_whose_ids_cannot_be_read_says_why_and_does_not_hold_up_another_one() {
    let mock = MockCluster::new(2).expect("mock");
    for (topic, broker) in [("t.app", 1), ("t.shop", 2)] {
        mock.create_topic(topic, 1, 1).expect("topic");
        mock.partition_leader(topic, 0, Some(broker)).expect("a leader");
    }
    let settings = LogSettings { prefix: "t.".to_owned(), ..LogSettings::default() };
    let log = open(&mock.bootstrap_servers(), settings, &ManualClock::default());
    let (shop, app) = (StreamId::new("shop"), StreamId::new("app"));
    mock.broker_down(2).expect("down");
    let waiting = tokio::spawn({
        let (log, shop) = (Arc::clone(&log), shop.clone());
        async move { log.append(&shop, events(0, 1)).await }
    });
    tokio::task::yield_now().await;
    let other = timeout(Duration::from_secs(6), log.append(&app, events(0, 1))).await;
    assert_eq!(other.expect("it does not wait").expect("appended").events, 1);
    let error = waiting.await.expect("no panic").expect_err("nothing can be read");
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(error.message().contains("`t.shop`"), "{error:?}");

    mock.broker_up(2).expect("up");
    let accepted = async { while log.append(&shop, events(0, 1)).await.is_err() {} };
    timeout(Duration::from_secs(60), accepted).await.expect("accepted once its leader is back");
    assert_eq!(logged(&*log, &shop).await, ["0"]);
}

#[tokio::test]
async fn a_sender_that_hangs_up_before_the_result_and_sends_again_does_not_double_its_event() {
    let (mock, log) = mocked(&["shop"]);
    let stream = StreamId::new("shop");
    log.append(&stream, events(0, 1)).await.expect("appended");
    mock.broker_round_trip_time(-1, Duration::from_millis(1_000)).expect("slow");
    let hung_up = timeout(Duration::from_millis(200), log.append(&stream, events(0, 2))).await;
    hung_up.expect_err("no result yet");

    mock.broker_round_trip_time(-1, Duration::ZERO).expect("fast");
    let again = log.append(&stream, events(0, 2)).await.expect("appended");
    assert_eq!((again.events, again.duplicates), (0, 2));
    assert_eq!(logged(&*log, &stream).await, ["0", "1"]);
}

#[tokio::test]
async fn an_event_whose_result_was_lost_is_found_in_the_topic_and_not_written_again() {
    let (mock, log) = mocked(&["shop"]);
    let stream = StreamId::new("shop");
    log.append(&stream, events(0, 1)).await.expect("appended");
    // Longer than a message may take.
    mock.broker_round_trip_time(-1, Duration::from_secs(4)).expect("slow");
    let error = log.append(&stream, events(1, 3)).await.expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");

    mock.broker_round_trip_time(-1, Duration::ZERO).expect("fast");
    let again = async {
        loop {
            if let Ok(appended) = log.append(&stream, events(1, 4)).await {
                return appended;
            }
        }
    };
    let again = timeout(Duration::from_secs(40), again).await.expect("accepted");
    assert_eq!((again.events, again.duplicates), (1, 2));
    assert_eq!(logged(&*log, &stream).await, ["0", "1", "2", "3"]);
}
