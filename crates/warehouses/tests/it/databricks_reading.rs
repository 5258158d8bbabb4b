//! What happens between a warehouse and a run: parts, faults, grants.

use serde_json::json;
use tidegate_model::{ErrorKind, ReadMode};

use crate::databricks_server::{Workspace, by, read, rows, selection};

async fn numbers(count: usize) -> (Workspace, tidegate_model::Selection) {
    let workspace = Workspace::new().await;
    let table = workspace.table("numbers");
    workspace.run(&format!("CREATE TABLE {table} AS SELECT id, id % 7 AS class FROM range({count})")).await;
    let selected = selection(json!({ "table": table }));
    (workspace, selected)
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|id| format!("{{\"id\":{id},\"class\":{}}}", id % 7)).collect()
}

#[tokio::test]
async fn the_parts_of_a_result_arrive_in_order_and_none_is_lost() {
    let (workspace, selected) = numbers(100).await;
    workspace.set(json!({ "rows_per_part": 13 })).await;
    let batches = read(&*workspace.source(), &selected, &by("id", None)).await.unwrap();
    assert_eq!(rows(&batches), expected(100));
}

#[tokio::test]
async fn an_address_that_does_not_count_any_more_is_asked_for_again() {
    let (workspace, selected) = numbers(30).await;
    workspace.set(json!({ "rows_per_part": 10, "expired_links": 2 })).await;
    let batches = read(&*workspace.source(), &selected, &by("id", None)).await.unwrap();
    assert_eq!(rows(&batches), expected(30));

    workspace.set(json!({ "expired_links": 1_000 })).await;
    let error = read(&*workspace.source(), &selected, &ReadMode::Full).await.unwrap_err();
    assert_eq!(
        error.message(),
        format!(
            "reading {}: part 0 of the result is refused by its storage, with fresh addresses too",
            workspace.table("numbers")
        )
    );
}

#[tokio::test]
async fn a_result_of_which_rows_were_left_out_is_an_error() {
    let (workspace, selected) = numbers(3).await;
    workspace.set(json!({ "truncated": true })).await;
    let error = read(&*workspace.source(), &selected, &ReadMode::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
}

/// The statement goes on at the warehouse while it cannot be asked about.
#[tokio::test]
async fn a_question_that_is_throttled_or_lost_or_asked_with_an_old_token_is_asked_again() {
    let (workspace, selected) = numbers(30).await;
    for wrong in ["429", "503", "drop", "expired"] {
        workspace.set(json!({ "refused": [wrong], "pending": 1, "rows_per_part": 10 })).await;
        let batches = read(&*workspace.source(), &selected, &by("id", None)).await;
        let batches = batches.unwrap_or_else(|error| panic!("{wrong}: {error:?}"));
        assert_eq!(rows(&batches), expected(30), "{wrong}");
    }
}

#[tokio::test]
async fn a_read_that_is_given_up_while_the_warehouse_starts_is_cancelled_there() {
    let (workspace, selected) = numbers(3).await;
    workspace.set(json!({ "pending": 1_000_000 })).await;
    let source = workspace.source();
    let reading = tokio::spawn(async move { read(&*source, &selected, &ReadMode::Full).await });
    while workspace.open().await == 0 {
        tokio::task::yield_now().await;
    }
    reading.abort();
    while workspace.open().await > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_wrong_secret_and_a_wrong_token_are_refused_with_what_to_do() {
    let (workspace, selected) = numbers(3).await;
    for changes in [
        json!({ "client_secret": "wrong-secret" }),
        json!({ "client_id": null, "client_secret": null, "token": "wrong-token" }),
    ] {
        let source = workspace.source_with(changes);
        let error = read(&*source, &selected, &ReadMode::Full).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(error.next_step().contains("make a new"), "{error:?} {}", error.next_step());
        let checks = source.check(None).await.unwrap();
        assert!(!checks.passed(), "{checks:?}");
    }
}

#[tokio::test]
async fn a_token_that_ends_within_two_weeks_is_warned_of() {
    let (workspace, _) = numbers(3).await;
    let soon =
        tidegate_model::Clock::now(&tidegate_model::SystemClock) + jiff::SignedDuration::from_hours(24 * 10);
    let tokens = json!([{ "comment": "tidegate", "expiry_time": soon.as_millisecond() }]);
    workspace.set(json!({ "tokens": tokens })).await;
    let token = workspace.principal();
    let source = workspace.source_with(json!({ "client_id": null, "client_secret": null, "token": token }));
    let checks = source.check(None).await.unwrap();
    let warned = checks.0.iter().find(|check| check.name == "token").unwrap();
    let day = soon.strftime("%F");
    assert_eq!(warned.detail, format!("the token (tidegate) ends on {day}"));
    assert!(checks.passed() && warned.remedy.is_some());
}

#[tokio::test]
async fn a_name_that_is_nearly_right_is_answered_with_the_right_one() {
    let (workspace, _) = numbers(3).await;
    let selected = selection(json!({ "table": "number" }));
    let error = workspace.source().describe(&selected).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    assert_eq!(error.next_step(), format!("did you mean `{}`?", workspace.table("numbers")));
}
