//! Rows that a platform does not take.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Scene, events_to};
use crate::support::once;

fn names(rows: &[Value], member: &str) -> BTreeSet<String> {
    rows.iter().map(|row| row[member].as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn recovery_refused_rows_stand_aside_and_go_alone_once_they_are_fixed() {
    let scene = Scene::with_orders(1_000).await;
    scene.know_users().await;
    scene.database.run("UPDATE orders SET customer = 'stranger-' || id WHERE id % 100 = 0").await;
    let project = scene.project(&events_to("onesignal"));

    project.run_to("orders", "partial", &[("read", 1_000), ("delivered", 990), ("rejected", 10)]);
    let rejected = project.rows(&["--rejected"]);
    let expected: BTreeSet<String> = (1..=10).map(|n| (n * 100).to_string()).collect();
    assert_eq!(names(&rejected, "key"), expected);
    for row in &rejected {
        let key = row["key"].as_str().expect("a key");
        assert_eq!(row["user"], format!("stranger-{key}"));
        let why = row["reason"]["message"].as_str().expect("a sentence");
        assert!(why.contains("OneSignal does not know the user"), "{why}");
        assert_eq!(row["row"]["customer"], row["user"], "the row is kept as it was");
    }
    let exact = project.done(&["rows", "--rejected", "--output", "json"]).stdout;
    assert!(exact.contains("\"total\": 9.00\n") || exact.contains("\"total\":9.00"), "{exact}");
    assert_eq!(project.json(&["status"])[0]["failed_rows"], 10);

    // Eight are corrected, one is gone, one stays as it is.
    scene
        .database
        .run("UPDATE orders SET customer = 'u1' WHERE id % 100 = 0 AND id < 900; DELETE FROM orders WHERE id = 900")
        .await;
    let before = scene.sandbox.stats("onesignal").await;
    let retried = project.json(&["retry", "orders"]);
    assert_eq!(retried["gone"], 1, "{retried:#}");
    assert_eq!(retried["run"]["counts"]["read"], 9);
    assert_eq!(retried["run"]["counts"]["delivered"], 8);
    let after = scene.sandbox.stats("onesignal").await;
    let more = |what: &str| after[what].as_u64().unwrap_or(0) - before[what].as_u64().unwrap_or(0);
    assert_eq!(more("events"), 8, "only the corrected rows took effect");
    assert!(more("requests") <= 8, "nine rows need few requests: {}", more("requests"));
    let open = project.json(&["status"])[0]["failed_rows"].clone();
    assert_eq!(open, 2, "the one that stayed and the one that is gone");

    // The next run knows them.
    let run = project.run("orders");
    assert_eq!(run["counts"]["delivered"], 0, "{run:#}");
    let mut expected = once(1_000);
    expected.retain(|id, _| id != "900" && id != "1000");
    assert_eq!(scene.sandbox.times("onesignal/events", "/properties/id").await, expected);
}

#[tokio::test]
async fn recovery_one_user_is_retried_and_a_second_retry_has_nothing_to_send() {
    let scene = Scene::with_orders(300).await;
    scene.sandbox.put_faults(r#"{"rejected": 0.1, "seed": 3}"#).await;
    let project = scene.project(&events_to("braze"));
    let run = project.run("orders");
    let (delivered, rejected) = (
        run["counts"]["delivered"].as_u64().expect("a count"),
        run["counts"]["rejected"].as_u64().expect("a count"),
    );
    assert_eq!(delivered + rejected, 300);
    assert!(rejected > 5, "{run:#}");
    let open = project.rows(&["--rejected"]);
    for row in &open {
        assert_eq!(row["reason"]["message"], "rejected, as the faults of this sandbox ask for");
    }

    scene.sandbox.put_faults("{}").await;
    let user = open[0]["user"].as_str().expect("a user").to_owned();
    let of_user = open.iter().filter(|row| row["user"] == user.as_str()).count();
    let retried = project.json(&["retry", "orders", "--user", &user]);
    assert_eq!(retried["run"]["counts"]["delivered"], of_user, "{retried:#}");
    let retried = project.json(&["retry", "orders"]);
    assert_eq!(retried["run"]["counts"]["delivered"], open.len() - of_user);
    let retried = project.json(&["retry", "orders"]);
    assert_eq!(retried["run"], Value::Null, "nothing is open any more");
    assert_eq!(scene.sandbox.times("braze/events", "/properties/id").await, once(300));
}

#[tokio::test]
async fn recovery_a_request_refused_as_a_whole_is_halved_until_the_bad_rows_stand_alone() {
    let scene = Scene::with_orders(200).await;
    scene.sandbox.make_catalog("menu", &[("label", "string"), ("price", "number")]).await;
    // The catalog knows the price as a number: one text among fifty items refuses all of them.
    scene.database.run("CREATE VIEW menu AS SELECT id, 'Item ' || id AS label, CASE WHEN id IN (3, 77, 78, 200) THEN 'free' ELSE total::text END AS price FROM orders").await;
    let project = scene.syncs(
        "  menu:\n    source: { connection: db, table: menu }\n    mode: full\n    primary_key: [id]\n    \
         destination: { connection: braze, object: catalog_item, catalog: menu }\n    \
         mapping: { id: id, fields: [label, price] }\n",
    );
    project.run_to("menu", "partial", &[("delivered", 196), ("rejected", 4)]);
    let rejected = project.rows(&["--rejected"]);
    assert_eq!(names(&rejected, "key"), ["3", "77", "78", "200"].map(str::to_owned).into());
    for row in &rejected {
        let message = row["reason"]["message"].as_str().expect("a sentence");
        assert!(message.contains("does not fit the field's type"), "{message}");
    }
    assert_eq!(scene.sandbox.stats("braze").await["catalog_items"], 196);
    let run = &project.json(&["runs"])[0];
    let retries = run["counts"]["retries"].as_u64().expect("a count");
    assert!((4..=40).contains(&retries), "four bad rows of two hundred: {retries} retries");

    scene.database.run("DROP VIEW menu; CREATE VIEW menu AS SELECT id, 'Item ' || id AS label, total::text AS price FROM orders").await;
    let retried = project.json(&["retry", "menu"]);
    assert_eq!(retried["run"]["counts"]["delivered"], 4, "{retried:#}");
    assert_eq!(scene.sandbox.stats("braze").await["catalog_items"], 200);
}

#[tokio::test]
async fn recovery_a_user_is_found_over_all_syncs_and_earlier_runs() {
    let scene = Scene::with_orders(400).await;
    let sync = |name: &str, kind: &str| {
        format!(
            "  {name}:\n    source: {{ connection: db, table: orders }}\n{}",
            events_to("braze").replace("ordered", kind)
        )
    };
    let project = scene.syncs(&(sync("first", "bought") + &sync("second", "paid")));
    project.run_to("first", "succeeded", &[("delivered", 400)]);
    project.run_to("second", "succeeded", &[("delivered", 400)]);
    scene.database.run("INSERT INTO orders VALUES (401, 'u3', now(), 1), (402, 'u4', now(), 1)").await;
    project.run_to("first", "succeeded", &[("delivered", 2)]);

    let history = project.path().join(".tidegate/history/first");
    let days: Vec<_> = std::fs::read_dir(&history).expect("a folder of days").flatten().collect();
    assert!(!days.is_empty(), "earlier runs are kept as Parquet in {}", history.display());
    let mut by_sync: BTreeMap<String, usize> = BTreeMap::new();
    for row in project.rows(&["--user", "u3"]) {
        assert_eq!((&row["user"], &row["status"]), (&"u3".into(), &"delivered".into()));
        *by_sync.entry(row["sync"].as_str().expect("a name").to_owned()).or_default() += 1;
    }
    assert_eq!(by_sync, BTreeMap::from([("first".to_owned(), 41), ("second".to_owned(), 40)]));
    let newest = &project.rows(&["--user", "u3"])[0];
    assert_eq!((&newest["key"], &newest["sync"]), (&"401".into(), &"first".into()));
    let run = newest["run"].as_str().expect("a run");
    assert_eq!(names(&project.rows(&["--run", run]), "key"), ["401", "402"].map(str::to_owned).into());
    assert!(project.rows(&["--user", "nobody"]).is_empty());
}
