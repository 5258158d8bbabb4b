//! Each phase of a read fails in each way: nothing is lost, nothing is there twice.

use serde_json::json;
use tidegate_model::ErrorKind;

use crate::bigquery_server::Warehouse;
use crate::databricks_server::{by, read, rows, selection};

/// The phases of a read, and how each of them is not answered, or not as it should be: `rate`, `job` and
/// `jobrate` are 400 and 403 that pass.
const FAULTS: &[(&str, &[&str])] = &[
    ("token", &["503", "drop"]),
    ("table", &["429", "503", "500", "rate", "drop", "expired"]),
    ("dry", &["429", "503", "500", "rate", "job", "drop", "expired"]),
    ("submit", &["429", "503", "rate", "job", "jobrate", "drop", "expired"]),
    ("poll", &["429", "job", "expired"]),
    ("page", &["503", "jobrate", "drop"]),
];

/// Tries as a run does: what is transient is tried again.
async fn tried<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, tidegate_model::Error>) -> T {
    for _ in 1..=4 {
        match attempt().await {
            Ok(done) => return done,
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled(_)) => {
                assert!(!error.message().is_empty(), "{what}");
            }
            Err(error) => panic!("{what}: {error:?}"),
        }
    }
    panic!("{what}: it does not end");
}

#[tokio::test]
async fn a_read_of_bigquery_that_fails_in_any_phase_has_every_row_in_the_end() {
    let warehouse = Warehouse::new().await;
    let table = warehouse.table("numbers");
    warehouse
        .run(&format!("CREATE TABLE `{table}` AS SELECT id FROM UNNEST(GENERATE_ARRAY(0, 39)) AS id"))
        .await;
    let expected: Vec<String> = (0..40).map(|id| format!("{{\"id\":{id}}}")).collect();
    let by_table = selection(json!({ "table": table }));
    let by_query = selection(json!({ "query": format!("SELECT id FROM `{table}`") }));
    for (phase, faults) in FAULTS {
        for fault in *faults {
            let what = format!("{fault} in {phase}");
            let selected = if *phase == "dry" { &by_query } else { &by_table };
            warehouse.set(json!({ "rows_per_page": 10, "faults": { (*phase): [fault] } })).await;
            let source = warehouse.source();
            let batches = tried(&what, async || read(&*source, selected, &by("id", None)).await).await;
            assert_eq!(rows(&batches), expected, "{what}");
            assert_eq!(warehouse.faults_left().await, 0, "{what} did not happen");
        }
    }
}

/// Source: BigQuery docs, "Error messages": `jobBackendError` and its like are 400, and "retry the job".
#[tokio::test]
async fn a_job_that_fails_for_reasons_of_bigquery_is_run_once_more_before_any_row_was_seen() {
    let warehouse = Warehouse::new().await;
    warehouse.set(json!({ "faults": { "submit": ["fails"] } })).await;
    let selected = selection(json!({ "query": "SELECT 1 AS id" }));
    let batches = read(&*warehouse.source(), &selected, &by("id", None)).await.unwrap();
    assert_eq!(rows(&batches), ["{\"id\":1}"]);
    assert_eq!(warehouse.seen().await["jobs"], 2);
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_not_asked_for_again_and_says_when_it_starts_anew() {
    let warehouse = Warehouse::new().await;
    warehouse.set(json!({ "faults": { "submit": ["quota"] } })).await;
    let selected = selection(json!({ "query": "SELECT 1 AS id" }));
    let error = read(&*warehouse.source(), &selected, &by("id", None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(
        error.next_step().starts_with("quotas of a day start again at midnight"),
        "{}",
        error.next_step()
    );
}
