//! The connector against answers in the form of documented and recorded ones.

use futures_util::TryStreamExt;
use serde_json::json;
use tidegate_model::{Error, ReadMode};
use tidegate_testkit::ManualClock;
use tidegate_testkit::http::{Canned, context, raw};

use super::CONNECTOR;

const TOKEN: &str = r#"{"access_token":"ya29.f00d-4-machine","expires_in":3599,"token_type":"Bearer"}"#;

fn key() -> String {
    let private = tidegate_testkit::tls::rsa_key();
    json!({ "type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key": private })
        .to_string()
}

/// A dry run, a submitted job and two pages, in the form of recorded answers.
fn answers(last: serde_json::Value) -> Vec<serde_json::Value> {
    let schema = json!({ "fields": [{ "name": "n", "type": "INTEGER", "mode": "NULLABLE" }] });
    let place = json!({ "projectId": "p", "jobId": "j", "location": "EU" });
    let page = |more: serde_json::Value| {
        let mut page = json!({ "kind": "bigquery#getQueryResultsResponse", "etag": "e", "schema": schema,
            "jobReference": place, "totalRows": "2", "totalBytesProcessed": "0", "jobComplete": true, "cacheHit": false });
        page.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        page
    };
    vec![
        json!({ "kind": "bigquery#job", "jobReference": { "projectId": "p", "location": "EU" },
            "statistics": { "totalBytesProcessed": "0", "query": { "schema": schema, "statementType": "SELECT" } },
            "status": { "state": "DONE" } }),
        json!({ "kind": "bigquery#job", "jobReference": place, "status": { "state": "RUNNING" }, "statistics": { "creationTime": "1" } }),
        page(json!({ "rows": [{ "f": [{ "v": "1" }] }], "pageToken": "next" })),
        page(last),
    ]
}

async fn read(last: serde_json::Value) -> (Result<usize, Error>, Vec<String>) {
    let answers = answers(last).into_iter().map(|answer| answer.to_string());
    let http = Canned::new([TOKEN.to_owned()].into_iter().chain(answers).map(|body| Ok((200, body))));
    let source = (CONNECTOR.source.unwrap().open)(
        &raw(json!({ "project": "p", "service_account_key": key() })),
        &context(http.clone(), &ManualClock::default()),
    );
    let selected = raw(json!({ "query": "SELECT n FROM t" }));
    let result = async {
        let batches: Vec<_> =
            source.unwrap().read(&selected, &ReadMode::Full, 100).await?.try_collect().await?;
        Ok(batches.iter().map(|batch| batch.items.len()).sum())
    };
    let result = result.await;
    (
        result,
        http.requests().iter().map(|request| format!("{} {}", request.method(), request.uri())).collect(),
    )
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_each_page_where_the_job_is() {
    let (rows, requests) = read(json!({ "rows": [{ "f": [{ "v": null }] }] })).await;
    assert_eq!(rows.unwrap(), 2);
    assert_eq!(requests[0], "POST https://oauth2.googleapis.com/token");
    assert_eq!(requests.iter().filter(|request| request.contains("/token")).count(), 1);
    let pages: Vec<&String> = requests.iter().filter(|request| request.contains("/queries/")).collect();
    let is_asked_for = |what: &str| pages.iter().all(|page| page.contains(what));
    assert!(
        pages.len() == 2
            && is_asked_for("formatOptions.useInt64Timestamp=true")
            && is_asked_for("location=EU")
    );
    assert!(pages[1].contains("pageToken=next"), "{pages:?}");
}

#[tokio::test]
async fn a_result_that_ends_before_its_last_row_is_an_error_and_not_fewer_rows() {
    let error = read(json!({})).await.0.unwrap_err();
    assert!(error.message().ends_with("rows of the result are missing"), "{error}");
}
