//! A platform that refuses the key for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Scene, status};
use crate::served::{Served, until};
use crate::support::{once, pause};
use crate::topics::know_users;

/// Seconds that the key is refused. If a test sets it, the test does not resume
/// the sync: it has to find out without help.
const SECONDS: &str = "TIDEGATE_TEST_REVOKED_SECONDS";
/// Longer than a failing sync waits before it tries again.
const RECOVERED: Duration = Duration::from_secs(100);

fn messages(numbers: std::ops::RangeInclusive<u32>) -> impl Iterator<Item = Value> {
    numbers.map(
        |number| json!({ "key": format!("u{}", number % 10), "value": format!(r#"{{"id":"{number}"}}"#) }),
    )
}

#[tokio::test]
async fn kafka_a_refused_key_stops_the_offsets_and_every_message_arrives_once_it_is_fixed() {
    let by_itself: Option<u64> = std::env::var(SECONDS).ok().map(|seconds| seconds.parse().expect("seconds"));
    let outage = Duration::from_secs(by_itself.unwrap_or(6));
    let scene = Scene::new(4);
    know_users(&scene.sandbox, "u", 10).await;
    let project = scene.project(&scene.sync(
        "events",
        "fields: { id: id }",
        "    destination: { connection: onesignal, object: event }\n    \
         mapping: { external_id: key, name: { value: e }, properties: [id] }\n",
    ));
    let served = Served::start(&project);
    scene.topic.write(messages(1..=200));
    scene.sandbox.wait_for("onesignal", "events", 200).await;
    until("the group knows", async || (scene.topic.done("events") == 200).then_some(())).await;

    scene.sandbox.put_faults(r#"{"revoked": true}"#).await;
    let since = Instant::now();
    scene.topic.write(messages(201..=300));
    let why = until("the sync is paused", async || {
        status(&project, "events")["paused"]["why"].as_str().map(str::to_owned)
    })
    .await;
    assert!(why.contains("401") && why.contains("key"), "the reason and what to do: {why}");
    let step = (outage / 5).max(Duration::from_secs(1));
    let mut written = 300;
    while since.elapsed() < outage {
        scene.topic.write(messages(written + 1..=written + 40));
        written += 40;
        pause(step).await;
        assert_eq!(scene.topic.done("events"), 200, "offsets stand still");
    }
    assert_eq!(status(&project, "events")["paused"]["by"], "system");
    assert_eq!(scene.sandbox.stats("onesignal").await["events"], 200);

    scene.sandbox.put_faults("{}").await;
    let recovered = Instant::now();
    if by_itself.is_none() {
        assert_eq!(project.done(&["resume", "events"]).code, 0);
    }
    while scene.topic.done("events") < u64::from(written) {
        assert!(recovered.elapsed() < RECOVERED, "not everything arrived:\n{}", served.said());
        pause(Duration::from_millis(500)).await;
    }
    eprintln!(
        "{written} messages, {outage:?} of refusals, done {:?} after the key worked again",
        recovered.elapsed()
    );

    let arrived: BTreeMap<String, u32> = scene.sandbox.times("onesignal/events", "/properties/id").await;
    assert_eq!(arrived, once(written), "each message once");
    let after = status(&project, "events");
    assert_eq!((&after["paused"], &after["failed_rows"]), (&Value::Null, &json!(0)), "{after:#}");
    let (code, said) = served.stop().await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        said.lines().filter(|line| line.contains("lost") || line.contains("panicked")).count(),
        0,
        "{said}"
    );
}
