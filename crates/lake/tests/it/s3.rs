//! Lakes in a bucket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::tempdir;
use tidegate_model::{ErrorKind, Sink, SinkRole};

use crate::readers::run_with;
use crate::support::{all_delivered, context, delta, event_on, events, settings, target};

/// The server that replaces S3.
pub fn endpoint() -> String {
    std::env::var("TIDEGATE_TEST_MOTO").expect("scripts/test sets it")
}

/// One plain request to it.
fn ask(method: &str, path: &str) -> String {
    ask_with(method, path, b"")
}

/// The emulator believes it: the owner of a bucket may write over objects.
const OWNER: &str = "AWS4-HMAC-SHA256 Credential=test/20261122/us-east-1/s3/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature=00";

/// Writes an object.
pub fn put(bucket: &str, key: &str, content: &[u8]) {
    let answer = ask_with("PUT", &format!("/{bucket}/{key}"), content);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn ask_with(method: &str, path: &str, content: &[u8]) -> String {
    ask_at(&endpoint(), method, path, content)
}

/// One plain request to a server.
pub fn ask_at(endpoint: &str, method: &str, path: &str, content: &[u8]) -> String {
    let host = endpoint.strip_prefix("http://").expect("plain HTTP").trim_end_matches('/');
    let mut connection = TcpStream::connect(host).expect("moto listens");
    let length = content.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {OWNER}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(&[request.as_bytes(), content].concat()).expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("answered");
    answer
}

/// A new bucket.
pub fn bucket(name: &str) -> String {
    let bucket = format!("{name}-{}", std::process::id());
    let answer = ask("PUT", &format!("/{bucket}"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    bucket
}

pub fn connection(path: &str) -> Value {
    json!({
        "path": path, "region": "us-east-1", "endpoint": endpoint(),
        "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "not-so-secret",
    })
}

fn open(role: SinkRole, connection: Value, to: Value) -> Arc<Sink> {
    let project = tempdir().expect("folder");
    (role.open)(&settings(connection), &target("export", to), &context(project.path())).expect("a sink")
}

#[tokio::test]
async fn a_table_in_a_bucket_holds_each_event_once() {
    let path = format!("s3://{}/some/lake", bucket("delta"));
    let first = open(delta(), connection(&path), json!({ "schema": "out" }));
    first.deliver(&events(1..=50)).await.expect("a receipt");
    first.deliver(&[event_on(51, 86_400), event_on(52, 0)]).await.expect("a receipt");

    let again = open(delta(), connection(&path), json!({ "schema": "out" }));
    let receipt = again.deliver(&events(40..=60)).await.expect("a receipt");

    assert!(all_delivered(&receipt, 21));
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint()),
        ("AWS_ACCESS_KEY_ID", "x".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "x".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    let seen = run_with("read.py", &[&format!("{path}/out/message_events")], &variables);
    assert_eq!(seen["rows"], json!(60));
    assert_eq!(seen["ids"], json!(60));
}

#[tokio::test]
async fn files_in_a_bucket_are_written_once() {
    let bucket = bucket("files");
    let connection = connection(&format!("s3://{bucket}"));
    let to = json!({ "path": "a", "format": "jsonl" });
    open(tidegate_lake::files::SINK, connection.clone(), to.clone())
        .deliver(&events(1..=5))
        .await
        .expect("a receipt");

    let again = open(tidegate_lake::files::SINK, connection, to);
    again.deliver(&events(1..=8)).await.expect("a receipt");

    let names = ask("GET", &format!("/{bucket}?list-type=2"));
    let files = names.matches(".jsonl").count();
    assert_eq!(files, 2, "{names}");
    let file = names.split("<Key>").nth(2).and_then(|rest| rest.split("</Key>").next()).expect("a file");
    assert_eq!(file, "a/event_date=2026-03-01/20260301T120000000001Z-onesignal.export-0-1-5.jsonl");
}

#[tokio::test]
async fn a_process_that_was_paused_puts_no_older_journal_into_a_bucket() {
    let bucket = bucket("paused");
    let connection = connection(&format!("s3://{bucket}"));
    let open = || open(tidegate_lake::files::SINK, connection.clone(), json!({ "path": "a" }));
    let paused = open();
    paused.deliver(&events(1..=3)).await.expect("a receipt");
    open().deliver(&events(4..=6)).await.expect("a receipt");

    let error = paused.deliver(&events(4..=5)).await.expect_err("another wrote the journal");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let again = paused.deliver(&events(4..=8)).await.expect("a receipt");
    assert!(all_delivered(&again, 5));

    let names = ask("GET", &format!("/{bucket}?list-type=2"));
    let spans = ["1-3", "4-6", "7-8"].map(|span| format!("onesignal.export-0-{span}.parquet"));
    assert!(spans.iter().all(|span| names.contains(span)), "{names}");
    assert_eq!(names.matches(".parquet").count(), 3, "{names}");
}

#[tokio::test]
async fn the_check_proves_that_commits_are_safe_in_a_bucket() {
    let sink = open(delta(), connection(&format!("s3://{}/x", bucket("check"))), json!({}));

    let checks = sink.check().await.expect("checks");

    assert!(checks.passed(), "{checks:?}");
    assert!(checks.0.iter().any(|check| check.name == "commits"));
}

#[tokio::test]
async fn a_bucket_that_is_gone_is_missing() {
    for role in [delta(), tidegate_lake::files::SINK] {
        let sink = open(role, connection("s3://tidegate-missing-bucket"), json!({}));

        let error = sink.deliver(&events(1..=1)).await.expect_err("no bucket");
        let checks = sink.check().await.expect("checks");

        assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
        assert!(error.message().contains("s3://tidegate-missing-bucket"), "{error}");
        assert!(!checks.passed() && !error.message().contains("secret"));
    }
}

#[tokio::test]
async fn a_store_that_nobody_serves_is_unavailable() {
    let mut connection = connection("s3://bucket");
    connection["endpoint"] = json!("http://127.0.0.1:1");
    for role in [delta(), tidegate_lake::files::SINK] {
        let sink = open(role, connection.clone(), json!({}));

        let error = sink.deliver(&events(1..=1)).await.expect_err("no server listens");

        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
}
