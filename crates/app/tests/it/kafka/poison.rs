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
    assert_eq!(rejected[0]["row"]["location"], place);
    let key = place.replace('[', "/").replace("]@", "/");
    assert_eq!(rejected[0]["key"], key, "topic, partition and offset");
    assert_eq!(rejected[0]["row"]["key"], format!("u{}", broken % 1_000));
    assert_eq!(rejected[0]["reason"]["code"], "invalid_json");
    assert_eq!(rejected[0]["row"]["input"], r#"{"id": tru"#, "the message is kept as it was");
    let done: Vec<Option<u64>> = (0..PARTITIONS).map(|at| Some((count - at).div_ceil(PARTITIONS))).collect();
    assert_eq!(scene.topic.committed("events"), done);
    let times = scene.sandbox.times("braze/events", "/properties/id").await;
    let doubled: Vec<_> = times.iter().filter(|(_, times)| **times > 1).take(3).collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    assert_eq!(times.len() as u64, count - 1);
}

#[tokio::test]
async fn kafka_a_message_that_could_not_be_decoded_is_listed_under_its_user_and_sent_once_it_can_be() {
    let scene = Scene::new(1);
    let sync = |reading: &str| {
        let fields = format!("fields: {{ id: id, user: user, at: {{ path: at, as: {reading} }} }}");
        let rest = "    destination: { connection: braze, object: event }\n    \
                    mapping: { external_id: user, name: { value: e }, timestamp: at, properties: [id] }\n";
        scene.sync("events", &fields, rest)
    };
    let project = scene.project(&sync("iso"));
    let message = |id: u32, at: &str| json!({ "key": "k", "value": format!(r#"{{"id":{id},"user":"u{id}","at":{at}}}"#) });
    let torn = json!({ "key": "k4", "value": "{torn" });
    scene.topic.write([
        message(1, r#""2026-11-01T10:00:00Z""#),
        message(2, "1793527200000"),
        message(3, "1793527200000"),
        torn,
    ]);
    project.run_to("events", "partial", &[("read", 4), ("delivered", 1), ("rejected", 3)]);
    let of_user = project.rows(&["--user", "u2"]);
    assert_eq!(of_user.len(), 1, "{of_user:#?}");
    assert_eq!(of_user[0]["reason"]["code"], "not_a_time");
    assert_eq!(of_user[0]["row"]["unreadable"], "at");

    // Another reading of the time fixes two; the fourth stays as it is.
    let (stream, platforms) = (scene.topic.connection(super::SESSION), scene.sandbox.connections());
    let yaml = format!("connections:\n{stream}{platforms}syncs:\n{}", sync("epoch_ms"));
    project.write("tidegate.yaml", &yaml);
    let retried = project.json(&["retry", "events"]);
    assert_eq!(retried["gone"], 0, "{retried:#}");
    assert_eq!(retried["run"]["counts"]["read"], 3);
    assert_eq!(retried["run"]["counts"]["delivered"], 2, "{retried:#}");
    let newest = project.rows(&["--rejected"]);
    assert_eq!((&newest[0]["row"]["input"], &newest[0]["row"]["key"]), (&json!("{torn"), &json!("k4")));
    assert_eq!(project.json(&["status"])[0]["failed_rows"], 1);
    let times = scene.sandbox.times("braze/events", "/properties/id").await;
    assert_eq!(times.into_iter().collect::<Vec<_>>(), ["1", "2", "3"].map(|id| (id.to_owned(), 1)));
}
