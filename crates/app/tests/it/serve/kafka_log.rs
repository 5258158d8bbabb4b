//! The event log in Kafka: what was acknowledged there outlives the machine that took it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{BEARER, SHOP, events, ids};
use crate::outside::table_ids;
use crate::served::{Served, until};
use crate::support::{Database, Project, pause, same, variable};
use crate::topics::unique;

/// Events of a request.
const EVENTS: u32 = 20;
/// How often the server is killed.
const KILLS: u32 = 6;

/// Sends batches one after the other until the server is gone. A batch whose answer was not heard is the
/// first one of the next call. Returns how many batches were acknowledged.
async fn write(url: &str, acknowledged: &AtomicU32) {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
    loop {
        let batch = acknowledged.load(Ordering::Relaxed);
        let body = events(batch * EVENTS..(batch + 1) * EVENTS);
        let request = client.post(format!("{url}/in/events/shop")).header(BEARER.0, BEARER.1).body(body);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => acknowledged.store(batch + 1, Ordering::Relaxed),
            Ok(answer) => panic!("{}: {:?}", answer.status(), answer.text().await),
            Err(_) => return,
        }
    }
}

fn machine(yaml: &str, store: &str, log: &str) -> Project {
    let mut project = Project::new(yaml);
    project.set("TIDEGATE_STORE", store);
    project.set("TIDEGATE_LOG", log);
    project
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_log_events_survive_the_machine_that_took_them_and_another_one_exports_them_once() {
    let (state, lake) = (Database::create().await, tempfile::tempdir().expect("a folder"));
    let yaml = format!(
        "connections:
{SHOP}  stream: {{ type: kafka, brokers: \"{}\" }}
  lake: {{ type: delta, path: {} }}
syncs:
  log: {{ source: {{ connection: shop }}, destination: {{ connection: lake, table: log, commit_every: 100ms }} }}
",
        variable("TIDEGATE_TEST_KAFKA"),
        lake.path().display(),
    );
    let store = format!("{}?sslmode=require", state.url());
    let log = format!("kafka://stream/{}.?partitions=3&replicas=1", unique("log"));
    let first = machine(&yaml, &store, &log);
    let acknowledged = AtomicU32::new(0);

    for kill in 0..KILLS {
        let mut served = Served::start(&first);
        let url = served.url.clone();
        let life = Duration::from_millis(300 + RandomState::new().hash_one(kill) % 700);
        let killed = async {
            pause(life).await;
            assert!(served.kill(), "it ended before:\n{}", served.said());
        };
        tokio::join!(write(&url, &acknowledged), killed);
    }
    let written = acknowledged.load(Ordering::Relaxed);
    assert!(written > KILLS, "there was hardly any load");
    assert!(!first.path().join(".tidegate/events/shop").exists(), "no event is on this machine");
    drop(first);

    // Another machine, with nothing of the first but the store and the log.
    let second = machine(&yaml, &store, &log);
    let served = Served::start(&second);
    let last = events(written * EVENTS..(written + 1) * EVENTS);
    assert_eq!(served.post("/in/events/shop", &[BEARER], last).await.status, 202);
    let expected = ids(0..(written + 1) * EVENTS);
    let table = lake.path().join("shop_events/log");
    let mut found = BTreeMap::new();
    until("the end of the log", async || {
        // Without a commit it is no table to the client.
        if table.join("_delta_log/00000000000000000000.json").exists() {
            found = table_ids("delta", &table);
        }
        (found.len() >= expected.len()).then_some(())
    })
    .await;
    same("Delta", &expected, &found);
    let kinds = second.json(&["events"]);
    let counted: u64 =
        kinds.as_array().expect("a list").iter().filter_map(|kind| kind["events"].as_u64()).sum();
    assert_eq!(counted, u64::from((written + 1) * EVENTS), "{kinds:#}");
    served.stop().await;

    // A checkpoint of this log is not taken for one of another.
    let files = Project::new(&yaml);
    let refused = files.done(&["run", "log", "--store", &store]);
    assert!(refused.stderr.contains("has read another event log before"), "{refused:?}");
    assert!(refused.stderr.contains("--log"), "{refused:?}");
    // An erasure does what it can, and says what it cannot.
    let erased = second.json(&["users", "erase", "u3"]);
    assert_eq!(erased["events_stay"], true, "{erased:#}");
}

#[test]
fn kafka_log_address_that_names_no_connection_is_answered_with_those_that_there_are() {
    let project = Project::new(&format!(
        "connections:\n{SHOP}  stream: {{ type: kafka, brokers: \"127.0.0.1:9\" }}\nsyncs: {{}}\n"
    ));
    let refused = project.done(&["events", "--log", "kafka://other"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("the project has `kafka://stream`"), "{refused:?}");
    let broker = project.done(&["events", "--log", "kafka://127.0.0.1:9092"]);
    assert!(broker.code == 2 && broker.stderr.contains("kafka://CONNECTION"), "{broker:?}");
    let document = project.document(&["events", "--log", "kafka://other"]);
    assert_eq!(document["error"]["kind"], json!("settings"));
}
