//! Where events arrive.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{SHOP, arrived, events, ids, send};
use crate::outside::{Stream, Topic, record_ids, table_ids};
use crate::served::{Served, until};
use crate::support::{Database, Project, same};

#[tokio::test]
async fn journey_events_arrive_in_every_sink_once_and_in_order() {
    let (database, stream, firehose, topic) =
        (Database::create().await, Stream::kinesis(), Stream::firehose(), Topic::make());
    let project = Project::new(&format!(
        "connections:
{SHOP}  lake: {{ type: delta, path: lake }}
  files: {{ type: files, path: files }}
  db: {}
  kinesis: {}
  firehose: {}
  kafka: {{ type: kafka, brokers: \"{}\" }}
syncs:
  delta: {{ source: {{ connection: shop }}, destination: {{ connection: lake, commit_every: 0 }} }}
  parquet: {{ source: {{ connection: shop }}, destination: {{ connection: files, path: parquet, commit_every: 0 }} }}
  jsonl: {{ source: {{ connection: shop }}, destination: {{ connection: files, path: jsonl, format: jsonl, commit_every: 0 }} }}
  table: {{ source: {{ connection: shop }}, destination: {{ connection: db }} }}
  records: {{ source: {{ connection: shop }}, destination: {{ connection: kinesis, stream: {}, order: strict }} }}
  lines: {{ source: {{ connection: shop }}, destination: {{ connection: firehose, delivery_stream: {} }} }}
  topic: {{ source: {{ connection: shop }}, destination: {{ connection: kafka, topic: {} }} }}
",
        database.connection(),
        stream.connection(),
        firehose.connection(),
        topic.broker,
        stream.name,
        firehose.name,
        topic.name,
    ));
    let served = Served::start(&project);

    for start in [1, 101, 201] {
        send(&served, start..start + 100).await;
    }
    // A sender that did not hear the answer sends again.
    send(&served, 201..301).await;

    let expected = ids(1..301);
    arrived(&project, "events", &expected).await;
    for form in ["parquet", "jsonl"] {
        let folder = project.path().join("files").join(form);
        let found = until(form, async || Some(table_ids(form, &folder)).filter(|found| found.len() >= 300));
        same(form, &expected, &found.await);
    }
    let count = "SELECT count(*) FROM shop_events.events";
    until("the table", async || {
        let made = database.count("SELECT count(*) FROM pg_tables WHERE schemaname = 'shop_events'").await;
        (made == 1 && database.count(count).await == 300).then_some(())
    })
    .await;
    let whole = "SELECT count(DISTINCT event_id) FROM shop_events.events
                 WHERE payload::jsonb->>'id' = event_id AND user_id = payload::jsonb->>'user_id' AND app_id = 'web'";
    assert_eq!(database.count(whole).await, 300);
    let in_kinesis = until("kinesis", async || Some(stream.read()).filter(|found| found.len() >= 300)).await;
    let in_firehose =
        until("firehose", async || Some(firehose.read()).filter(|found| found.len() >= 300)).await;
    let in_kafka = topic.read(300);
    for (name, records) in [("kinesis", &in_kinesis), ("firehose", &in_firehose), ("kafka", &in_kafka)] {
        same(name, &expected, &record_ids(records));
    }
    for records in [&in_kinesis, &in_kafka] {
        in_order(records);
    }

    let (code, said) = served.stop().await;
    assert_eq!(code, 0, "{said}");
    for status in project.json(&["status"]).as_array().expect("a list") {
        assert_eq!(status["last_run"]["ending"], "succeeded", "{status:#}\n{said}");
    }
}

/// Asserts that the events of each user come in the order of their numbers, under the user's key.
fn in_order(records: &[Value]) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for record in records {
        let data: Value = serde_json::from_str(record["data"].as_str().expect("text")).expect("JSON");
        let (user, number) =
            (record["key"].as_str().expect("a key"), data["number"].as_u64().expect("a number"));
        assert_eq!(data["user_id"], user);
        let before = last.insert(user, number).unwrap_or_default();
        assert!(before < number, "{user}: {number} behind {before}");
    }
}

#[tokio::test]
async fn journey_an_export_takes_the_kinds_it_names() {
    let project = Project::new(&format!(
        "connections:\n{SHOP}  lake: {{ type: delta, path: lake }}\nsyncs:
  orders: {{ source: {{ connection: shop, kinds: [\"order.*\"] }}, destination: {{ connection: lake, table: orders, commit_every: 0 }} }}
  others: {{ source: {{ connection: shop, kinds: [page.viewed], apps: [web] }}, destination: {{ connection: lake, table: others, commit_every: 0 }} }}
  phones: {{ source: {{ connection: shop, apps: [phone] }}, destination: {{ connection: lake, table: phones, commit_every: 0 }} }}
"
    ));
    let served = Served::start(&project);

    send(&served, 1..31).await;

    arrived(&project, "orders", &ids((1..31).filter(|number| number % 3 == 0))).await;
    arrived(&project, "others", &ids((1..31).filter(|number| number % 3 != 0))).await;
    assert_eq!(table_ids("delta", &super::table(&project, "phones")), BTreeMap::new());
}

#[tokio::test]
async fn journey_message_events_have_the_columns_of_the_vendors_table() {
    let database = Database::create().await;
    let project = Project::new(&format!(
        "connections:
  push: {{ type: onesignal, api_key: k, app_id: 7a1d6b3e-52f4-4c0b-9a86-0c5e2f9d4b17, event_stream: {{ token: the-secret-of-the-stream }} }}
  db: {}
syncs:
  messages: {{ source: {{ connection: push, kinds: [\"message.push.*\"] }}, destination: {{ connection: db }} }}
",
        database.connection()
    ));
    let served = Served::start(&project);
    let bearer = ("authorization", "Bearer the-secret-of-the-stream");
    let event = |id: &str, kind: &str| {
        json!({
            "event_id": id, "event_kind": kind, "event_timestamp": "1763798400",
            "app_id": "7a1d6b3e-52f4-4c0b-9a86-0c5e2f9d4b17", "external_id": "ann",
            "message_id": "m1", "message_title": "He said \"hi\"", "subscribed": "true", "tags": { "plan": "pro" },
        })
    };

    for (id, kind) in
        [("1", "message.push.sent"), ("2", "message.push.clicked"), ("3", "message.email.opened")]
    {
        let answer = served.post("/in/onesignal/push", &[bearer], event(id, kind).to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    let count = "SELECT count(*) FROM push_events.message_events";
    until("two messages", async || {
        let made = database.count("SELECT count(*) FROM pg_tables WHERE schemaname = 'push_events'").await;
        (made == 1 && database.count(count).await == 2).then_some(())
    })
    .await;
    let exact = "SELECT count(*) FROM push_events.message_events
                 WHERE event_timestamp = timestamptz '2025-11-22 08:00:00Z' AND external_id = 'ann' AND message_id = 'm1'
                   AND message_title = 'He said \"hi\"' AND subscribed AND template_id IS NULL AND _id = event_id";
    assert_eq!(database.count(exact).await, 2);
    let wrong = served.post("/in/onesignal/push", &[("authorization", "Bearer x")], events(1..2)).await;
    assert_eq!(wrong.status, 401);
}
