//! `kill -9` of `tidegate serve` at random moments, while many write to it: what
//! got a 2xx is exported, to Delta and OpenSearch exactly once, to Kinesis at least once.
//!
//! The server starts again on its machine, with the event log in files; or another machine takes its place with an
//! empty disk, and PostgreSQL, a bucket and Kafka hold what they share.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::outside::{Search, Stream, record_ids, table_ids};
use crate::served::{Served, until};
use crate::services::Machines;
use crate::support::{Project, pause};

/// How often a server is killed that starts again; 200 were seen to pass.
const KILLS: u64 = 100;
/// How often one is killed that is replaced.
const REPLACED: u64 = 6;
/// Connections that write at the same time.
const WRITERS: u64 = 4;
/// Events of a request.
const EVENTS: u64 = 20;
/// The longest life of a server once it listens: one that is replaced has more to open first.
const LIFE_MS: [u64; 2] = [400, 1_500];
/// The longest life of one that is killed while it starts: each fourth.
const START_MS: [u64; 2] = [120, 1_000];

/// Those who write, and what they were promised.
struct Writers {
    address: Arc<Mutex<String>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Promised>>,
}

#[derive(Default)]
struct Promised {
    /// Ids of events of which the server said that they are durable.
    kept: HashSet<String>,
    /// How many were sent, heard of or not.
    sent: HashSet<String>,
    /// Requests whose answer never came.
    unheard: u64,
}

impl Writers {
    fn start(url: &str) -> Writers {
        let address = Arc::new(Mutex::new(url.to_owned()));
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks =
            (0..WRITERS).map(|_| tokio::spawn(write(address.clone(), stop.clone(), next.clone()))).collect();
        Writers { address, stop, tasks }
    }

    fn turn_to(&self, url: &str) {
        url.clone_into(&mut self.address.lock().expect("nobody panicked"));
    }

    async fn end(self) -> Promised {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Promised::default();
        for task in self.tasks {
            let one = task.await.expect("a writer");
            all.kept.extend(one.kept);
            all.sent.extend(one.sent);
            all.unheard += one.unheard;
        }
        all
    }
}

/// Sends events until it is told to stop. A request without an answer is sent again
/// sometimes, as a sender does; sometimes it is given up, as when the sender dies.
async fn write(address: Arc<Mutex<String>>, stop: Arc<AtomicBool>, next: Arc<AtomicU64>) -> Promised {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
    let mut promised = Promised::default();
    let mut again = None;
    while !stop.load(Ordering::Relaxed) {
        let first = again.take().unwrap_or_else(|| next.fetch_add(EVENTS, Ordering::Relaxed));
        let ids: Vec<String> = (first..first + EVENTS).map(|number| format!("e{number}")).collect();
        let lines = ids.iter().enumerate().map(|(at, id)| {
            json!({ "id": id, "kind": "order.placed", "user_id": format!("u{}", at % 7) }).to_string() + "\n"
        });
        let url = format!("{}/in/events/shop", address.lock().expect("nobody panicked"));
        let request = client.post(url).bearer_auth(super::serve::TOKEN).body(lines.collect::<String>());
        promised.sent.extend(ids.iter().cloned());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => promised.kept.extend(ids),
            Ok(answer) => panic!("{}: {:?}", answer.status(), answer.text().await),
            Err(_) => {
                promised.unheard += 1;
                again = (first / EVENTS).is_multiple_of(2).then_some(first);
                pause(Duration::from_millis(20)).await;
            }
        }
        pause(Duration::from_millis(15)).await;
    }
    promised
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_out_every_acknowledged_event_is_exported_whenever_the_server_dies() {
    every_acknowledged_event_is_exported(Machines::Restarted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_out_of_machines_that_are_replaced_every_acknowledged_event_is_exported() {
    every_acknowledged_event_is_exported(Machines::replaced().await).await;
}

async fn every_acknowledged_event_is_exported(machines: Machines) {
    let kills = machines.kills(KILLS, REPLACED);
    let [life_ms, start_ms] = [LIFE_MS, START_MS].map(|longest| match machines {
        Machines::Restarted => longest[0],
        Machines::Replaced(_) => longest[1],
    });
    let (stream, search) = (Stream::kinesis(), Search::new());
    let lake = tempfile::tempdir().expect("a folder");
    let mut project = machines.machine(&format!(
        "connections:
{}{}  lake: {{ type: delta, path: {} }}
  kinesis: {}
  search: {{ type: opensearch, endpoint: '{}' }}
syncs:
  delta: {{ source: {{ connection: shop }}, destination: {{ connection: lake, commit_every: 100ms }} }}
  records: {{ source: {{ connection: shop }}, destination: {{ connection: kinesis, stream: {} }} }}
  documents: {{ source: {{ connection: shop }}, destination: {{ connection: search, index: {} }} }}
",
        super::serve::SHOP,
        machines.connections(),
        lake.path().display(),
        stream.connection(),
        search.endpoint,
        stream.name,
        search.index,
    ));
    let writers = Writers::start("http://127.0.0.1:9");

    let mut met = 0;
    for kill in 0..kills {
        if kill % 4 == 3 {
            met += u64::from(dies_at_its_start(&project, at_random(kill, start_ms)).await);
        } else {
            let mut served = Served::start(&project);
            writers.turn_to(&served.url);
            pause(at_random(kill, life_ms)).await;
            met += u64::from(served.kill());
        }
        machines.replace(&mut project);
    }
    let served = Served::start(&project);
    writers.turn_to(&served.url);
    pause(Duration::from_millis(life_ms)).await;
    assert_eq!(met, kills, "it died by itself");
    let promised = writers.end().await;
    until("the end of the log", async || {
        let status = project.json(&["status"]);
        let done = |status: &serde_json::Value| status["lag"][0]["behind"] == 0;
        status.as_array().is_some_and(|all| all.iter().all(done)).then_some(())
    })
    .await;

    let table = table_ids("delta", &lake.path().join("shop_events/events"));
    let records = record_ids(&stream.read());
    let documents = search.ids();
    let repeated = records.values().filter(|times| **times > 1).count();
    eprintln!(
        "{kills} kills: {} events acknowledged, {} sent, {} requests unheard; {} in Delta, {} in OpenSearch, {} in Kinesis, {repeated} of them more than once",
        promised.kept.len(),
        promised.sent.len(),
        promised.unheard,
        table.len(),
        documents.len(),
        records.len(),
    );
    missing("Delta", &promised, &table);
    missing("Kinesis", &promised, &records);
    missing("OpenSearch", &promised, &documents);
    for (what, found) in [("Delta", table), ("OpenSearch", documents)] {
        let doubled: Vec<_> = found.iter().filter(|(_, times)| **times > 1).take(5).collect();
        assert!(doubled.is_empty(), "more than once in {what}: {doubled:?}");
    }
    assert!(promised.kept.len() as u64 > kills, "there was hardly any load");
}

fn at_random(seed: u64, most_ms: u64) -> Duration {
    Duration::from_millis(RandomState::new().hash_one(seed) % most_ms)
}

/// Kills a server that may not even listen yet: whatever it was repairing stays half
/// repaired.
async fn dies_at_its_start(project: &Project, after: Duration) -> bool {
    let mut starting = project
        .tidegate(&["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("tidegate starts");
    pause(after).await;
    let running = starting.try_wait().expect("a state").is_none();
    starting.kill().expect("killed");
    starting.wait().expect("ended");
    running
}

fn missing(what: &str, promised: &Promised, found: &BTreeMap<String, u32>) {
    let lost: Vec<_> = promised.kept.iter().filter(|id| !found.contains_key(*id)).collect();
    assert!(
        lost.is_empty(),
        "{} lost on the way to {what}, such as {:?}",
        lost.len(),
        &lost[..lost.len().min(5)]
    );
    let strangers: Vec<_> = found.keys().filter(|id| !promised.sent.contains(*id)).take(5).collect();
    assert!(strangers.is_empty(), "nobody sent {strangers:?}");
}
