//! Events in a table: each once, whatever happens on the way.

use std::sync::Arc;

use serde_json::json;
use tidegate_model::{ErrorKind, Outcome, Sink};
use tidegate_warehouses::databricks::CONNECTOR;

use crate::databricks_server::Workspace;
use crate::event_sinks::{cells_of_seven, events, open, refused, thirty_come_again};

pub(crate) fn sink(workspace: &Workspace, target: serde_json::Value) -> Arc<Sink> {
    open(&CONNECTOR, &workspace.settings(json!({})), target, &workspace.context())
}

pub(crate) async fn counted(workspace: &Workspace, table: &str) -> (usize, usize) {
    let sql = format!("SELECT count(*), count(DISTINCT event_id) FROM {table}");
    let rows = workspace.run(&sql).await;
    let number = |at: usize| rows[0][at].as_deref().expect("a count").parse().expect("a number");
    (number(0), number(1))
}

/// The other side has run a statement twice, or another process had the same events.
#[tokio::test]
async fn events_that_come_again_are_there_once_by_file_and_inside_of_statements() {
    let workspace = Workspace::new().await;
    let volume = format!("main.{}.tidegate_staging", workspace.schema());
    let denied = [format!("CREATE VOLUME on Schema 'main.{}'", workspace.schema())];
    for (table, without) in [("inside", json!(denied)), ("by_file", json!([]))] {
        workspace.set(json!({ "without": without })).await;
        let sink = sink(&workspace, json!({ "schema": workspace.schema(), "table": table }));
        thirty_come_again(sink.as_ref(), table).await;
        let table = workspace.table(table);
        assert_eq!(counted(&workspace, &table).await, (30, 30), "{table}");
        let sql = format!(
            "SELECT event_id, CAST(event_timestamp AS STRING), language, device_type, subscribed, \
             CAST(event_date AS STRING), message_id FROM {table} WHERE _index = 7"
        );
        let expected = cells_of_seven("2026-03-01 12:00:00.123456", "2026-03-01");
        assert_eq!(workspace.run(&sql).await, [expected], "{table}");
    }
    assert_eq!(workspace.files().await, Vec::<String>::new(), "{volume} is left empty");
}

#[tokio::test]
async fn a_table_of_an_older_version_gets_the_columns_that_it_lacks() {
    let workspace = Workspace::new().await;
    let table = workspace.table("message_events");
    workspace.run(&format!("CREATE TABLE {table} (event_id STRING, event_kind STRING, own INT)")).await;
    let sink = sink(&workspace, json!({ "schema": workspace.schema() }));
    sink.deliver(&events(0..3)).await.unwrap();
    let rows = workspace.run(&format!("SELECT count(language), count(own) FROM {table}")).await;
    assert_eq!(rows, [[Some("3".to_owned()), Some("0".to_owned())]]);
}

#[tokio::test]
async fn a_column_that_would_not_keep_a_value_whole_is_named() {
    let workspace = Workspace::new().await;
    let table = workspace.table("message_events");
    workspace.run(&format!("CREATE TABLE {table} (event_id STRING, device_type INT)")).await;
    let sink = sink(&workspace, json!({ "schema": workspace.schema() }));
    let error = refused(sink.as_ref()).await;
    let expected = format!("the column `device_type` of {table} is INT, and events have BIGINT for it");
    assert_eq!(error.message(), expected);
}

#[tokio::test]
async fn a_table_that_was_dropped_meanwhile_is_made_again() {
    let workspace = Workspace::new().await;
    let sink = sink(&workspace, json!({ "schema": workspace.schema(), "partition_by_date": true }));
    sink.deliver(&events(0..3)).await.unwrap();
    let table = workspace.table("message_events");
    workspace.run(&format!("DROP TABLE {table}")).await;
    assert_eq!(sink.deliver(&events(3..6)).await.unwrap_err().kind(), ErrorKind::Missing);
    sink.deliver(&events(3..6)).await.unwrap();
    assert_eq!(counted(&workspace, &table).await, (3, 3));
}

#[tokio::test]
async fn events_travel_inside_of_statements_if_the_volume_may_not_be_written() {
    let workspace = Workspace::new().await;
    let schema = workspace.schema();
    let sink = sink(&workspace, json!({ "schema": schema }));
    sink.deliver(&events(0..1)).await.unwrap();
    workspace
        .set(json!({ "without": [format!("WRITE VOLUME on Volume 'main.{schema}.tidegate_staging'")] }))
        .await;
    sink.deliver(&events(1..2)).await.unwrap();
    let table = workspace.table("message_events");
    assert_eq!(counted(&workspace, &table).await, (2, 2));
}

/// It is not known whether the statement took effect: the engine offers the events again.
#[tokio::test]
async fn events_whose_statement_was_lost_are_unknown_and_there_once_in_the_end() {
    let workspace = Workspace::new().await;
    let sink = sink(&workspace, json!({ "schema": workspace.schema() }));
    sink.deliver(&events(0..1)).await.unwrap();
    workspace.set(json!({ "lost": "MERGE" })).await;
    let receipt = sink.deliver(&events(1..4)).await.unwrap();
    assert!(matches!(receipt.outcomes[..], [Outcome::Unknown(_), Outcome::Unknown(_), Outcome::Unknown(_)]));
    workspace.set(json!({})).await;
    sink.deliver(&events(1..4)).await.unwrap();
    assert_eq!(counted(&workspace, &workspace.table("message_events")).await, (4, 4));
}

/// Whoever optimized a table last, it is not done again before its time.
#[tokio::test]
async fn a_table_is_optimized_beside_its_deliveries_when_it_is_time() {
    let workspace = Workspace::new().await;
    let table = workspace.table("message_events");
    for (optimize, expected) in [("never", false), ("daily", true)] {
        let sink = sink(&workspace, json!({ "schema": workspace.schema(), "optimize": optimize }));
        sink.deliver(&events(0..2)).await.unwrap();
        assert!(!workspace.is_optimized(&table).await, "{optimize}: the table was made a moment ago");
        workspace.neglect(&table).await;
        for _ in 0..200 {
            sink.deliver(&events(0..2)).await.unwrap();
            if !expected || workspace.is_optimized(&table).await {
                break;
            }
        }
        assert_eq!(workspace.is_optimized(&table).await, expected, "{optimize}");
        assert_eq!(counted(&workspace, &table).await, (2, 2));
    }
}
