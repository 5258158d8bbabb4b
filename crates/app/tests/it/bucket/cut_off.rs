//! A machine that is cut off without a word stops in time, and another one continues its work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::networks::{Cable, FIRST, Machine, Networks, Relay, SECOND};
use super::{Access, BEFORE_A_MONTH, EVENTS, Shared, send_events};
use crate::served::{Served, until};
use crate::support::{Project, pause, same, variable};
use crate::topics::Broker;

/// How long it may take until the other machine sends, with the usual lease of 30 s.
const TAKE_OVER: Duration = Duration::from_secs(60);
/// The usual lease.
const LEASE: Duration = Duration::from_secs(30);
const SYNCS: &str =
    "  orders: { source: { connection: db, table: orders }, cursor: at, primary_key: id, schedule: { every: 1s }, \
     destination: { connection: braze, object: event }, in_doubt: hold, \
     mapping: { external_id: who, name: { value: ordered }, timestamp: at, properties: [id] } }
  seen: { source: { connection: shop }, destination: { connection: lake, table: seen, commit_every: 100ms } }\n";

/// A server in the network of its machine.
fn serve(networks: &Networks, machine: Machine, project: &Project) -> Served {
    let mut served = Served::at(project, "0.0.0.0:0");
    let port = served.url.rsplit(':').next().expect("a port").to_owned();
    served.url = format!("http://{}:{port}", networks.address(machine, Cable::Platform));
    served
}

impl Shared {
    /// The orders that reached Braze, and how often each did.
    async fn ordered(&self) -> BTreeMap<String, u32> {
        self.sandbox.times("braze/events", "/properties/id").await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bucket_machine_whose_cable_is_pulled_stops_before_the_other_continues_and_is_then_killed_with_its_disk()
 {
    let Some(networks) = Networks::new() else { return };
    let (shared, access, platform, _broker) = scene(&networks).await;
    let (mut first, mut second) = (shared.machine_by(&access), shared.machine_by(&access));
    first.enter(networks.namespace(FIRST));
    second.enter(networks.namespace(SECOND));
    shared.order_at(BEFORE_A_MONTH, 1..=100).await;
    let run = shared.run_a_month_ago().await;
    assert_eq!(run.counts.delivered, 100, "{run:?}");
    shared.order(101..=150).await;
    // It was another machine, with other cables to the same database and platform.
    let ran = first.done(&["run", "orders", "--yes"]);
    assert_eq!(ran.code, 0, "{ran:?}");

    shared.sandbox.put_faults(r#"{"latency_ms": 200}"#).await;
    let mut served = serve(&networks, FIRST, &first);
    let (orders, acknowledged, enough) = (AtomicU32::new(150), AtomicU32::new(0), AtomicBool::new(false));
    let ordering = async {
        while !enough.load(Ordering::Relaxed) {
            let before = orders.fetch_add(10, Ordering::Relaxed);
            shared.order(before + 1..=before + 10).await;
            pause(Duration::from_millis(100)).await;
        }
    };
    let url = served.url.clone();
    // It answers that the log cannot be written when its services are out of reach.
    let sending = send_events(&url, &acknowledged, u32::MAX);
    let addresses = [FIRST, SECOND].map(|machine| networks.address(machine, Cable::Platform));
    let cutting = async {
        shared.sandbox.wait_for("braze", "events", 350).await;
        until("some events are exported", async || (shared.exported().len() > 100).then_some(())).await;
        let other = serve(&networks, SECOND, &second);
        assert_eq!(platform.heard(addresses[1]), None, "the first one holds the sync");
        networks.pull(FIRST, Cable::Services);
        let cut = Instant::now();
        while platform.heard(addresses[1]).is_none() {
            let waited = cut.elapsed();
            assert!(waited < TAKE_OVER, "the other machine has sent nothing:\n{}", other.said());
            pause(Duration::from_millis(50)).await;
        }
        enough.store(true, Ordering::Relaxed);
        (other, cut)
    };
    let ((other, cut), (), _) = tokio::join!(cutting, ordering, sending);
    let (_, stopped) = platform.heard(addresses[0]).expect("the first one sent");
    let (continued, _) = platform.heard(addresses[1]).expect("the other one sends");
    assert!(stopped < continued, "both sent for {:?}", stopped - continued);
    let (stopped, continued) = (stopped.saturating_duration_since(cut), continued - cut);
    assert!(stopped < LEASE, "it sent for {stopped:?} more");

    // The machine is gone with its disk.
    assert!(served.kill(), "it ended by itself:\n{}", served.said());
    networks.remove(FIRST);
    drop((served, first));
    // Senders repeat what is not acknowledged. The other one reads the ids of all events before it takes the first.
    let wanted = acknowledged.load(Ordering::Relaxed) + 3;
    until("the other machine takes events", async || {
        let missing = wanted - acknowledged.load(Ordering::Relaxed);
        send_events(&other.url, &acknowledged, missing).await;
        (acknowledged.load(Ordering::Relaxed) == wanted).then_some(())
    })
    .await;
    let (orders, events) = (orders.into_inner(), wanted * EVENTS);
    let doubtful = until("every order and event", async || {
        let (ordered, doubtful) = (shared.ordered().await, in_doubt(&second));
        let all = (1..=orders)
            .all(|id| ordered.contains_key(&id.to_string()) || doubtful.contains(&id.to_string()));
        (all && shared.exported().len() >= events as usize).then_some(doubtful)
    })
    .await;
    assert_eq!(second.rows(&["--sync", "orders", "--until", "20d"]).len(), 100, "last month");
    let (code, said) = other.stop().await;
    assert_eq!(code, 0, "{said}");

    let ordered = shared.ordered().await;
    let doubled: Vec<_> = ordered.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "doubled {doubled:?}");
    let expected = (0..events).map(|at| (format!("e{at}"), 1)).collect();
    same("Delta", &expected, &shared.exported());
    assert!(doubtful.len() < orders as usize / 4, "{} of {orders} are in doubt", doubtful.len());
    eprintln!(
        "the cable was pulled: the machine sent for {:.1} s more, the other one continued after {:.1} s; {orders} orders: \
         lost 0, doubled 0, in doubt {}; {events} events: lost 0, doubled 0",
        stopped.as_secs_f64(),
        continued.as_secs_f64(),
        doubtful.len()
    );
}

/// The orders that are listed as in doubt.
fn in_doubt(machine: &Project) -> BTreeSet<String> {
    let listed = machine.rows(&["--sync", "orders", "--in-doubt"]);
    listed.iter().map(|row| row["key"].as_str().expect("a key").to_owned()).collect()
}

/// What outlives the machines, reached over their cables. The relay leads to the platform.
async fn scene(networks: &Networks) -> (Shared, Access, Relay, Broker) {
    let shared = Shared::new(SYNCS).await;
    shared.source.run("CREATE TABLE orders (id bigint PRIMARY KEY, who text, at timestamptz NOT NULL)").await;
    let (services, platform) = (networks.hub(Cable::Services), networks.hub(Cable::Platform));
    let broker = Broker::at(services).await;
    let postgres = Relay::start(services, shared.source.port()).await;
    let store = Relay::start(services, port(&variable("TIDEGATE_TEST_MOTO"))).await;
    let platform = Relay::start(platform, port(&shared.sandbox.url)).await;
    let access = Access {
        postgres: (services.to_string(), postgres.port),
        kafka: broker.address(),
        store: format!("http://{}:{}", Cable::Services.host(), store.port),
        platform: format!("http://{}:{}", Cable::Platform.host(), platform.port),
    };
    (shared, access, platform, broker)
}

fn port(url: &str) -> u16 {
    url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {url}"))
}
