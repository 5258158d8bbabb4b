//! What is read, and when the group learns of it.

use futures_util::TryStreamExt;
use serde_json::json;
use tidegate_model::{ReadMode, Value};

use crate::cluster::{Reader, Topic, dry_run, number, settings_of, source, unique};

#[tokio::test]
async fn a_read_ends_with_every_message_of_every_partition() {
    let topic = Topic::new(12).await;
    topic.write_numbers(0..300).await;
    let source = source(&topic.settings());
    let selection = topic.selection(&unique("group"), &json!({}));

    let rows = Reader::open(&source, &selection, false).await.read_and_commit_all().await;

    assert_eq!(rows, (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn several_topics_are_one_feed() {
    let (first, second) = (Topic::new(2).await, Topic::new(3).await);
    first.write_numbers(0..20).await;
    second.write_numbers(20..50).await;
    let names = format!("{}, {}", first.name, second.name);
    let selection = first.selection(&unique("group"), &json!({ "topics": names }));

    let rows = Reader::open(&source(&first.settings()), &selection, false).await.read_and_commit_all().await;

    assert_eq!(rows, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn offsets_are_committed_after_the_effect_and_not_before() {
    let topic = Topic::new(1).await;
    topic.write_numbers(0..10).await;
    let group = unique("group");
    let source = source(&topic.settings());
    let mut reader = Reader::open(&source, &topic.selection(&group, &json!({})), false).await;

    let (_, checkpoint) = reader.rows(10).await;
    assert!(reader.next().await.is_none());
    assert_eq!(topic.committed(&group).await, [None]);

    source.committed(&checkpoint).await.expect("committed");
    assert_eq!(topic.committed(&group).await, [Some(10)]);
}

#[tokio::test]
async fn a_feed_that_follows_commits_by_and_by_and_gives_what_comes() {
    let topic = Topic::new(1).await;
    topic.write_numbers(0..3).await;
    let group = unique("group");
    let source = source(&topic.settings());
    let mut reader = Reader::open(&source, &topic.selection(&group, &json!({})), true).await;

    let (rows, checkpoint) = reader.rows(3).await;
    assert_eq!(rows, [0, 1, 2]);
    source.committed(&checkpoint).await.expect("committed");
    topic.write_numbers(3..5).await;
    assert_eq!(reader.rows(2).await.0, [3, 4]);
    while topic.committed(&group).await != [Some(3)] {}

    // Uncommitted messages are read again by the next reader.
    drop(reader);
    drop(source);
    let source = self::source(&topic.settings());
    let rows =
        Reader::open(&source, &topic.selection(&group, &json!({})), false).await.read_and_commit_all().await;
    assert_eq!(rows, [3, 4]);
}

#[tokio::test]
async fn a_feed_that_is_dropped_leaves_its_offsets_behind() {
    let topic = Topic::new(1).await;
    topic.write_numbers(0..3).await;
    let group = unique("group");
    let source = source(&topic.settings());
    let mut reader = Reader::open(&source, &topic.selection(&group, &json!({})), true).await;
    let (_, checkpoint) = reader.rows(3).await;

    source.committed(&checkpoint).await.expect("committed");
    drop(reader);

    assert_eq!(topic.committed(&group).await, [Some(3)]);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_reported_and_passed_over() {
    let topic = Topic::new(1).await;
    let good = |n: i64| Some(format!(r#"{{"n":{n}}}"#));
    topic.write(0, [good(1), Some("{torn".to_owned()), good(2)]).await;
    let source = source(&topic.settings());
    let mut reader = Reader::open(&source, &topic.selection(&unique("group"), &json!({})), false).await;

    let (mut rows, mut malformed) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next().await {
        let batch = batch.expect("rows");
        rows.extend(batch.items.iter().map(number));
        malformed.extend(batch.malformed);
    }

    assert_eq!(rows, [1, 2]);
    assert_eq!(malformed.len(), 1);
    assert_eq!(malformed[0].location, format!("{}[0]@1", topic.name));
    assert_eq!(malformed[0].payload, "{torn");
    let row = &malformed[0].row.as_ref().expect("what could be read").row;
    assert_eq!(row.get("key"), Some(&Value::Text("key".into())));
    assert_eq!(row.get("offset"), Some(&Value::Int(1)));
}

#[tokio::test]
async fn messages_are_read_again_by_their_offsets_and_what_is_gone_is_missing() {
    let topic = Topic::new(2).await;
    topic.write_numbers(0..40).await;
    topic.write(0, [Some("{torn".to_owned())]).await;
    let source = source(&topic.settings());
    let selection = settings_of(&topic.selection(&unique("group"), &json!({})));
    let at = |partition: i32, offset: i64| format!("{}[{partition}]@{offset}", topic.name);

    let wanted = [at(1, 19), at(0, 3), at(0, 20), at(0, 0), at(0, 99), at(7, 0), at(1, 2)];
    let found = source.reread(&selection, &wanted).await.expect("read").expect("topics can");

    let numbers: Vec<i64> = found.items.iter().map(number).collect();
    assert_eq!(numbers, [0, 6, 5, 39]);
    let origins: Vec<String> = found.origins.iter().map(ToString::to_string).collect();
    assert_eq!(origins, [at(0, 0), at(0, 3), at(1, 2), at(1, 19)]);
    assert_eq!(found.malformed.len(), 1);
    assert_eq!(found.malformed[0].location, at(0, 20));

    let key = ["topic", "partition", "offset"].map(str::to_owned);
    let row = vec![Value::Text(topic.name.as_str().into()), Value::Int(1), Value::Int(2)];
    let mut found = source.lookup(&selection, &key, &[row]).await.expect("read").expect("topics can");
    let batch = found.try_next().await.expect("read").expect("a batch");
    assert_eq!(batch.items.iter().map(number).collect::<Vec<_>>(), [5]);
    let other =
        source.lookup(&selection, &["n".to_owned()], &[vec![Value::Int(5)]]).await.expect("an answer");
    assert!(other.is_none(), "a topic has no index of its fields");
}

#[tokio::test]
async fn tombstones_are_rows_or_the_only_rows_or_none() {
    let topic = Topic::new(1).await;
    topic.write(0, [Some(r#"{"n":1}"#.to_owned()), None, Some(r#"{"n":2}"#.to_owned()), None]).await;
    let source = source(&topic.settings());
    for (word, wanted) in
        [("rows", vec![false, true, false, true]), ("only", vec![true; 2]), ("skip", vec![false; 2])]
    {
        let group = unique("group");
        let selection = topic.selection(&group, &json!({ "tombstones": word }));
        let mut reader = Reader::open(&source, &selection, false).await;
        let mut found = Vec::new();
        while let Some(batch) = reader.next().await {
            let batch = batch.expect("rows");
            found.extend(batch.items.iter().map(|row| row.get("tombstone") == Some(&Value::Bool(true))));
            source.committed(&batch.checkpoint.expect("a checkpoint")).await.expect("committed");
        }
        assert_eq!(found, wanted, "{word}");
        assert_eq!(topic.committed(&group).await, [Some(4)], "{word}");
    }
}

#[tokio::test]
async fn a_dry_run_reads_the_same_and_moves_nothing() {
    let topic = Topic::new(2).await;
    topic.write_numbers(0..20).await;
    let group = unique("group");
    let source = dry_run(&topic.settings());
    for follow in [false, true] {
        let reader = Reader::open(&source, &topic.selection(&group, &json!({})), follow).await;
        assert_eq!(reader.read_and_commit_all().await, (0..20).collect::<Vec<_>>());
    }
    assert_eq!(topic.committed(&group).await, [None, None]);
}

#[tokio::test]
async fn lag_is_told_by_partition() {
    let topic = Topic::new(2).await;
    topic.write_numbers(0..20).await;
    let source = source(&topic.settings());
    let selection = topic.selection(&unique("group"), &json!({}));
    let mut reader = Reader::open(&source, &selection, false).await;
    let (_, checkpoint) = reader.rows(20).await;
    topic.write_numbers([20, 22]).await;

    let before = source.lag(&settings_of(&selection), None).await.expect("lag");
    let after = source.lag(&settings_of(&selection), Some(&checkpoint)).await.expect("lag");

    assert_eq!(before.iter().map(|lag| (lag.position, lag.behind)).collect::<Vec<_>>(), [(0, 12), (0, 10)]);
    assert_eq!(after.iter().map(|lag| (lag.position, lag.behind)).collect::<Vec<_>>(), [(10, 2), (10, 0)]);
    assert_eq!(after[1].partition, format!("{}[1]", topic.name));
    assert!(after.iter().all(|lag| lag.last_seen.is_some()));
}

#[tokio::test]
async fn everything_is_read_without_the_group() {
    let topic = Topic::new(1).await;
    topic.write_numbers(0..5).await;
    let source = source(&topic.settings());
    let group = unique("group");
    let selection = topic.selection(&group, &json!({}));
    assert_eq!(Reader::open(&source, &selection, false).await.read_and_commit_all().await.len(), 5);

    let feed = source.read(&settings_of(&selection), &ReadMode::Full, 100).await.expect("a feed");
    let mut reader = Reader { source, feed };
    assert_eq!(reader.rows(5).await.0, [0, 1, 2, 3, 4]);
}
