//! Exports that stand still, and those beside them that do not.

use super::{SHOP, arrived, ids, send, table};
use crate::outside::table_ids;
use crate::served::{Served, until};
use crate::support::Project;

/// Exports `one` and `two` of all events to a table each; a third to `to`.
fn project(connections: &str, to: &str) -> Project {
    Project::new(&format!(
        "connections:\n{SHOP}  lake: {{ type: delta, path: lake }}\n{connections}syncs:
  one: {{ source: {{ connection: shop }}, destination: {{ connection: lake, table: one, commit_every: 0 }} }}
  two: {{ source: {{ connection: shop }}, destination: {{ connection: lake, table: two, commit_every: 0 }} }}
{to}"
    ))
}

/// Waits until the run that followed has ended, and the one after it: nothing is under way any more.
async fn last_run_of(project: &Project, sync: &str) {
    until("the last run", async || {
        let runs = project.json(&["runs", sync]);
        let ended = runs.as_array()?.iter().filter(|run| run["ending"] == "succeeded").count();
        (ended == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn journey_a_sink_that_is_down_delays_no_other() {
    let project = project(
        "  down: { type: kinesis, region: us-east-1, endpoint: \"http://127.0.0.1:9\", access_key_id: AKID, secret_access_key: s }\n",
        "  down: { source: { connection: shop }, destination: { connection: down, stream: clicks }, retry_for: 2s }\n",
    );
    let served = Served::start(&project);

    send(&served, 1..51).await;
    arrived(&project, "one", &ids(1..51)).await;
    arrived(&project, "two", &ids(1..51)).await;
    send(&served, 51..61).await;
    arrived(&project, "one", &ids(1..61)).await;

    let failed = until("a failed run", async || {
        let runs = project.json(&["runs", "down"]);
        runs.as_array()?.iter().find(|run| run["ending"] == "failed").cloned()
    })
    .await;
    assert!(
        failed["error"].as_str().is_some_and(|error| error.contains("Kinesis cannot be reached")),
        "{failed:#}"
    );
    let status = &project.json(&["status", "down"])[0];
    assert_eq!(status["lag"][0]["behind"], 60, "{status:#}");
    assert_eq!(status["paused"], serde_json::Value::Null, "it goes on by itself: {status:#}");
}

#[tokio::test]
async fn journey_an_export_that_a_person_pauses_is_brought_to_its_end_and_goes_on_later() {
    let project = project("", "");
    let served = Served::start(&project);
    send(&served, 1..11).await;
    arrived(&project, "one", &ids(1..11)).await;

    // Sent so shortly before that only a last run can bring them.
    send(&served, 11..21).await;
    assert_eq!(project.done(&["pause", "one", "--why", "the table is moved"]).code, 0);
    arrived(&project, "one", &ids(1..21)).await;
    last_run_of(&project, "one").await;

    send(&served, 21..31).await;
    arrived(&project, "two", &ids(1..31)).await;
    assert_eq!(table_ids("delta", &table(&project, "one")), ids(1..21));
    let status = &project.json(&["status", "one"])[0];
    assert_eq!(status["paused"]["why"], "the table is moved", "{status:#}");
    assert_eq!(status["lag"][0]["behind"], 10, "{status:#}");

    assert_eq!(project.done(&["resume", "one"]).code, 0);
    arrived(&project, "one", &ids(1..31)).await;
}

#[tokio::test]
async fn journey_a_server_that_is_started_again_goes_on_where_each_export_stood() {
    let project = project("", "");
    let served = Served::start(&project);
    send(&served, 1..11).await;
    arrived(&project, "one", &ids(1..11)).await;
    arrived(&project, "two", &ids(1..11)).await;
    assert_eq!(project.done(&["pause", "two"]).code, 0);
    last_run_of(&project, "two").await;
    send(&served, 11..21).await;
    arrived(&project, "one", &ids(1..21)).await;
    let (code, said) = served.stop().await;
    assert_eq!(code, 0, "{said}");

    let served = Served::start(&project);
    // Known from before: it is not taken twice.
    send(&served, 15..31).await;
    arrived(&project, "one", &ids(1..31)).await;
    assert_eq!(table_ids("delta", &table(&project, "two")), ids(1..11));
    assert_eq!(project.done(&["resume", "two"]).code, 0);
    arrived(&project, "two", &ids(1..31)).await;
}

#[tokio::test]
async fn journey_an_export_on_an_interval_runs_once_in_each_and_a_last_time_when_it_is_paused() {
    let project = Project::new(&format!(
        "connections:\n{SHOP}  lake: {{ type: delta, path: lake }}\nsyncs:
  often: {{ source: {{ connection: shop }}, destination: {{ connection: lake, table: often }}, schedule: {{ every: 2s }} }}
  seldom: {{ source: {{ connection: shop }}, destination: {{ connection: lake, table: seldom }}, schedule: {{ every: 15m }} }}
"
    ));
    let served = Served::start(&project);
    // The first run of each, which finds nothing.
    until("first runs", async || {
        let ended =
            project.json(&["runs"]).as_array()?.iter().filter(|run| run["ending"] == "succeeded").count();
        (ended >= 2).then_some(())
    })
    .await;

    send(&served, 1..11).await;

    arrived(&project, "often", &ids(1..11)).await;
    assert_eq!(project.json(&["runs", "seldom"]).as_array().map(Vec::len), Some(1));
    // Asked for, it does not wait for its hour.
    project.run_to("seldom", "succeeded", &[("delivered", 10)]);
    arrived(&project, "seldom", &ids(1..11)).await;
    // Switched off, neither.
    send(&served, 11..21).await;
    assert_eq!(project.done(&["pause", "seldom"]).code, 0);
    arrived(&project, "seldom", &ids(1..21)).await;
    until("the last run", async || {
        (project.json(&["status", "seldom"])[0]["last_run"]["ending"] == "succeeded").then_some(())
    })
    .await;
    send(&served, 21..31).await;
    arrived(&project, "often", &ids(1..31)).await;
    assert_eq!(table_ids("delta", &table(&project, "seldom")), ids(1..21));
}
