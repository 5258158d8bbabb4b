//! A shop's events, in the envelope that its producers put around them.

use std::time::Instant;

use serde_json::{Value, json};

use super::{Scene, status};
use crate::served::{Served, until};
use crate::support::Project;
use crate::topics::metric;

/// The envelope: its name, its user and its time lie below `data`.
const ENVELOPE: &str = "tombstones: skip, fields: { name: data.event_name, user: data.user_id, \
    at: { path: data.event_timestamp, as: epoch_ms }, data: data.properties }";
const EVENTS: &str = "    destination: { connection: braze, object: event }\n    \
    mapping: { external_id: user, name: name, timestamp: at, properties: { json: data, fields: { place: offset } } }\n";

fn purchase(number: u64) -> Value {
    let user = format!("user_{}", number % 3);
    let value = json!({
        "schema": "user_event_schema_v1",
        "data": {
            "event_name": "purchase",
            "user_id": user,
            "event_timestamp": 1_640_995_200_000_u64 + number,
            "properties": { "product_id": "prod_abc123", "amount": 29.99, "currency": "USD" },
        },
    });
    json!({ "key": user, "value": value.to_string(), "partition": number % 2 })
}

#[tokio::test]
async fn kafka_the_envelope_of_a_shop_becomes_events_with_their_own_time() {
    let scene = Scene::new(2);
    let project = scene.project(&scene.sync("purchases", ENVELOPE, EVENTS));
    scene.topic.write((0..10).map(purchase));

    let previewed = project.json(&["preview", "purchases", "--rows", "4"]);
    let previewed = previewed.as_array().expect("a list");
    assert_eq!(previewed.len(), 4);
    for line in previewed {
        assert_eq!(line["row"]["name"], "purchase", "{line:#}");
        assert!(line["record"]["identity"].to_string().contains("user_"), "{line:#}");
    }
    let planned = project.json(&["plan", "purchases"]);
    assert_eq!(planned["run"]["counts"]["read"], 10, "{planned:#}");
    let lag = status(&project, "purchases")["lag"].clone();
    for (partition, lag) in lag.as_array().expect("two partitions").iter().enumerate() {
        assert_eq!(lag["partition"], format!("{}[{partition}]", scene.topic.name));
        assert_eq!((&lag["position"], &lag["end"], &lag["behind"]), (&json!(0), &json!(5), &json!(5)));
    }
    assert_eq!(scene.topic.committed("purchases"), [None, None], "to look moves nothing");

    project.run_to("purchases", "succeeded", &[("read", 10), ("delivered", 10)]);
    assert_eq!(scene.topic.committed("purchases"), [Some(5), Some(5)]);
    let mut events = scene.sandbox.effects("braze/events").await;
    let time = |event: &Value| -> jiff::Timestamp {
        event["time"].as_str().expect("a time").parse().expect("a time")
    };
    events.sort_by_key(time);
    for (number, event) in (0..10_u64).zip(&events) {
        assert_eq!(event["external_id"], format!("user_{}", number % 3), "{event:#}");
        assert_eq!(event["name"], "purchase");
        assert_eq!(time(event).as_millisecond().unsigned_abs(), 1_640_995_200_000 + number);
        let expected =
            json!({ "product_id": "prod_abc123", "amount": 29.99, "currency": "USD", "place": number / 2 });
        assert_eq!(event["properties"], expected);
    }
    assert_eq!(events.len(), 10);

    project.run_to("purchases", "succeeded", &[("read", 0), ("delivered", 0)]);
    scene.topic.write([purchase(10)]);
    project.run_to("purchases", "succeeded", &[("read", 1), ("delivered", 1)]);
    assert_eq!(scene.topic.committed("purchases"), [Some(6), Some(5)]);
}

#[tokio::test]
async fn kafka_a_tombstone_deletes_its_user_and_nobody_else() {
    let scene = Scene::new(1);
    let users = scene.sync(
        "users",
        "tombstones: skip, fields: { email: email }",
        "    destination: { connection: braze, object: user }\n    mapping: { external_id: key, attributes: [email] }\n",
    );
    let gone = scene.sync(
        "gone",
        "tombstones: only",
        "    destination: { connection: braze, object: deletion }\n    mapping: { external_id: key }\n",
    );
    let project = scene.project(&format!("{users}{gone}"));
    let user = |name: &str| json!({ "key": name, "value": format!(r#"{{"email":"{name}@example.com"}}"#) });
    scene.topic.write([user("ann"), user("bob"), json!({ "key": "ann", "value": null }), user("cid")]);

    project.run_to("users", "succeeded", &[("delivered", 3), ("rejected", 0)]);
    assert_eq!(names(&scene).await, ["ann", "bob", "cid"]);
    project.run_to("gone", "succeeded", &[("delivered", 1), ("rejected", 0)]);

    assert_eq!(names(&scene).await, ["bob", "cid"]);
    for group in ["users", "gone"] {
        assert_eq!(scene.topic.committed(group), [Some(4)], "{group}: what is skipped is done with");
    }
}

async fn names(scene: &Scene) -> Vec<String> {
    let users = scene.sandbox.times("braze/users", "/external_id").await;
    users.into_keys().collect()
}

#[tokio::test]
async fn kafka_check_proves_each_right_and_setup_prints_how_to_give_it() {
    let scene = Scene::new(3);
    let good = scene.sync("purchases", ENVELOPE, EVENTS);
    let bad = good.replace("purchases:", "nothing:").replace(&scene.topic.name, "no-such-topic");
    let project = scene.project(&format!("{good}{bad}"));

    let checked = project.done(&["check", "purchases"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let topic = &scene.topic.name;
    for line in [
        format!("ok   DESCRIBE on topic {topic}: 3 partitions"),
        format!("ok   READ on topic {topic}: there is no message yet"),
        format!("ok   READ on group purchases-{topic}: its committed offsets can be read"),
    ] {
        assert!(checked.stdout.contains(&line), "{line} in {}", checked.stdout);
    }
    let checked = project.done(&["check", "nothing"]);
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(checked.stdout.contains("FAIL DESCRIBE on topic no-such-topic"), "{}", checked.stdout);

    let steps = project.done(&["setup", "stream"]).stdout;
    for command in [
        format!("--operation READ --operation DESCRIBE --topic {topic}"),
        format!("--operation READ --group purchases-{topic}"),
    ] {
        assert!(steps.contains(&command), "{command} in {steps}");
    }
}

#[tokio::test]
async fn kafka_serve_delivers_within_seconds_and_tells_how_far_it_is() {
    let scene = Scene::new(2);
    let project = scene.project(&scene.sync("purchases", ENVELOPE, EVENTS));
    scene.topic.write((0..6).map(purchase));
    let served = Served::start(&project);
    scene.sandbox.wait_for("braze", "events", 6).await;

    // The group has its partitions: what is written now arrives at once.
    let mut producer = scene.topic.producer(&["--apart"]);
    let started = Instant::now();
    producer.send(purchase(6));
    producer.flush();
    scene.sandbox.wait_for("braze", "events", 7).await;
    let took = started.elapsed();
    assert!(took.as_secs() < 5, "{took:?}");
    producer.finish();

    until("the lag is told", async || {
        let label = |partition: u64| format!("partition=\"{}[{partition}]\"", scene.topic.name);
        let at = async |partition| {
            let labels = ["sync=\"purchases\"", &label(partition)];
            metric(&served, "tidegate_position", &labels)
                .await
                .zip(metric(&served, "tidegate_lag_items", &labels).await)
        };
        (at(0).await? == (4.0, 0.0) && at(1).await? == (3.0, 0.0)).then_some(())
    })
    .await;
    let label = format!("partition=\"{}[0]\"", scene.topic.name);
    assert!(metric(&served, "tidegate_last_seen_timestamp_seconds", &[&label]).await.is_some());
    assert_eq!(metric(&served, "tidegate_sync_paused", &["sync=\"purchases\""]).await, Some(0.0));
    let told = status(&project, "purchases");
    assert_eq!(told["lag"][0]["position"], 4, "{told:#}");
    assert_eq!(told["lag"][0]["behind"], 0);
    assert!(told["lag"][0]["last_seen"].is_string());
    let table = project.done(&["status", "purchases"]).stdout;
    assert!(table.contains("last seen") && table.contains(&format!("{}[1]", scene.topic.name)), "{table}");

    let (code, said) = served.stop().await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(scene.topic.committed("purchases"), [Some(4), Some(3)]);
    runs_on_where_it_stood(&scene, &project).await;
}

/// The next process begins after what the last one delivered.
async fn runs_on_where_it_stood(scene: &Scene, project: &Project) {
    scene.topic.write([purchase(8), purchase(9)]);
    project.run_to("purchases", "succeeded", &[("read", 2), ("delivered", 2)]);
    assert_eq!(scene.sandbox.stats("braze").await["events"], 9);
}
