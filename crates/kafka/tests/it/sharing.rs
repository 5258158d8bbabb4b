//! Several processes in one group, each a source of its own here.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tidegate_model::Value;

use crate::cluster::{Reader, Topic, number, source, unique};

const PARTITIONS: i32 = 4;

/// Reads what comes within a moment and commits it. Returns numbers and partitions.
async fn drain(reader: &mut Reader) -> Vec<(i64, i64)> {
    let mut found = Vec::new();
    while let Ok(batch) = tokio::time::timeout(Duration::from_millis(300), reader.feed.next()).await {
        let batch = batch.expect("an open feed").expect("rows");
        found.extend(batch.items.iter().map(|row| match row.get("partition") {
            Some(Value::Int(partition)) => (number(row), *partition),
            _ => panic!("a row has its partition"),
        }));
        reader.source.committed(&batch.checkpoint.expect("a checkpoint")).await.expect("committed");
    }
    found
}

/// Writes and drains until the second reader has something. Returns what each got.
async fn until_shared(topic: &Topic, next: &mut i64, readers: &mut [Reader; 2]) -> [Vec<(i64, i64)>; 2] {
    let mut found = [Vec::new(), Vec::new()];
    for _ in 0..100 {
        topic.write_numbers(*next..*next + i64::from(PARTITIONS)).await;
        *next += i64::from(PARTITIONS);
        for (reader, found) in readers.iter_mut().zip(&mut found) {
            found.extend(drain(reader).await);
        }
        if !found[1].is_empty() {
            return found;
        }
    }
    panic!("the second reader got no partition");
}

#[tokio::test]
async fn a_partition_is_committed_before_its_next_owner_reads() {
    let topic = Topic::new(PARTITIONS).await;
    topic.write_numbers(0..200).await;
    let selection = topic.selection(&unique("group"), &json!({}));
    let mut one = Reader::open(&source(&topic.settings()), &selection, true).await;
    let (mut read, checkpoint) = one.rows(200).await;

    // The second process joins while everything that the first one read is unsettled.
    let two = Reader::open(&source(&topic.settings()), &selection, true).await;
    let mut readers = [one, two];
    let early = tokio::time::timeout(Duration::from_secs(1), readers[1].feed.next()).await;
    assert!(early.is_err(), "the second owner read uncommitted messages");
    readers[0].source.committed(&checkpoint).await.expect("committed");
    let mut next = 200;
    let [first, second] = until_shared(&topic, &mut next, &mut readers).await;

    read.extend(first.iter().chain(&second).map(|(n, _)| n));
    for reader in &mut readers {
        read.extend(drain(reader).await.iter().map(|(n, _)| n));
    }
    read.sort_unstable();
    assert_eq!(read, (0..next).collect::<Vec<_>>(), "each message once");
}

#[tokio::test]
async fn a_partition_that_is_not_committed_in_time_is_read_again_by_its_next_owner() {
    let topic = Topic::new(PARTITIONS).await;
    topic.write_numbers(0..40).await;
    let selection = topic.selection(&unique("group"), &json!({}));
    let mut one = Reader::open(&source(&topic.settings()), &selection, true).await;
    let (_, checkpoint) = one.rows(40).await;

    // The second process joins; the first one commits nothing meanwhile.
    let mut two = Reader::open(&source(&topic.settings()), &selection, true).await;
    let mut again = Vec::new();
    for _ in 0..100 {
        again.extend(drain(&mut two).await);
        if again.len() >= 20 {
            break;
        }
    }
    assert_eq!(again.len(), 20, "half of the partitions went over: {again:?}");
    one.source.committed(&checkpoint).await.expect("committed");
    drop((one, two));
}

#[tokio::test]
async fn a_member_that_leaves_hands_its_partitions_over_at_once() {
    let topic = Topic::new(PARTITIONS).await;
    let selection = topic.selection(&unique("group"), &json!({}));
    let one = Reader::open(&source(&topic.settings()), &selection, true).await;
    let two = Reader::open(&source(&topic.settings()), &selection, true).await;
    let mut readers = [one, two];
    let mut next = 0;
    let _ = until_shared(&topic, &mut next, &mut readers).await;
    let [one, mut two] = readers;

    drop(one);
    topic.write_numbers(next..next + 40).await;
    let mut found = Vec::new();
    for _ in 0..60 {
        found.extend(drain(&mut two).await.into_iter().map(|(n, _)| n).filter(|n| *n >= next));
        if found.len() == 40 {
            break;
        }
    }

    found.sort_unstable();
    assert_eq!(found, (next..next + 40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_slow_platform_neither_loses_the_group_nor_fills_the_memory() {
    let topic = Topic::new(PARTITIONS).await;
    topic.write_numbers(0..3_000).await;
    let group = unique("group");
    let mut settings = topic.settings();
    settings["properties"]["max.poll.interval.ms"] = json!(6_000);
    let source = source(&settings);
    let mut reader = Reader::open(&source, &topic.selection(&group, &json!({})), true).await;
    let (mut read, checkpoint) = reader.rows(1).await;
    source.committed(&checkpoint).await.expect("committed");

    // No batch is taken for longer than the group waits for a silent member.
    let idle = tokio::time::timeout(Duration::from_secs(9), std::future::pending::<()>()).await;
    assert!(idle.is_err());

    while read.len() < 3_000 {
        let (more, checkpoint) = reader.rows(1).await;
        read.extend(more);
        source.committed(&checkpoint).await.expect("committed");
    }
    read.sort_unstable();
    assert_eq!(read, (0..3_000).collect::<Vec<_>>(), "each message once: the partitions were not reassigned");
    drop(reader);
    assert_eq!(topic.committed(&group).await, [Some(750); 4]);
}
