//! Results by the Storage Read API: the same rows as by pages, in the same order, whatever breaks off.

use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_model::{ErrorKind, ReadMode, Source};

use crate::bigquery_server::Warehouse;
use crate::bigquery_types::CASES;
use crate::databricks_server::{by, read, rows, selection};

/// Rows that are many enough for a session.
const ROWS: usize = 12_000;

/// Opens the source with the Storage Read API.
async fn source(warehouse: &Warehouse) -> Arc<dyn Source> {
    let storage = warehouse.storage().await;
    warehouse.source_with(json!({ "storage_read": true, "storage_endpoint": storage }))
}

async fn table(warehouse: &Warehouse, columns: &str) -> String {
    let table = warehouse.table("numbers");
    let numbers = format!("UNNEST(GENERATE_ARRAY(0, {})) AS id", ROWS - 1);
    warehouse.run(&format!("CREATE TABLE `{table}` AS SELECT id{columns} FROM {numbers}")).await;
    table
}

async fn calls(warehouse: &Warehouse, word: &str) -> usize {
    let seen = warehouse.seen().await;
    let asked = seen["requests"].as_array().expect("requests");
    asked.iter().filter(|asked| asked.as_str().is_some_and(|asked| asked.contains(word))).count()
}

/// The columns that are read by pages alone have types that Arrow writes in forms of its own.
#[tokio::test]
async fn every_value_that_a_session_gives_is_the_one_that_a_page_gives() {
    let warehouse = Warehouse::new().await;
    let exact = CASES
        .iter()
        .filter(|(kind, ..)| !kind.contains("RANGE") && !["INTERVAL", "GEOGRAPHY"].contains(kind));
    let columns: String = exact
        .enumerate()
        .map(|(at, (_, literal, _))| format!(", IF(id = 3, NULL, {literal}) AS c{at}"))
        .collect();
    let table = table(&warehouse, &columns).await;
    let selected = selection(json!({ "table": table }));
    let pages = rows(&read(&*warehouse.source(), &selected, &by("id", None)).await.unwrap());
    warehouse.set(json!({})).await;
    let stored = rows(&read(&*source(&warehouse).await, &selected, &by("id", None)).await.unwrap());
    assert_eq!(calls(&warehouse, "ReadRows").await, 1);
    assert_eq!((stored.len(), pages.len()), (ROWS, ROWS));
    for (stored, page) in stored.iter().zip(&pages) {
        assert_eq!(stored, page);
    }
}

#[tokio::test]
async fn a_session_that_fails_in_any_phase_gives_every_row_once_and_in_order() {
    let warehouse = Warehouse::new().await;
    let table = table(&warehouse, "").await;
    let selected = selection(json!({ "table": table }));
    let expected: Vec<String> = (0..ROWS).map(|id| format!("{{\"id\":{id}}}")).collect();
    for (phase, faults) in [
        ("session", json!(["503", "expired"])),
        ("rows", json!(["drop", "expired"])),
        ("rows", json!(["cut", "expired", "cut"])),
    ] {
        warehouse.set(json!({ "rows_per_message": 3_000, "faults": { (phase): faults } })).await;
        let batches = read(&*source(&warehouse).await, &selected, &by("id", None)).await.unwrap();
        let left = warehouse.faults_left().await;
        assert_eq!(left, 0, "{phase} {faults}");
        assert!(rows(&batches) == expected, "{phase} {faults}");
        assert_eq!(warehouse.open().await, 0, "{phase} {faults}");
    }
}

#[tokio::test]
async fn a_result_that_has_no_session_is_read_page_by_page() {
    let warehouse = Warehouse::new().await;
    let selected = selection(json!({ "table": table(&warehouse, "").await }));
    warehouse.set(json!({ "faults": { "session": ["none"] } })).await;
    let batches = read(&*source(&warehouse).await, &selected, &by("id", None)).await.unwrap();
    assert_eq!(rows(&batches).len(), ROWS);
    assert_eq!(calls(&warehouse, "ReadRows").await, 0);
}

#[tokio::test]
async fn a_stream_that_ends_before_its_last_row_is_an_error_and_not_fewer_rows() {
    let warehouse = Warehouse::new().await;
    let selected = selection(json!({ "table": table(&warehouse, "").await }));
    warehouse.set(json!({ "faults": { "rows": ["short"] } })).await;
    let error = read(&*source(&warehouse).await, &selected, &by("id", None)).await.unwrap_err();
    assert!(error.message().ends_with("rows of the result are missing"), "{error}");
}

#[tokio::test]
async fn results_of_few_rows_and_of_types_that_arrow_writes_otherwise_stay_with_pages() {
    let warehouse = Warehouse::new().await;
    let numbers = format!("UNNEST(GENERATE_ARRAY(1, {ROWS})) AS id");
    for query in [
        "SELECT id FROM UNNEST(GENERATE_ARRAY(1, 100)) AS id".to_owned(),
        format!("SELECT id, RANGE(DATE '2026-01-01', NULL) AS span FROM {numbers}"),
        format!("SELECT id, STRUCT(INTERVAL 1 DAY AS day) AS more FROM {numbers}"),
    ] {
        warehouse.set(json!({})).await;
        let selected = selection(json!({ "query": query }));
        read(&*source(&warehouse).await, &selected, &ReadMode::Full).await.unwrap();
        assert_eq!(calls(&warehouse, "CreateReadSession").await, 0, "{query}");
    }
}

#[tokio::test]
async fn the_permission_that_sessions_need_is_named_by_check_and_by_the_run() {
    let warehouse = Warehouse::new().await;
    let selected = selection(json!({ "table": table(&warehouse, "").await }));
    let check: Value = json!("bigquery.readsessions.create on project shop");
    let checks = source(&warehouse).await.check(Some(&selected)).await.unwrap();
    assert!(checks.passed() && checks.0.iter().any(|one| check == one.name.as_str()), "{checks:?}");
    warehouse.set(json!({ "without": ["bigquery.readsessions.create"] })).await;
    let source = source(&warehouse).await;
    let checks = source.check(Some(&selected)).await.unwrap();
    let failed: Vec<_> = checks.0.iter().filter(|check| !check.passed).collect();
    assert!(failed.len() == 1 && check == failed[0].name.as_str(), "{checks:?}");
    let remedy = failed[0].remedy.as_deref().unwrap();
    assert!(remedy.ends_with("--role=roles/bigquery.readSessionUser"), "{remedy}");
    let error = read(&*source, &selected, &by("id", None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.next_step().contains("BigQuery Read Session User"), "{error:?}");
}
