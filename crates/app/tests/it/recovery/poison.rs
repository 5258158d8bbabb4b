//! Rows whose request is never answered with certainty, among rows that are fine.

use std::collections::BTreeMap;

use super::Scene;
use crate::support::{Database, Ended, Project, Sandbox};

const ROWS: u32 = 300;
const POISON: [u32; 2] = [77, 202];

/// The syncs: their name, and the settings between source and schedule.
const SYNCS: [(&str, &str); 7] = [
    (
        "events",
        "{ connection: braze, object: event }|{ external_id: who, name: { value: ordered }, timestamp: at, properties: [id] }",
    ),
    (
        "purchases",
        "{ connection: braze, object: purchase }|{ external_id: who, product_id: id, price: total, currency: { value: EUR }, timestamp: at }",
    ),
    ("users", "{ connection: braze, object: user }|{ external_id: who, attributes: [total] }"),
    ("items", "{ connection: braze, object: catalog_item, catalog: shop }|{ id: who, fields: [total] }"),
    ("deletions", "{ connection: braze, object: deletion }|{ external_id: gone }"),
    ("push_users", "{ connection: onesignal, object: user }|{ external_id: who, attributes: [email] }"),
    (
        "push_events",
        "{ connection: onesignal, object: event }|{ external_id: who, name: { value: ordered }, timestamp: at, properties: [id] }",
    ),
];

/// 300 rows, of which two are poison.
async fn scene() -> Scene {
    let database = Database::create().await;
    let poison = POISON.map(|id| id.to_string()).join(",");
    database
        .run(&format!(
            "CREATE TABLE orders (id text PRIMARY KEY, who text, gone text, email text, at timestamptz NOT NULL, total numeric(9,2));
             INSERT INTO orders SELECT n, CASE WHEN n IN ({poison}) THEN 'poison-' ELSE 'fine-' END || n, '', n || '@example.com',
             now() - interval '1 hour' + n * interval '1 millisecond', n FROM generate_series(1, {ROWS}) n;
             UPDATE orders SET gone = 'gone-' || who"
        ))
        .await;
    Scene { database, sandbox: Sandbox::start(&["--memory", "--no-limits"]) }
}

fn project(scene: &Scene) -> Project {
    let sync = |(name, ends): (&str, &str)| {
        let (destination, mapping) = ends.split_once('|').expect("two ends");
        format!(
            "  {name}:\n    source: {{ connection: db, table: orders }}\n    cursor: at\n    in_doubt: resend\n    \
             retry_for: 6s\n    destination: {destination}\n    mapping: {mapping}\n"
        )
    };
    scene.syncs(&SYNCS.map(sync).concat())
}

fn keys(project: &Project, sync: &str, option: &str) -> Vec<String> {
    let mut keys: Vec<String> = (project.rows(&["--sync", sync, option]).iter())
        .map(|row| row["key"].as_str().expect("a key").to_owned())
        .collect();
    keys.sort_unstable();
    keys
}

/// Runs every sync; the poison rows are listed, everything else arrived, and a new row too.
async fn play(answer: &str) {
    let scene = scene().await;
    let sandbox = &scene.sandbox;
    sandbox.make_catalog("shop", &[("id", "string"), ("total", "number")]).await;
    let project = project(&scene);
    let poison = POISON.map(|id| id.to_string());
    sandbox.put_faults(&format!(r#"{{"poison": "poison-", "poison_answer": "{answer}"}}"#)).await;
    let run = |sync: &str| {
        let ended = Ended::of(&project.tidegate(&["run", sync]).output().expect("tidegate starts"));
        assert_eq!(ended.code, 3, "{answer}, {sync}: {ended:?}");
    };
    // OneSignal takes events of users that it knows.
    run("push_users");
    std::thread::scope(|scope| {
        for (sync, _) in SYNCS.iter().filter(|(sync, _)| *sync != "push_users") {
            scope.spawn(|| run(sync));
        }
    });
    for (sync, _) in SYNCS {
        let names_rows =
            answer == "unnamed" && matches!(sync, "events" | "purchases" | "users" | "push_events");
        let (listed, none) =
            if names_rows { ("--rejected", "--in-doubt") } else { ("--in-doubt", "--rejected") };
        assert_eq!(keys(&project, sync, listed), [&*poison[1], &poison[0]], "{answer}, {sync}");
        assert!(keys(&project, sync, none).is_empty(), "{answer}, {sync}");
        assert_eq!(keys(&project, sync, "--delivered").len(), ROWS as usize - 2, "{answer}, {sync}");
        // The sync goes on.
        project.run_to(sync, "succeeded", &[("delivered", 0)]);
    }
    let fine = |times: BTreeMap<String, u32>, most: u32, what: &str| {
        let fine: Vec<u32> = (times.into_iter())
            .filter(|(id, _)| !poison.iter().any(|it| id == it || id.ends_with(&format!("-{it}"))))
            .map(|it| it.1)
            .collect();
        assert_eq!(fine.len(), ROWS as usize - 2, "{answer}, {what}");
        assert!(fine.iter().all(|times| *times <= most), "{answer}, {what}: {fine:?}");
    };
    fine(sandbox.times("onesignal/events", "/properties/id").await, 1, "by their key");
    fine(sandbox.times("onesignal/users", "/external_id").await, 1, "users");
    fine(sandbox.times("braze/catalogs/shop", "/id").await, 1, "items");
    fine(sandbox.times("braze/events", "/properties/id").await, 5, "events, with `resend`");
    fine(sandbox.times("braze/purchases", "/product_id").await, 5, "purchases, with `resend`");
}

#[tokio::test]
async fn recovery_a_row_that_an_error_means_without_naming_it_is_found_and_rejected() {
    play("unnamed").await;
}

#[tokio::test]
async fn recovery_a_row_that_is_answered_500_each_time_is_listed_and_the_sync_goes_on() {
    play("failed").await;
}

#[tokio::test]
async fn recovery_a_row_that_is_never_answered_is_listed_and_the_sync_goes_on() {
    play("dropped").await;
}
