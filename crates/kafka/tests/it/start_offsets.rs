//! Where reading starts.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_model::Checkpoint;

use crate::cluster::{Reader, Topic, source, unique};

async fn read(topic: &Topic, group: &str, more: Value, checkpoint: Option<Value>) -> Vec<i64> {
    let source = source(&topic.settings());
    let selection = topic.selection(group, &more);
    Reader::after(&source, &selection, checkpoint.map(Checkpoint), false).await.read_and_commit_all().await
}

#[tokio::test]
async fn a_group_without_committed_offsets_starts_where_start_says() {
    let topic = Topic::new(1).await;
    topic.write_numbers(0..3).await;
    let pause = tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await;
    assert!(pause.is_err());
    topic.write_numbers(3..6).await;
    let source = source(&topic.settings());
    let mut reader = Reader::open(&source, &topic.selection(&unique("group"), &json!({})), false).await;
    let batch = reader.next().await.expect("a batch").expect("rows");
    // Tansu tells the first offset only for times that a message has.
    let Some(tidegate_model::Value::Timestamp(fourth)) = batch.items[3].get("timestamp") else {
        panic!("a message has its time");
    };

    let start = |start: Value| json!({ "start": start });
    let cases = [
        (json!("earliest"), vec![0, 1, 2, 3, 4, 5]),
        (json!("latest"), vec![]),
        (json!({ "timestamp": fourth.to_string() }), vec![3, 4, 5]),
        (json!({ "offsets": { &topic.name: { "0": 4 } } }), vec![4, 5]),
        (json!({ "offsets": {} }), vec![0, 1, 2, 3, 4, 5]),
    ];
    for (setting, wanted) in cases {
        let rows = read(&topic, &unique("group"), start(setting.clone()), None).await;
        assert_eq!(rows, wanted, "{setting}");
    }
}

#[tokio::test]
async fn the_committed_offset_of_the_group_counts_more_than_start() {
    let topic = Topic::new(1).await;
    topic.write_numbers(0..3).await;
    let group = unique("group");
    assert_eq!(read(&topic, &group, json!({}), None).await, [0, 1, 2]);
    topic.write_numbers(3..5).await;

    assert_eq!(read(&topic, &group, json!({ "start": "latest" }), None).await, [3, 4]);
    assert_eq!(read(&topic, &group, json!({}), None).await, [0; 0]);
}

#[tokio::test]
async fn messages_after_latest_are_not_skipped_by_a_restart() {
    let topic = Topic::new(1).await;
    topic.write_numbers(0..3).await;
    let group = unique("group");
    assert_eq!(read(&topic, &group, json!({ "start": "latest" }), None).await, [0; 0]);

    topic.write_numbers(3..5).await;

    assert_eq!(read(&topic, &group, json!({ "start": "latest" }), None).await, [3, 4]);
}

#[tokio::test]
async fn a_checkpoint_stands_in_for_a_commit_that_was_lost() {
    let topic = Topic::new(1).await;
    topic.write_numbers(0..6).await;
    let at = |next: i64| Some(json!({ "kafka": { &topic.name: { "0": { "next": next } } } }));
    let group = unique("group");

    assert_eq!(read(&topic, &group, json!({}), at(4)).await, [4, 5]);
    assert_eq!(topic.committed(&group).await, [Some(6)]);
    // Lower than the commit: the commit counts.
    assert_eq!(read(&topic, &group, json!({}), at(4)).await, [0; 0]);
    // Beyond the end: of a topic that was there before.
    assert_eq!(read(&topic, &unique("group"), json!({}), at(7)).await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn an_engine_that_stops_for_a_while_still_gets_everything_and_all_of_it_is_committed() {
    // All of the rest waits between client and engine; more than that does.
    for messages in [250, 700] {
        let topic = Topic::new(1).await;
        topic.write_numbers(0..messages).await;
        let group = unique("group");
        let source = source(&topic.settings());
        let mut reader = Reader::open(&source, &topic.selection(&group, &json!({})), false).await;
        let (mut read, checkpoint) = reader.rows(1).await;
        source.committed(&checkpoint).await.expect("committed");

        let pause = tokio::time::timeout(Duration::from_millis(1_500), std::future::pending::<()>()).await;
        assert!(pause.is_err());

        read.extend(reader.read_and_commit_all().await);
        assert_eq!(read, (0..messages).collect::<Vec<_>>());
        assert_eq!(topic.committed(&group).await, [Some(messages)]);
    }
}

/// Reads and commits what there is; returns the numbers and the checkpoint.
async fn read_some(topic: &Topic, group: &str, more: Value, count: usize) -> (Vec<i64>, Value) {
    let source = source(&topic.settings());
    let mut reader = Reader::open(&source, &topic.selection(group, &more), false).await;
    let (read, checkpoint) = reader.rows(count).await;
    source.committed(&checkpoint).await.expect("committed");
    assert_eq!(reader.read_and_commit_all().await, [0; 0]);
    (read, checkpoint.0)
}

#[tokio::test]
async fn messages_of_a_partition_that_came_later_are_read_although_start_is_latest() {
    let topic = Topic::new(1).await;
    topic.write_numbers(0..2).await;
    let (group, latest) = (unique("group"), json!({ "start": "latest" }));
    assert_eq!(read(&topic, &group, latest.clone(), None).await, [0; 0]);
    topic.write_numbers(2..3).await;
    let (numbers, checkpoint) = read_some(&topic, &group, latest.clone(), 1).await;
    assert_eq!(numbers, [2]);

    // Tansu cannot add partitions, so the topic is created again with two.
    let topic = topic.recreate(2).await;
    topic.write(1, (0..5).map(|n| Some(format!(r#"{{"n":{n}}}"#)))).await;

    let checkpoint = Some(checkpoint);
    assert_eq!(read(&topic, &group, latest.clone(), checkpoint.clone()).await, [0, 1, 2, 3, 4]);
    assert_eq!(read(&topic, &group, latest, checkpoint).await, [0; 0]);
}

#[tokio::test]
async fn a_topic_that_was_created_again_and_outgrew_its_checkpoint_is_read_from_its_beginning() {
    for start in ["earliest", "latest"] {
        let topic = Topic::new(1).await;
        let (group, start) = (unique("group"), json!({ "start": start }));
        assert_eq!(read(&topic, &group, start.clone(), None).await, [0; 0]);
        topic.write_numbers(0..3).await;
        let (numbers, checkpoint) = read_some(&topic, &group, start.clone(), 3).await;
        assert_eq!(numbers, [0, 1, 2]);

        let topic = topic.recreate(1).await;
        topic.write_numbers(10..16).await;

        let numbers = read(&topic, &group, start.clone(), Some(checkpoint.clone())).await;
        assert_eq!(numbers, [10, 11, 12, 13, 14, 15], "{start}");
        // The old checkpoint again, as after a crash before the new one was stored: the group knows better.
        assert_eq!(read(&topic, &group, start, Some(checkpoint)).await, [0; 0]);
    }
}

#[tokio::test]
async fn a_checkpoint_of_another_cluster_counts_only_if_the_message_that_was_read_last_is_there() {
    let topic = Topic::new(1).await;
    topic.write_numbers(0..3).await;
    let (_, mut checkpoint) = read_some(&topic, &unique("group"), json!({}), 3).await;
    topic.write_numbers(3..5).await;

    checkpoint["cluster"] = "another".into();
    assert_eq!(read(&topic, &unique("group"), json!({}), Some(checkpoint.clone())).await, [3, 4]);
    checkpoint["kafka"][&topic.name]["0"]["last"]["ms"] = 1.into();
    assert_eq!(read(&topic, &unique("group"), json!({}), Some(checkpoint)).await, [0, 1, 2, 3, 4]);
}
