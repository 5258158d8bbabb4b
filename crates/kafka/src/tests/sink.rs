//! Events as records: what arrives, and what is said when it does not.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;
use tidegate_model::{
    Destination, Error, ErrorKind, Event, Layout, LoggedEvent, Outcome, Settings, SinkTarget, StreamId,
    SyncId, Text,
};
use tidegate_testkit::ManualClock;
use tidegate_testkit::event_log::event;

use super::{broker, context, other, settings};
use crate::sink::KafkaSink;

type Mock = MockCluster<'static, DefaultProducerContext>;

fn open(brokers: &str, to: serde_json::Value, dry_run: bool) -> Result<KafkaSink, Error> {
    let serde_json::Value::Object(to) = to else { panic!("an object") };
    let target = SinkTarget {
        sync: SyncId::new("out"),
        stream: StreamId::new("shop"),
        layout: Layout::Messages,
        settings: Settings::new(to),
    };
    let context = context(Arc::new(ManualClock::default()), dry_run);
    KafkaSink::open(&settings(brokers), &target, &context)
}

fn mocked(partitions: i32) -> (Mock, KafkaSink) {
    let mock = MockCluster::new(1).expect("mock");
    mock.create_topic("shop_events", partitions, 1).expect("topic");
    let sink = open(&mock.bootstrap_servers(), json!({}), false).expect("sink");
    (mock, sink)
}

fn logged(number: usize, user: &str) -> LoggedEvent {
    let event = Event { user: user.into(), ..event(&format!("e{number}")) };
    LoggedEvent { offset: tidegate_model::Offset::new(0, number as u64), logged_at: event.at, event }
}

fn items(count: usize) -> Vec<LoggedEvent> {
    (0..count).map(|number| logged(number, &format!("u{}", number % 7))).collect()
}

struct Seen {
    partition: i32,
    key: String,
    value: String,
    headers: Vec<(String, String)>,
}

/// Everything in a topic, partition by partition.
fn seen(brokers: &str, topic: &str, partitions: i32, count: usize) -> Vec<Seen> {
    let consumer: BaseConsumer = other(brokers).create().expect("consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("partition");
    }
    consumer.assign(&list).expect("assigned");
    let mut all = Vec::new();
    while all.len() < count {
        let message = consumer.poll(Duration::from_secs(10)).expect("all records come").expect("a record");
        let text =
            |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("text");
        let headers = message.headers().expect("headers");
        all.push(Seen {
            partition: message.partition(),
            key: text(message.key()),
            value: text(message.payload()),
            headers: headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect(),
        });
    }
    assert!(consumer.poll(Duration::from_millis(300)).is_none(), "more than {count} records");
    all
}

#[tokio::test]
async fn every_event_is_one_record_with_its_user_as_key_and_its_id_in_a_header() {
    let (mock, sink) = mocked(3);
    let mut sent = items(100);
    sent.push(logged(100, ""));
    let receipt = sink.deliver(&sent).await.expect("receipt");
    assert_eq!(receipt.outcomes, vec![Outcome::Delivered; 101]);

    let seen = seen(&mock.bootstrap_servers(), "shop_events", 3, 101);
    for item in &sent {
        let event = &item.event;
        let header = ("event_id".to_owned(), event.id.to_string());
        let records: Vec<&Seen> = seen.iter().filter(|record| record.headers.contains(&header)).collect();
        let [record] = records.as_slice() else { panic!("{} records of {}", records.len(), event.id) };
        let key: &Text = if event.user.is_empty() { &event.id } else { &event.user };
        assert_eq!((record.key.as_str(), record.value.as_str()), (&**key, event.payload.as_str()));
        for header in
            [("event_kind", "message.push.clicked"), ("event_timestamp", "2026-03-01T11:59:59.123456789Z")]
        {
            assert!(
                record.headers.contains(&(header.0.to_owned(), header.1.to_owned())),
                "{:?}",
                record.headers
            );
        }
    }
    for user in 0..7 {
        let own: Vec<&Seen> = seen.iter().filter(|record| record.key == format!("u{user}")).collect();
        assert!(own.windows(2).all(|pair| pair[0].partition == pair[1].partition));
        let ids: Vec<usize> = own
            .iter()
            .map(|record| record.headers[0].1.trim_start_matches('e').parse().expect("number"))
            .collect();
        assert!(ids.is_sorted(), "{ids:?}");
    }
}

#[tokio::test]
async fn keys_go_to_the_partitions_that_java_clients_choose() {
    let (mock, sink) = mocked(4);
    sink.deliver(&[logged(1, "21"), logged(2, "foobar")]).await.expect("receipt");
    // Source: Apache Kafka, UtilsTest.testMurmur2: murmur2("21") = -973932308, murmur2("foobar") = -790332482.
    let expected = |hash: i32| (hash & 0x7fff_ffff) % 4;
    for record in seen(&mock.bootstrap_servers(), "shop_events", 4, 2) {
        let hash = if record.key == "21" { -973_932_308 } else { -790_332_482 };
        assert_eq!(record.partition, expected(hash), "{}", record.key);
    }
}

#[tokio::test]
async fn a_real_broker_takes_events_too() {
    let topic = super::unique("sink");
    let missing = open(&broker(), json!({ "topic": topic }), false).expect("sink");
    let error = missing.deliver(&items(1)).await.expect_err("no topic");
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    assert!(error.next_step().contains(&format!("--create --topic {topic}")), "{}", error.next_step());
    assert!(!missing.check().await.expect("checks").passed());

    let admin: rdkafka::admin::AdminClient<_> = other(&broker()).create().expect("admin");
    let new = rdkafka::admin::NewTopic::new(&topic, 2, rdkafka::admin::TopicReplication::Fixed(1));
    let made = admin.create_topics([&new], &rdkafka::admin::AdminOptions::new()).await.expect("made");
    assert!(made[0].is_ok(), "{made:?}");
    // The same sink continues once its topic exists.
    assert!(missing.check().await.expect("checks").passed());
    let dry_run = open(&broker(), json!({ "topic": topic }), true).expect("sink");
    dry_run.deliver(&items(10)).await.expect("receipt");
    let receipt = missing.deliver(&items(500)).await.expect("receipt");
    assert_eq!(receipt.outcomes, vec![Outcome::Delivered; 500]);
    assert_eq!(seen(&broker(), &topic, 2, 500).len(), 500);
}

#[tokio::test]
async fn a_refusal_is_told_with_what_lifts_it() {
    for (code, kind, hint) in [
        (
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            ErrorKind::Denied,
            "--operation WRITE --operation DESCRIBE --topic shop_events",
        ),
        (
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
            ErrorKind::Denied,
            "IDEMPOTENT_WRITE",
        ),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ErrorKind::TooLarge, "max.message.bytes"),
    ] {
        let (mock, sink) = mocked(1);
        mock.request_errors(RDKafkaApiKey::Produce, &[code; 8]);
        let error = sink.deliver(&items(3)).await.expect_err("rejected");
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.next_step().contains(hint), "{}", error.next_step());
    }
}

#[tokio::test]
async fn only_an_event_that_travelled_alone_is_called_too_large() {
    let (mock, sink) = mocked(1);
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let receipt = sink.deliver(&items(1)).await.expect("receipt");
    assert!(
        matches!(&receipt.outcomes[..], [Outcome::Rejected(reason)] if reason.code == "too_large"),
        "{receipt:?}"
    );
    let receipt = sink.deliver(&items(1)).await.expect("receipt");
    assert_eq!(receipt.outcomes, [Outcome::Delivered]);

    let mut huge = logged(1, "u");
    huge.event.payload = tidegate_model::Json::trusted(format!("\"{}\"", "x".repeat(9 << 20)));
    assert_eq!(sink.validate(&huge).expect_err("too large").code, "too_large");
}

#[tokio::test]
async fn what_a_broker_fixes_by_itself_is_not_seen() {
    let (mock, sink) = mocked(1);
    mock.request_errors(
        RDKafkaApiKey::Produce,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        ],
    );
    let receipt = sink.deliver(&items(20)).await.expect("receipt");
    assert_eq!(receipt.outcomes, vec![Outcome::Delivered; 20]);
    assert_eq!(seen(&mock.bootstrap_servers(), "shop_events", 1, 20).len(), 20);
}

#[tokio::test]
async fn a_broker_that_stops_answering_leaves_events_in_doubt_and_takes_them_later() {
    let (mock, sink) = mocked(1);
    sink.deliver(&items(1)).await.expect("receipt");
    mock.broker_down(1).expect("down");
    let receipt = sink.deliver(&items(3)).await.expect("receipt");
    assert!(receipt.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))), "{receipt:?}");

    mock.broker_up(1).expect("up");
    // Librdkafka waits longer and longer before it connects again.
    let mut outcomes = Vec::new();
    for _ in 0..5 {
        outcomes = sink.deliver(&items(3)).await.expect("receipt").outcomes;
        if outcomes.iter().all(|outcome| *outcome == Outcome::Delivered) {
            break;
        }
    }
    assert_eq!(outcomes, vec![Outcome::Delivered; 3]);
}

#[tokio::test]
async fn after_a_fatal_error_a_new_producer_goes_on() {
    let (mock, sink) = mocked(1);
    sink.deliver(&items(5)).await.expect("receipt");
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
    let first = sink.deliver(&items(5)).await.expect("receipt");
    let again = sink.deliver(&items(5)).await.expect("receipt");
    assert!(first.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))), "{first:?}");
    assert_eq!(again.outcomes, vec![Outcome::Delivered; 5]);
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_has_taken_nothing() {
    let sink = open("127.0.0.1:1", json!({}), false).expect("sink");
    let error = sink.deliver(&items(1)).await.expect_err("no response");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

#[test]
fn a_name_that_is_no_topic_is_refused_before_connecting() {
    for topic in ["", "a b", "é", "..", &"x".repeat(250)] {
        let error = open("b:9092", json!({ "topic": topic }), false).err().expect(topic);
        assert_eq!(error.kind(), ErrorKind::Settings);
    }
    assert!(open("b:9092", json!({ "tpoic": "x" }), false).is_err());
}
