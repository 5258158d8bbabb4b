//! What an administrator does at an emulator, and what is there afterwards.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};
use tidegate_model::Http as _;
use tidegate_transport::http::RealHttp;

/// The region that everything is in.
pub const REGION: &str = "us-east-1";

/// One that listens on loopback.
#[derive(Clone)]
pub struct Emulator {
    pub endpoint: String,
}

impl Emulator {
    /// The one whose address the variable holds.
    pub fn of(variable: &str) -> Emulator {
        Emulator { endpoint: std::env::var(variable).expect("scripts/test sets it") }
    }

    /// A name that no other test uses.
    pub fn name(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Connection settings that lead here.
    pub fn settings(&self) -> Value {
        json!({
            "region": REGION,
            "endpoint": self.endpoint,
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "f00d-4-wJalrXUtnFEMI",
            "session_token": "f00d-5-wJalrXUtnFEMI",
        })
    }

    async fn send(&self, service: &str, request: http::request::Builder, body: String) -> (u16, Bytes) {
        // Emulators read the service from it and believe the rest.
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20261122/{REGION}/{service}/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=00"
        );
        let request = request
            .header("authorization", authorization)
            .header("x-amz-date", "20261122T070000Z")
            .body(Bytes::from(body))
            .expect("a request");
        let answer = RealHttp::new().expect("a client").send(request).await.expect("the emulator answers");
        (answer.status().as_u16(), answer.into_body())
    }

    /// Calls an operation, for example `Kinesis_20131202.ListShards`.
    pub async fn call(&self, operation: &str, body: Value) -> Value {
        let service = if operation.starts_with("Kinesis") { "kinesis" } else { "firehose" };
        let request = Request::post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", operation);
        let (status, body) = self.send(service, request, body.to_string()).await;
        assert_eq!(status, 200, "{operation}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap_or_default()
    }

    /// Makes a stream of Kinesis and waits until it is there.
    pub async fn kinesis_stream(&self, shards: u32) -> String {
        let name = self.name();
        self.call("Kinesis_20131202.CreateStream", json!({ "StreamName": name, "ShardCount": shards })).await;
        loop {
            let found =
                self.call("Kinesis_20131202.DescribeStreamSummary", json!({ "StreamName": name })).await;
            if found["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE" {
                return name;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The data of a stream's records, shard by shard.
    pub async fn kinesis_records(&self, stream: &str) -> Vec<String> {
        let shards = self.call("Kinesis_20131202.ListShards", json!({ "StreamName": stream })).await;
        let mut records = Vec::new();
        for shard in shards["Shards"].as_array().expect("shards") {
            let first = json!({
                "StreamName": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON",
            });
            let mut place =
                self.call("Kinesis_20131202.GetShardIterator", first).await["ShardIterator"].take();
            loop {
                let page = json!({ "ShardIterator": place, "Limit": 10_000 });
                let mut page = self.call("Kinesis_20131202.GetRecords", page).await;
                let found = page["Records"].as_array().expect("records");
                if found.is_empty() {
                    break;
                }
                records.extend(found.iter().map(|record| {
                    let data = record["Data"].as_str().expect("data");
                    let data = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
                    String::from_utf8(data).expect("text")
                }));
                place = page["NextShardIterator"].take();
            }
        }
        records
    }

    /// Makes a stream of Firehose that leads to a bucket of the same name.
    pub async fn firehose_stream(&self) -> String {
        let name = self.name();
        let bucket = Request::builder().method(Method::PUT).uri(format!("{}/{name}", self.endpoint));
        let (status, body) = self.send("s3", bucket, String::new()).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let s3 = json!({
            "RoleARN": "arn:aws:iam::123456789012:role/firehose",
            "BucketARN": format!("arn:aws:s3:::{name}"),
        });
        let stream = json!({
            "DeliveryStreamName": name,
            "DeliveryStreamType": "DirectPut",
            "ExtendedS3DestinationConfiguration": s3,
        });
        self.call("Firehose_20150804.CreateDeliveryStream", stream).await;
        name
    }

    /// The lines of all files in a bucket.
    pub async fn lines(&self, bucket: &str) -> Vec<String> {
        let list = Request::get(format!("{}/{bucket}?list-type=2", self.endpoint));
        let (_, list) = self.send("s3", list, String::new()).await;
        let list = String::from_utf8_lossy(&list).into_owned();
        let keys = list.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        let mut lines = Vec::new();
        for key in keys {
            let file = Request::get(format!("{}/{bucket}/{key}", self.endpoint));
            let (status, file) = self.send("s3", file, String::new()).await;
            assert_eq!(status, 200, "{key}");
            lines.extend(String::from_utf8_lossy(&file).lines().map(str::to_owned));
        }
        lines
    }
}
