//! What the server and the commands beside it tell.

use serde_json::json;

use super::{SHOP, arrived, ids, send};
use crate::served::{Served, until};
use crate::support::Project;

#[tokio::test]
async fn journey_events_are_counted_shown_and_measured_while_the_server_runs() {
    let project = Project::new(&format!(
        "connections:\n{SHOP}  lake: {{ type: delta, path: lake }}\nsyncs:
  orders: {{ source: {{ connection: shop, kinds: [\"order.*\"] }}, destination: {{ connection: lake, table: orders, commit_every: 0 }} }}
"
    ));
    let served = Served::start(&project);
    send(&served, 1..31).await;
    send(&served, 25..31).await;
    arrived(&project, "orders", &ids((1..31).filter(|number| number % 3 == 0))).await;

    let counts = project.json(&["events", "shop"]);
    let counted = |kind: &str| {
        let counts = counts.as_array().expect("a list");
        counts.iter().find(|count| count["kind"] == kind).map(|count| count["events"].clone())
    };
    assert_eq!(
        (counted("order.placed"), counted("page.viewed")),
        (Some(json!(10)), Some(json!(20))),
        "{counts:#}"
    );
    // The only connection that receives events needs no name.
    let last = project.done(&["events", "--last", "2", "--kind", "order.*"]);
    let last: Vec<serde_json::Value> =
        last.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let shown: Vec<&serde_json::Value> = last.iter().map(|line| &line["event"]["number"]).collect();
    assert_eq!(shown, [27, 30]);

    // A stream's position counts all of its events, those that are skipped too.
    until("no lag", async || {
        let lag = project.json(&["status", "orders"])[0]["lag"][0].clone();
        (lag["behind"] == 0 && lag["end"].as_u64() >= Some(30)).then_some(())
    })
    .await;
    let table = project.done(&["status", "orders"]).stdout;
    assert!(table.contains("behind") && table.contains("position"), "{table}");

    assert_eq!(
        (served.get("/healthz").await.status, served.get("/healthz").await.body.as_str()),
        (200, "ok\n")
    );
    let metrics = served.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain"), "{metrics:?}");
    for line in [
        "tidegate_events_logged_total{stream=\"shop\"} 30",
        "tidegate_events_duplicates_total{stream=\"shop\"} 6",
        "tidegate_sync_paused{sync=\"orders\"} 0",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line} in\n{}", metrics.body);
    }
}
