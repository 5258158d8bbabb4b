//! Brokers that go away and come back: the mock cluster.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::json;
use tidegate_model::ErrorKind;

use crate::cluster::{Reader, Topic, settings_of, source, unique};

const BROKERS: i32 = 3;

fn mock() -> MockCluster<'static, rdkafka::producer::DefaultProducerContext> {
    MockCluster::new(BROKERS).expect("a mock cluster")
}

#[tokio::test]
async fn reading_goes_on_when_the_brokers_are_back() {
    let cluster = mock();
    cluster.create_topic("events", 4, 3).expect("a topic");
    let topic = Topic::at(&cluster.bootstrap_servers(), "events", 4);
    topic.write_numbers(0..40).await;
    let source = source(&topic.settings());
    let mut reader = Reader::open(&source, &topic.selection(&unique("group"), &json!({})), true).await;
    let (mut read, checkpoint) = reader.rows(40).await;
    source.committed(&checkpoint).await.expect("committed");

    for broker in 1..=BROKERS {
        cluster.broker_down(broker).expect("down");
    }
    let silent =
        tokio::time::timeout(Duration::from_secs(1), futures_util::StreamExt::next(&mut reader.feed)).await;
    assert!(silent.is_err(), "a feed that follows waits for its brokers");
    for broker in 1..=BROKERS {
        cluster.broker_up(broker).expect("up");
    }
    topic.write_numbers(40..80).await;

    read.extend(reader.rows(40).await.0);
    read.sort_unstable();
    assert_eq!(read, (0..80).collect::<Vec<_>>());
}

#[tokio::test]
async fn brokers_that_are_not_there_are_named_at_once() {
    let source = source(&json!({ "brokers": "127.0.0.1:1" }));
    let selection = settings_of(&json!({ "topics": "events", "group": "g" }));

    let error = tokio::time::timeout(Duration::from_secs(5), source.describe(&selection)).await;

    let error = error.expect("at once").expect_err("nothing listens");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.message().contains("127.0.0.1:1"), "{error:?}");
    assert!(error.next_step().contains("brokers"), "{}", error.next_step());
}

#[tokio::test]
async fn a_commit_that_fails_is_tried_again() {
    let cluster = mock();
    cluster.create_topic("events", 1, 1).expect("a topic");
    let topic = Topic::at(&cluster.bootstrap_servers(), "events", 1);
    topic.write_numbers(0..5).await;
    let group = unique("group");
    let source = source(&topic.settings());
    let mut reader = Reader::open(&source, &topic.selection(&group, &json!({})), true).await;
    let (_, checkpoint) = reader.rows(5).await;
    let loading = RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
    cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[loading; 3]);

    source.committed(&checkpoint).await.expect("committed");

    let committed = async { while topic.committed(&group).await != [Some(5)] {} };
    tokio::time::timeout(Duration::from_secs(20), committed).await.expect("committed at last");
    drop(reader);
}
