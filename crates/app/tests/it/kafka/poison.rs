//! One message that is none, among very many.

use std::time::Instant;

use serde_json::json;

use super::Scene;

/// How many messages; a million were seen to pass.
const MESSAGES: &str = "TIDEGATE_TEST_POISON_MESSAGES";
const PARTITIONS: u64 = 4;

#[tokio::test]
async fn kafka_one_broken_message_among_very_many_is_one_rejected_row_and_nothing_stalls() {
    let count: u64 = std::env::var(MESSAGES).map_or(50_000, |count| count.parse().expect("a number"));
    let broken = count * 2 / 3;
    let scene = Scene::new(4);
    let project = scene.project(&scene.sync(
        "events",
        "fields: { id: id }",
        "    destination: { connection: braze, object: event }\n    \
         mapping: { external_id: key, name: { value: e }, timestamp: timestamp, properties: [id] }\n",
    ));
    let mut producer = scene.topic.producer(&[]);
    for number in 0..count {
        let value =
            if number == broken { r#"{"id": tru"#.to_owned() } else { format!(r#"{{"id":{number}}}"#) };
        producer.send(json!({ "key": format!("u{}", number % 1_000), "value": value, "partition": number % PARTITIONS }));
    }
    assert_eq!(producer.finish(), count);

    let started = Instant::now();
    let run = project.run("events");
    eprintln!("{count} messages in {:?}", started.elapsed());
    assert_eq!(run["ending"], "partial", "{run:#}");
    for (name, expected) in [("read", count), ("delivered", count - 1), ("rejected", 1), ("in_doubt", 0)] {
        assert_eq!(run["counts"][name], expected, "{name}: {run:#}");
    }
    let rejected = project.rows(&["--rejected"]);
    assert_eq!(rejected.len(), 1, "{rejected:#?}");
    let place = format!("{}[{}]@{}", scene.topic.name, broken % PARTITIONS, broken / PARTITIONS);
    assert_eq!(rejected[0]["key"], place, "topic, partition and offset");
    assert_eq!(rejected[0]["reason"]["code"], "invalid_json");
    assert_eq!(rejected[0]["row"]["input"], r#"{"id": tru"#, "the message is kept as it was");
    let done: Vec<Option<u64>> = (0..PARTITIONS).map(|at| Some((count - at).div_ceil(PARTITIONS))).collect();
    assert_eq!(scene.topic.committed("events"), done);
    let times = scene.sandbox.times("braze/events", "/properties/id").await;
    let doubled: Vec<_> = times.iter().filter(|(_, times)| **times > 1).take(3).collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    assert_eq!(times.len() as u64, count - 1);
}
