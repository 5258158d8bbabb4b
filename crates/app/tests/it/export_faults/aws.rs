//! What an administrator does at moto, and what is in its streams and buckets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use serde_json::{Value, json};

use super::count_lines;
use crate::support::variable;

/// The emulators know every key.
pub(super) const KEYS: &str = "access_key_id: AKIDEXAMPLE, secret_access_key: f00d-4-wJalrXUtnFEMI";

/// A name that no other test uses.
pub(super) fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("faults-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An account at an emulator, as a project writes it.
pub(super) fn account(kind: &str, endpoint: &str) -> String {
    format!("{{ type: {kind}, region: us-east-1, endpoint: \"{endpoint}\", {KEYS} }}")
}

async fn send(service: &str, request: reqwest::RequestBuilder) -> (u16, String) {
    // Emulators read the service from it and believe the rest.
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=test/20261122/us-east-1/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature=00"
    );
    let request = request.header("authorization", authorization).header("x-amz-date", "20261122T070000Z");
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// Calls an operation of Kinesis.
pub(super) async fn kinesis(endpoint: &str, operation: &str, body: Value) -> Value {
    let request = reqwest::Client::new()
        .post(endpoint)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .body(body.to_string());
    let (status, text) = send("kinesis", request).await;
    assert_eq!(status, 200, "{operation}: {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// Makes a stream and waits until it is there.
pub(crate) async fn stream(endpoint: &str, shards: u32) -> String {
    let name = name();
    kinesis(endpoint, "CreateStream", json!({ "StreamName": name, "ShardCount": shards })).await;
    crate::served::until("the stream is active", async || {
        let found = kinesis(endpoint, "DescribeStreamSummary", json!({ "StreamName": name })).await;
        (found["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE").then_some(())
    })
    .await;
    name
}

/// The events in a stream, shard by shard, in their order.
pub(crate) async fn records(endpoint: &str, stream: &str) -> Vec<Vec<Value>> {
    let shards = kinesis(endpoint, "ListShards", json!({ "StreamName": stream })).await;
    let mut found = Vec::new();
    for shard in shards["Shards"].as_array().expect("shards") {
        let first = json!({
            "StreamName": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON",
        });
        let mut place = kinesis(endpoint, "GetShardIterator", first).await["ShardIterator"].take();
        let mut events = Vec::new();
        loop {
            let page = json!({ "ShardIterator": place, "Limit": 10_000 });
            let mut page = kinesis(endpoint, "GetRecords", page).await;
            let records = page["Records"].as_array().expect("records");
            if records.is_empty() {
                break;
            }
            events.extend(records.iter().map(|record| {
                let data = record["Data"].as_str().expect("data");
                let data = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
                serde_json::from_slice::<Value>(&data).expect("an event")
            }));
            place = page["NextShardIterator"].take();
        }
        found.push(events);
    }
    found
}

/// How often each event is in a stream.
pub(super) async fn in_stream(endpoint: &str, stream: &str) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for event in records(endpoint, stream).await.into_iter().flatten() {
        *found.entry(event["id"].as_str().expect("an id").to_owned()).or_default() += 1;
    }
    found
}

/// A bucket at moto.
pub(super) struct Bucket {
    pub(super) name: String,
}

impl Bucket {
    pub(super) async fn make() -> Bucket {
        let bucket = Bucket { name: name() };
        bucket.make_again().await;
        bucket
    }

    pub(super) async fn make_again(&self) {
        self.ask(reqwest::Method::PUT, "").await;
    }

    /// With everything that is in it.
    pub(super) async fn remove(&self) {
        // What is written meanwhile is removed as well.
        loop {
            for key in self.keys().await {
                self.ask(reqwest::Method::DELETE, &key).await;
            }
            let url = format!("{}/{}", variable("TIDEGATE_TEST_MOTO"), self.name);
            let (status, text) = send("s3", reqwest::Client::new().delete(url)).await;
            if status == 204 {
                return;
            }
            assert_eq!(status, 409, "{text}");
        }
    }

    /// How often each event is in its files.
    pub(super) async fn events(&self) -> BTreeMap<String, u32> {
        let mut found = BTreeMap::new();
        for key in self.keys().await.iter().filter(|key| key.ends_with(".jsonl")) {
            count_lines(&self.ask(reqwest::Method::GET, key).await, &mut found);
        }
        found
    }

    async fn keys(&self) -> Vec<String> {
        let list = self.ask(reqwest::Method::GET, "?list-type=2").await;
        let keys = list.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        keys.map(str::to_owned).collect()
    }

    async fn ask(&self, method: reqwest::Method, rest: &str) -> String {
        let url = format!("{}/{}/{rest}", variable("TIDEGATE_TEST_MOTO"), self.name);
        let (status, text) = send("s3", reqwest::Client::new().request(method.clone(), url)).await;
        assert!((200..300).contains(&status), "{method} {rest}: {status}: {text}");
        text
    }
}
