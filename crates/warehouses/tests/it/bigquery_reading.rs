//! What happens between BigQuery and a run: pages, jobs, costs, places.

use serde_json::json;
use tidegate_model::{ErrorKind, ReadMode};

use crate::bigquery_server::{PROJECT, Warehouse};
use crate::databricks_server::{by, read, rows, selection};

async fn numbers(count: usize) -> (Warehouse, tidegate_model::Selection) {
    let warehouse = Warehouse::new().await;
    let table = warehouse.table("numbers");
    let numbers = format!("UNNEST(GENERATE_ARRAY(0, {})) AS id", count - 1);
    warehouse.run(&format!("CREATE TABLE `{table}` AS SELECT id, MOD(id, 7) AS class FROM {numbers}")).await;
    let selected = selection(json!({ "table": table }));
    (warehouse, selected)
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|id| format!("{{\"id\":{id},\"class\":{}}}", id % 7)).collect()
}

#[tokio::test]
async fn the_pages_of_a_result_arrive_in_order_also_after_pages_without_rows() {
    let (warehouse, selected) = numbers(100).await;
    warehouse.set(json!({ "rows_per_page": 13, "empty_pages": 2, "pending": 2 })).await;
    let batches = read(&*warehouse.source(), &selected, &by("id", None)).await.unwrap();
    assert_eq!(rows(&batches), expected(100));
    assert_eq!(warehouse.open().await, 0, "each job was read to its end");
}

#[tokio::test]
async fn timestamps_keep_their_microseconds_on_every_page() {
    let warehouse = Warehouse::new().await;
    let query = "SELECT n AS id, TIMESTAMP_ADD(TIMESTAMP '2026-03-01 12:00:00.123456Z', INTERVAL n * 10 MICROSECOND) AS at \
                 FROM UNNEST(GENERATE_ARRAY(0, 39)) AS n";
    warehouse.set(json!({ "rows_per_page": 10 })).await;
    let selected = selection(json!({ "query": query }));
    let batches = read(&*warehouse.source(), &selected, &by("at", None)).await.unwrap();
    let expected: Vec<String> = (0..40)
        .map(|id| format!("{{\"id\":{id},\"at\":\"2026-03-01T12:00:00.{}Z\"}}", 123_456 + 10 * id))
        .collect();
    assert_eq!(rows(&batches), expected);
}

/// The job runs once, whatever becomes of the answers.
#[tokio::test]
async fn a_job_whose_answer_is_lost_is_found_again_and_runs_once() {
    let (warehouse, selected) = numbers(30).await;
    warehouse.set(json!({ "faults": { "submit": ["lost", "drop", "500"] } })).await;
    let before = warehouse.seen().await["jobs"].as_u64();
    let batches = read(&*warehouse.source(), &selected, &ReadMode::Full).await.unwrap();
    assert_eq!(rows(&batches).len(), 30);
    let seen = warehouse.seen().await;
    assert_eq!(seen["faults"], 0);
    assert_eq!(seen["jobs"].as_u64(), before.map(|jobs| jobs + 1));
}

#[tokio::test]
async fn a_job_outside_of_the_us_is_asked_about_where_it_runs() {
    let (warehouse, selected) = numbers(30).await;
    warehouse.set(json!({ "location": "europe-west3", "rows_per_page": 10 })).await;
    for changes in [json!({}), json!({ "location": "europe-west3" })] {
        let batches = read(&*warehouse.source_with(changes), &selected, &by("id", None)).await.unwrap();
        assert_eq!(rows(&batches), expected(30));
    }
    let query = format!("SELECT id, class FROM `{}`", warehouse.table("numbers"));
    let batches = read(&*warehouse.source(), &selection(json!({ "query": query })), &by("id", None)).await;
    assert_eq!(rows(&batches.unwrap()), expected(30));
}

#[tokio::test]
async fn a_read_that_is_given_up_is_cancelled_in_bigquery() {
    let (warehouse, selected) = numbers(3).await;
    warehouse.set(json!({ "pending": 1_000_000 })).await;
    let source = warehouse.source();
    let reading = tokio::spawn(async move { read(&*source, &selected, &ReadMode::Full).await });
    while warehouse.open().await == 0 {
        tokio::task::yield_now().await;
    }
    reading.abort();
    while warehouse.open().await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(warehouse.seen().await["cancelled"], 1);
}

#[tokio::test]
async fn a_query_that_would_cost_more_than_allowed_is_not_run_and_check_says_what_it_costs() {
    let (warehouse, selected) = numbers(3).await;
    warehouse.set(json!({ "bytes": 5_368_709_120_u64 })).await;
    let advised = warehouse.source().advise(&selected, Some("id")).await.unwrap();
    assert_eq!(advised.0[0].detail, "a read of all rows processes 5.4 GB");
    assert!(advised.0[1].remedy.as_deref().unwrap().contains("PARTITION BY DATE(`id`)"), "{advised:?}");
    let source = warehouse.source();
    read(&*source, &selected, &ReadMode::Full).await.unwrap();
    assert_eq!(source.cost().as_deref(), Some("BigQuery processed 5.4 GB to read them"));

    let source = warehouse.source_with(json!({ "maximum_bytes_billed": 1_000_000_000 }));
    let advised = source.advise(&selected, None).await.unwrap();
    assert!(
        !advised.passed() && advised.0[0].detail.ends_with("`maximum_bytes_billed` is 1.0 GB"),
        "{advised:?}"
    );
    let error = read(&*source, &selected, &ReadMode::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    assert!(error.message().ends_with("5368709120 or higher required"), "{error:?}");
    assert!(error.next_step().starts_with("raise `maximum_bytes_billed`"), "{}", error.next_step());
}

#[tokio::test]
async fn a_name_that_is_nearly_right_is_answered_with_the_right_one() {
    let (warehouse, _) = numbers(3).await;
    let error = warehouse.source().describe(&selection(json!({ "table": "number" }))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    assert_eq!(error.next_step(), format!("did you mean `{}`?", warehouse.table("numbers")));
}

/// `f0_` is what BigQuery calls it in a result, and a name that nothing can be asked by.
#[tokio::test]
async fn a_column_of_a_query_without_a_name_is_asked_for_one() {
    let warehouse = Warehouse::new().await;
    let selected = selection(json!({ "query": "SELECT 1 AS id, 4 AS f0_" }));
    let error = warehouse.source().describe(&selected).await.unwrap_err();
    assert_eq!(error.message(), "column 2 of the query has no name", "{error:?}");
}

#[tokio::test]
async fn a_table_in_another_project_is_read_and_paid_by_ours() {
    let (warehouse, _) = numbers(3).await;
    let source = warehouse.source_with(json!({ "project": "payer", "dataset": null }));
    let selected = selection(json!({ "table": format!("{PROJECT}.{}.numbers", warehouse.dataset()) }));
    let batches = read(&*source, &selected, &by("id", None)).await.unwrap();
    assert_eq!(rows(&batches), expected(3));
}
