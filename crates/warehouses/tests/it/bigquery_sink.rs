//! Events in a table of BigQuery: each once, whatever happens on the way.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tidegate_model::Sink;
use tidegate_warehouses::bigquery::CONNECTOR;

use crate::bigquery_server::Warehouse;
use crate::event_sinks::{deliver_at_last, events, open, refused, thirty_come_again};

fn sink(warehouse: &Warehouse, target: Json) -> Arc<Sink> {
    open(&CONNECTOR, &warehouse.settings(json!({})), target, &warehouse.context())
}

async fn counted(warehouse: &Warehouse, table: &str) -> (usize, usize) {
    let sql = format!("SELECT COUNT(*), COUNT(DISTINCT event_id) FROM `{table}`");
    let rows = warehouse.run(&sql).await;
    let number = |at: usize| rows[0][at].as_str().expect("a count").parse().expect("a number");
    (number(0), number(1))
}

/// Another process had the same events, or a job ran twice.
#[tokio::test]
async fn events_that_come_again_are_in_bigquery_once_with_every_sign_and_no_staging_table_stays() {
    let warehouse = Warehouse::new().await;
    let sink = sink(&warehouse, json!({ "dataset": warehouse.dataset() }));
    thirty_come_again(sink.as_ref(), "the table").await;
    let table = warehouse.table("message_events");
    assert_eq!(counted(&warehouse, &table).await, (30, 30));
    let sql = format!(
        "SELECT event_id, UNIX_MICROS(event_timestamp), language, device_type, subscribed, \
         CAST(event_date AS STRING), message_id FROM `{table}` WHERE _index = 7"
    );
    let expected =
        json!(["e'7\\", "1772366400123456", "漢\"字", "9007199254740993", "true", "2026-03-01", null]);
    assert_eq!(json!(warehouse.run(&sql).await[0]), expected);
    assert_eq!(warehouse.tables().await, ["message_events"]);
}

#[tokio::test]
async fn the_dataset_is_made_and_an_older_table_of_bigquery_gets_the_columns_that_it_lacks() {
    let warehouse = Warehouse::new().await;
    let new = format!("{}ff", warehouse.dataset());
    sink(&warehouse, json!({ "dataset": new })).deliver(&events(0..2)).await.unwrap();
    assert_eq!(counted(&warehouse, &format!("shop.{new}.message_events")).await, (2, 2));

    let table = warehouse.table("message_events");
    warehouse.run(&format!("CREATE TABLE `{table}` (event_id STRING, event_kind STRING, own INT64)")).await;
    warehouse.run(&format!(r"INSERT INTO `{table}` (event_id) VALUES ('e\'1\\')")).await;
    sink(&warehouse, json!({ "dataset": warehouse.dataset() })).deliver(&events(0..3)).await.unwrap();
    let rows = warehouse.run(&format!("SELECT COUNT(*), COUNT(language), COUNT(own) FROM `{table}`")).await;
    assert_eq!(json!(rows), json!([["3", "2", "0"]]), "the event that was there has no day and is found");
}

#[tokio::test]
async fn a_column_of_bigquery_that_does_not_keep_a_value_is_named() {
    let warehouse = Warehouse::new().await;
    let table = warehouse.table("message_events");
    warehouse.run(&format!("CREATE TABLE `{table}` (event_id STRING, device_type STRING)")).await;
    let sink = sink(&warehouse, json!({ "dataset": warehouse.dataset() }));
    let error = refused(sink.as_ref()).await;
    let expected = format!("the column `device_type` of {table} is STRING, and events have INT64 for it");
    assert_eq!(error.message(), expected);
}

/// What is not known is offered again, as the engine does.
#[tokio::test]
async fn a_delivery_to_bigquery_that_fails_in_any_phase_has_every_event_once_in_the_end() {
    let warehouse = Warehouse::new().await;
    let table = warehouse.table("message_events");
    let mut delivered = 0;
    for (phase, faults) in [
        ("table", &["expired"][..]),
        ("make", &["lost"]),
        ("load", &["lost", "fails"]),
        ("submit", &["jobrate", "lost", "fails", "lost jobrate"]),
        ("poll", &["drop"]),
        ("remove", &["503"]),
    ] {
        for fault in faults {
            let what = format!("{fault} in {phase}");
            let in_turn: Vec<_> = fault.split(' ').collect();
            warehouse.set(json!({ "pending": 1, "faults": { phase: in_turn } })).await;
            let sink = sink(&warehouse, json!({ "dataset": warehouse.dataset() }));
            let items = events(delivered..delivered + 3);
            deliver_at_last(sink.as_ref(), &items, &what).await;
            assert_eq!(warehouse.faults_left().await, 0, "{what} did not happen");
            delivered += 3;
            let expected = usize::try_from(delivered).unwrap();
            assert_eq!(counted(&warehouse, &table).await, (expected, expected), "{what}");
        }
    }
    // A staging table that could not be removed is removed by the next process.
    warehouse.set(json!({})).await;
    sink(&warehouse, json!({ "dataset": warehouse.dataset() })).deliver(&events(0..1)).await.unwrap();
    assert_eq!(warehouse.tables().await, ["message_events"]);
}

/// It may run: who is told that nothing happened sends the events again beside it.
#[tokio::test]
async fn a_job_whose_answer_was_lost_and_that_is_throttled_then_is_not_made_twice() {
    let warehouse = Warehouse::new().await;
    warehouse.set(json!({ "faults": { "submit": ["lost", "jobrate"] } })).await;
    let sink = sink(&warehouse, json!({ "dataset": warehouse.dataset() }));
    sink.deliver(&events(0..3)).await.expect("delivered by the first job");
    assert_eq!(warehouse.faults_left().await, 0);
    assert_eq!(counted(&warehouse, &warehouse.table("message_events")).await, (3, 3));
}

/// Each permission in turn: `check` names exactly that one, and makes nothing.
#[tokio::test]
async fn a_permission_that_is_missing_to_write_to_bigquery_is_named_alone() {
    let warehouse = Warehouse::new().await;
    let (own, new) = (warehouse.dataset().to_owned(), format!("{}ee", warehouse.dataset()));
    let table = warehouse.table("message_events");
    sink(&warehouse, json!({ "dataset": own })).deliver(&events(0..1)).await.unwrap();
    let shown = format!("shop:{own}.message_events");
    for (permission, into, check, role) in [
        ("bigquery.jobs.create", &own, "bigquery.jobs.create on project shop".to_owned(), "jobUser"),
        ("bigquery.tables.get", &own, format!("bigquery.tables.get on table {shown}"), "dataViewer"),
        ("bigquery.tables.getData", &own, format!("bigquery.tables.getData on table {shown}"), "dataViewer"),
        (
            "bigquery.tables.updateData",
            &own,
            format!("bigquery.tables.updateData on table {shown}"),
            "dataEditor",
        ),
        (
            "bigquery.tables.create",
            &own,
            format!("bigquery.tables.create on dataset shop:{own}"),
            "dataEditor",
        ),
        ("bigquery.datasets.create", &new, "bigquery.datasets.create on project shop".to_owned(), "user"),
    ] {
        warehouse.set(json!({ "without": [permission] })).await;
        let checks = sink(&warehouse, json!({ "dataset": into })).check().await.unwrap();
        let failed: Vec<_> = checks.0.iter().filter(|check| !check.passed).collect();
        assert_eq!(failed.len(), 1, "{permission}: {checks:#?}");
        assert_eq!(failed[0].name, check, "{checks:#?}");
        let remedy = failed[0].remedy.as_ref().expect("a remedy");
        assert!(remedy.contains(&format!("roles/bigquery.{role}")), "{remedy}");
        assert!(remedy.contains(&warehouse.account()), "{remedy}");
    }
    warehouse.set(json!({})).await;
    for into in [&own, &new] {
        let checks = sink(&warehouse, json!({ "dataset": into })).check().await.unwrap();
        assert!(checks.passed() && checks.0.iter().all(|check| check.remedy.is_none()), "{checks:#?}");
    }
    assert_eq!(counted(&warehouse, &table).await, (1, 1), "a check writes nothing");
    assert_eq!(warehouse.tables().await, ["message_events"], "a check makes nothing");
}
