//! A machine is gone with its disk, and another one continues all of its work and answers for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::{BEFORE_A_MONTH, EVENTS, Shared, send_events};
use crate::served::{Served, until};
use crate::support::{Project, pause, same};

const SYNCS: &str =
    "  people: { source: { connection: db, table: people }, mode: mirror, primary_key: who, removed: delete, \
     destination: { connection: onesignal, object: user }, mapping: { external_id: who, attributes: [email] } }
  orders: { source: { connection: db, table: orders }, cursor: at, primary_key: id, schedule: { every: 1s }, \
     destination: { connection: onesignal, object: event }, \
     mapping: { external_id: who, name: { value: ordered }, properties: [id] } }
  seen: { source: { connection: shop }, destination: { connection: lake, table: seen, commit_every: 100ms } }\n";

impl Shared {
    /// The orders at the platform, and how often each is there.
    async fn arrived(&self) -> BTreeMap<String, u32> {
        self.sandbox.times("onesignal/events", "/properties/id").await
    }
}

fn listed(machine: &Project, options: &[&str]) -> usize {
    machine.rows(&[&["--sync", "orders"], options].concat()).len()
}

async fn timeline(served: &Served, user: &str) -> Vec<Value> {
    let answer = served.get(&format!("/api/v1/users/{user}/timeline?limit=100000")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["entries"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bucket_machine_that_is_gone_with_its_disk_is_continued_by_another_one_which_lists_last_month_and_retries()
 {
    let shared = Shared::new(SYNCS).await;
    shared
        .source
        .run(
            "CREATE TABLE people AS SELECT 'u' || n AS who, 'u' || n || '@example.com' AS email FROM generate_series(0, 11) n;
             CREATE TABLE orders (id bigint PRIMARY KEY, who text, at timestamptz NOT NULL)",
        )
        .await;
    let first = shared.machine();
    first.run_to("people", "succeeded", &[("delivered", 12)]);
    shared.order_at(BEFORE_A_MONTH, 1..=200).await;
    shared.source.run("UPDATE orders SET who = NULL WHERE id = 107").await;
    let run = shared.run_a_month_ago().await;
    assert_eq!((run.counts.delivered, run.counts.rejected), (199, 1), "{run:?}");
    shared.order(201..=320).await;
    first.run_to("orders", "succeeded", &[("delivered", 120)]);
    let days = |keys: &[String]| keys.iter().filter(|key| key.contains("history/orders/")).count();
    assert!(days(&shared.services.bucket.keys().await) >= 2, "{:?}", shared.services.bucket.keys().await);

    // It takes events and sends orders until it is killed, and its disk is gone.
    shared.sandbox.put_faults(r#"{"latency_ms": 300}"#).await;
    let mut served = Served::start(&first);
    let (url, acknowledged) = (served.url.clone(), AtomicU32::new(0));
    let mut orders = 320;
    let killed = async {
        for _ in 0..25 {
            shared.order(orders + 1..=orders + 20).await;
            orders += 20;
            pause(Duration::from_millis(100)).await;
        }
        assert!(served.kill(), "it ended before:\n{}", served.said());
    };
    let (answer, ()) = tokio::join!(send_events(&url, &acknowledged, u32::MAX), killed);
    assert_eq!(answer, None, "it acknowledged all events until it was killed");
    drop((served, first));
    let by_first = acknowledged.load(Ordering::Relaxed);
    let (sent, exported) = (shared.arrived().await.len(), shared.exported().len());
    assert!(
        by_first > 1 && sent > 320,
        "{by_first} batches of events and {sent} orders before it was killed"
    );
    assert!(sent + 1 < orders as usize, "all orders had left before it was killed");

    // Another machine has nothing but what they shared.
    let second = shared.machine();
    assert_eq!(listed(&second, &["--until", "20d"]), 200, "last month");
    shared.sandbox.put_faults(r#"{"latency_ms": 0}"#).await;
    let served = Served::start(&second);
    shared.order(orders + 1..=orders + 80).await;
    orders += 80;
    send_events(&served.url, &acknowledged, 3).await;
    let batches = by_first + 3;
    assert_eq!(acknowledged.load(Ordering::Relaxed), batches);
    until("every order and event", async || {
        // All but the one without a user.
        let has_orders = shared.arrived().await.len() + 1 >= orders as usize;
        (has_orders && shared.exported().len() >= (batches * EVENTS) as usize).then_some(())
    })
    .await;
    // A user's orders and events of both machines, one of ten, and the profile.
    let entries = timeline(&served, "u3").await;
    let of = |direction: &str| entries.iter().filter(|entry| entry["direction"] == direction).count();
    let expected = (orders as usize / 10 + 1, (batches * EVENTS / 10) as usize);
    assert_eq!((of("sent"), of("received")), expected, "{:#?}", entries.first());
    served.stop().await;

    // A row that the first machine could not send is corrected, and sent by the second one.
    shared.source.run("UPDATE orders SET who = 'u7' WHERE id = 107").await;
    let retried = second.json(&["retry", "orders"]);
    assert_eq!(
        retried["delivered"].as_u64().or(retried["run"]["counts"]["delivered"].as_u64()),
        Some(1),
        "{retried:#}"
    );
    // So is a user who is gone from the source: the mirror knows whom the first machine sent.
    shared.source.run("DELETE FROM people WHERE who = 'u11'").await;
    second.run("people");
    assert_eq!(shared.sandbox.effects("onesignal/users").await.len(), 11);

    let expected: BTreeMap<String, u32> = (1..=orders).map(|id| (id.to_string(), 1)).collect();
    same("OneSignal", &expected, &shared.arrived().await);
    let expected = (0..batches * EVENTS).map(|at| (format!("e{at}"), 1)).collect();
    same("Delta", &expected, &shared.exported());
    assert_eq!(
        listed(&second, &["--delivered"]),
        orders as usize,
        "each is listed once, whichever machine sent it"
    );
    assert_eq!(listed(&second, &["--open"]), 0);
    eprintln!(
        "killed after {sent} orders, {by_first} batches of {EVENTS} events ({exported} of them exported); \
         {orders} orders and {} events arrived once each",
        batches * EVENTS
    );
}
