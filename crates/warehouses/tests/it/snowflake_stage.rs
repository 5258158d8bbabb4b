//! Events by way of a stage: a folder in S3 that is written here and read by Snowflake.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value as Json, json};
use tidegate_model::{ErrorKind, Layout, Outcome, Sink, SinkTarget, StreamId, SyncId};
use tidegate_warehouses::snowflake::CONNECTOR;

use crate::event_sinks::events;
use crate::snowflake_server::Account;

/// A bucket of the double of S3, and the account whose stage reads its folder `events`.
struct Staged {
    account: Account,
    s3: String,
    bucket: String,
}

impl Staged {
    async fn new() -> Staged {
        let account = Account::new().await;
        let s3 = std::env::var("TIDEGATE_TEST_MOTO").expect("TIDEGATE_TEST_MOTO is set");
        let bucket = account.schema().to_lowercase().replace('_', "-");
        let staged = Staged { account, s3, bucket };
        staged.ask("PUT", "").await;
        staged.set(json!({})).await;
        staged
    }

    /// Asks S3, which looks for a signature and does not verify it.
    async fn ask(&self, method: &str, rest: &str) -> String {
        let signature = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}/{}{rest}", self.s3, self.bucket))
            .header("authorization", signature)
            .body(Bytes::new())
            .expect("a request");
        let answer = self.account.http().send(request).await.expect("the double of S3 answers");
        assert!(answer.status().is_success(), "{answer:?}");
        String::from_utf8_lossy(answer.body()).into_owned()
    }

    /// Returns whether something is in the bucket.
    async fn has_files(&self) -> bool {
        self.ask("GET", "?list-type=2").await.contains("<Key>")
    }

    fn stage(&self) -> String {
        self.account.table("EVENTS_STAGE")
    }

    /// Says what goes wrong for the user from now on, beside that there is the stage.
    async fn set(&self, mut given: Json) {
        given["stages"] = json!({ self.stage(): format!("{}/{}/events", self.s3, self.bucket) });
        self.account.set(given).await;
    }

    fn sink(&self, folder: &str) -> Arc<Sink> {
        let target = SinkTarget {
            sync: SyncId::new("export"),
            stream: StreamId::new("push"),
            layout: Layout::Messages,
            settings: crate::databricks_server::selection(json!({ "schema": self.account.schema() })),
        };
        let folder = json!({
            "path": format!("s3://{}/{folder}", self.bucket),
            "endpoint": self.s3,
            "region": "us-east-1",
            "access_key_id": "a",
            "secret_access_key": "b",
        });
        let stage = json!({ "stage": { "name": self.stage(), "folder": folder } });
        let role = CONNECTOR.sink.expect("a sink");
        (role.open)(&self.account.settings(stage), &target, &self.account.context()).expect("opens")
    }

    async fn counted(&self) -> Vec<Vec<Option<String>>> {
        let table = self.account.table("MESSAGE_EVENTS");
        self.account.run(&format!("SELECT COUNT(*), COUNT(DISTINCT EVENT_ID) FROM {table}")).await
    }

    async fn tables(&self) -> Vec<Vec<Option<String>>> {
        let sql = format!(
            "SELECT TABLE_NAME FROM SHOP.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = '{}'",
            self.account.schema()
        );
        self.account.run(&sql).await
    }
}

fn texts(cells: &[&str]) -> Vec<Vec<Option<String>>> {
    vec![cells.iter().map(|cell| Some((*cell).to_owned())).collect()]
}

#[tokio::test]
async fn events_by_a_stage_are_in_snowflake_once_with_every_sign_and_nothing_stays_there() {
    let staged = Staged::new().await;
    let sink = staged.sink("events");
    let mut twice = events(0..20);
    twice.extend(events(10..20));
    for items in [&twice[..], &events(15..30)[..]] {
        let receipt = sink.deliver(items).await.unwrap();
        assert_eq!(receipt.outcomes, vec![Outcome::Delivered; items.len()]);
    }
    assert_eq!(staged.counted().await, texts(&["30", "30"]));
    let sql = format!(
        "SELECT EVENT_ID, DATE_PART(EPOCH_MICROSECOND, EVENT_TIMESTAMP), LANGUAGE, DEVICE_TYPE, SUBSCRIBED, \
         EVENT_DATE::VARCHAR FROM {} WHERE _INDEX = 7",
        staged.account.table("MESSAGE_EVENTS")
    );
    let expected = ["e'7\\", "1772366400123456", "漢\"字", "9007199254740993", "true", "2026-03-01"];
    assert_eq!(staged.account.run(&sql).await, texts(&expected));
    assert_eq!(staged.tables().await, texts(&["MESSAGE_EVENTS"]));
    assert!(!staged.has_files().await);
}

/// What is not known is offered again, as the engine does; what a process has left is removed by the next.
#[tokio::test]
async fn a_delivery_by_a_stage_that_fails_in_any_statement_has_every_event_once_in_the_end() {
    let staged = Staged::new().await;
    staged.sink("events").deliver(&events(0..1)).await.unwrap();
    let mut delivered = 1;
    let lost = ["CREATE TRANSIENT", "COPY", "MERGE", "DROP"].map(|word| json!({ "lost": word }));
    let faults = [0, 2, 3, 4, 5].map(|ahead| {
        // The statements of a delivery after those that look at the table.
        let faults: Vec<&str> = (0..ahead).map(|_| "").chain(["503"]).collect();
        json!({ "faults": { "submit": faults } })
    });
    for given in lost.into_iter().chain(faults) {
        staged.set(given.clone()).await;
        let items = events(delivered..delivered + 3);
        let sink = staged.sink("events");
        for attempt in 1.. {
            match sink.deliver(&items).await {
                Ok(receipt) if receipt.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered) => break,
                Ok(receipt) => assert!(attempt < 4, "{given}: {receipt:?}"),
                Err(error) => {
                    assert!(attempt < 4 && error.kind() == ErrorKind::Unavailable, "{given}: {error:?}");
                }
            }
        }
        assert_eq!(staged.account.faults_left().await, 0, "{given} did not happen");
        delivered += 3;
        let expected = delivered.to_string();
        assert_eq!(staged.counted().await, texts(&[&expected, &expected]), "{given}");
    }
    staged.set(json!({})).await;
    staged.sink("events").deliver(&events(0..1)).await.unwrap();
    assert_eq!(staged.tables().await, texts(&["MESSAGE_EVENTS"]));
    assert!(!staged.has_files().await);
}

#[tokio::test]
async fn a_stage_that_reads_another_folder_loads_nothing_and_is_named() {
    let staged = Staged::new().await;
    let sink = staged.sink("other");
    let error = sink.deliver(&events(0..3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    assert!(error.next_step().contains("`stage.folder.path`"), "{error:?}");
    assert_eq!(staged.counted().await, texts(&["0", "0"]));
    let checks = sink.check().await.unwrap();
    let failed: Vec<_> = checks.0.iter().filter(|check| !check.passed).collect();
    assert_eq!(failed.len(), 1, "{checks:#?}");
    assert_eq!(failed[0].name, format!("stage {}", staged.stage()));
    assert!(!staged.has_files().await, "a check leaves nothing");
}

#[tokio::test]
async fn a_grant_on_a_stage_that_is_missing_is_named_alone() {
    let staged = Staged::new().await;
    staged.sink("events").deliver(&events(0..1)).await.unwrap();
    staged.set(json!({ "without": [format!("USAGE on STAGE {}", staged.stage())] })).await;
    let checks = staged.sink("events").check().await.unwrap();
    let failed: Vec<_> = checks.0.iter().filter(|check| !check.passed).collect();
    assert_eq!(failed.len(), 1, "{checks:#?}");
    assert_eq!(failed[0].name, format!("USAGE on stage {}", staged.stage()));
    let remedy = failed[0].remedy.as_deref().expect("a remedy");
    assert!(remedy.starts_with("GRANT USAGE ON STAGE \"SHOP\""), "{remedy}");

    let schema = format!("CREATE TABLE on SCHEMA SHOP.{}", staged.account.schema());
    staged.set(json!({ "without": [schema] })).await;
    let checks = staged.sink("events").check().await.unwrap();
    let told: Vec<_> = checks.0.iter().filter(|check| check.remedy.is_some()).collect();
    assert_eq!(told.len(), 1, "{checks:#?}");
    assert_eq!(told[0].name, format!("CREATE TABLE on schema SHOP.{}", staged.account.schema()));

    staged.set(json!({})).await;
    let checks = staged.sink("events").check().await.unwrap();
    assert!(checks.passed() && checks.0.iter().all(|check| check.remedy.is_none()), "{checks:#?}");
}
