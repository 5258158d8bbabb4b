//! What is outside, seen by third-party programs: streams, topics, tables.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{repository, variable};

/// A name that no other test has, nor the same one an hour ago.
pub(crate) fn unique(what: &str) -> String {
    format!("{what}-{:016x}", RandomState::new().hash_one(what))
}

/// Runs a program of `clients` that must succeed, and returns what it prints.
pub(crate) fn program(
    interpreter: &str,
    script: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> String {
    let script = repository().join("clients").join(script);
    let mut command = Command::new(interpreter);
    command.arg(&script).args(arguments).envs(environment.iter().copied());
    let ended = command.output().unwrap_or_else(|cause| panic!("{interpreter}: {cause}"));
    let (told, complaint) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{} {arguments:?}\n{told}\n{complaint}", script.display());
    told.into_owned()
}

fn records(told: &str) -> Vec<Value> {
    told.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

/// A bucket of an emulator of S3, which looks for a signature and does not verify it.
pub(crate) struct Bucket {
    name: String,
    client: reqwest::Client,
}

impl Bucket {
    /// A new bucket.
    pub(crate) async fn new(what: &str) -> Bucket {
        let bucket = Bucket { name: unique(what), client: reqwest::Client::new() };
        let made = bucket.client.put(bucket.address()).send().await.expect("the object store answers");
        assert!(made.status().is_success(), "{made:?}");
        bucket
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        format!("{}/{}", variable("TIDEGATE_TEST_MOTO"), self.name)
    }

    /// The settings of a folder in it, but for its path.
    pub(crate) fn access(&self) -> String {
        let endpoint = variable("TIDEGATE_TEST_MOTO");
        format!("endpoint: \"{endpoint}\", region: us-east-1, access_key_id: a, secret_access_key: b")
    }

    /// The keys of its objects.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let signature = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        let asked = self.client.get(format!("{}?list-type=2", self.address()));
        let listed = asked.header("authorization", signature).send().await.expect("the object store answers");
        let listed = listed.text().await.expect("text");
        let keys = listed.split("<Key>").skip(1);
        keys.filter_map(|rest| rest.split("</Key>").next()).map(str::to_owned).collect()
    }
}

/// A stream of an emulator of AWS.
pub(crate) struct Stream {
    pub(crate) kind: &'static str,
    pub(crate) endpoint: String,
    pub(crate) name: String,
}

impl Stream {
    /// A new Kinesis stream of two shards.
    pub(crate) fn kinesis() -> Stream {
        Stream::make("kinesis", "TIDEGATE_TEST_KINESALITE")
    }

    /// A new Firehose stream that leads to a bucket of its own.
    pub(crate) fn firehose() -> Stream {
        Stream::make("firehose", "TIDEGATE_TEST_MOTO")
    }

    fn make(kind: &'static str, server: &str) -> Stream {
        let stream = Stream { kind, endpoint: variable(server), name: unique("stream") };
        stream.call("make");
        stream
    }

    /// The name by which a client asks for it.
    pub(crate) fn arn(&self) -> String {
        let place = if self.kind == "kinesis" { "stream" } else { "deliverystream" };
        format!("arn:aws:{}:us-east-1:123456789012:{place}/{}", self.kind, self.name)
    }

    fn call(&self, action: &str) -> String {
        let arguments = [action, self.kind, &self.endpoint, &self.name];
        program(&variable("TIDEGATE_TEST_PYTHON"), "python/aws/stream.py", &arguments, &[])
    }

    /// What AWS's own client reads: objects of `key` and `data`.
    pub(crate) fn read(&self) -> Vec<Value> {
        records(&self.call("read"))
    }

    /// The connection as a project writes it.
    pub(crate) fn connection(&self) -> String {
        format!(
            "{{ type: {}, region: us-east-1, endpoint: \"{}\", access_key_id: AKIDEXAMPLE, secret_access_key: example }}",
            self.kind, self.endpoint
        )
    }
}

/// Indices of OpenSearch whose names begin with one that no other test has.
pub(crate) struct Search {
    pub(crate) endpoint: String,
    pub(crate) index: String,
}

impl Search {
    pub(crate) fn new() -> Search {
        Search { endpoint: variable("TIDEGATE_TEST_OPENSEARCH"), index: unique("search") }
    }

    /// How often each event is there, as OpenSearch's own client reads it. The id of each document is
    /// that of its event.
    pub(crate) fn ids(&self) -> BTreeMap<String, u32> {
        let arguments = [&*self.endpoint, &format!("{}*", self.index)];
        let python = variable("TIDEGATE_TEST_OPENSEARCH_PYTHON");
        let found = records(&program(&python, "python/opensearch/documents.py", &arguments, &[]));
        count(found.iter().map(|document| {
            assert_eq!(document["_id"], document["_source"]["event_id"]);
            document["_id"].as_str().expect("an id").to_owned()
        }))
    }
}

/// A new Kafka topic of one partition.
pub(crate) struct Topic {
    pub(crate) broker: String,
    pub(crate) name: String,
}

impl Topic {
    pub(crate) fn make() -> Topic {
        let topic = Topic { broker: variable("TIDEGATE_TEST_KAFKA"), name: unique("topic") };
        topic.call("make", &[]);
        topic
    }

    fn call(&self, action: &str, more: &[&str]) -> String {
        let arguments = [&[action, &self.broker, &self.name], more].concat();
        program(&variable("TIDEGATE_TEST_CONFLUENT_PYTHON"), "python/kafka/consumer.py", &arguments, &[])
    }

    /// This many records, as Confluent's client reads them: objects of `key` and `data`.
    pub(crate) fn read(&self, count: usize) -> Vec<Value> {
        records(&self.call("read", &[&count.to_string()]))
    }
}

/// How often each event is in a table or a folder of files: `delta`, `parquet` or `jsonl`.
pub(crate) fn table_ids(form: &str, place: &Path) -> BTreeMap<String, u32> {
    if !place.exists() {
        return BTreeMap::new();
    }
    let place = place.to_str().expect("a path of text");
    let told = program(&variable("TIDEGATE_TEST_LAKE_PYTHON"), "python/lake/ids.py", &[form, place], &[]);
    count(told.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned))
}

/// How often each event is in these records.
pub(crate) fn record_ids(records: &[Value]) -> BTreeMap<String, u32> {
    count(records.iter().map(|record| {
        let data: Value = serde_json::from_str(record["data"].as_str().expect("text")).expect("JSON");
        data["id"].as_str().unwrap_or_else(|| panic!("an id: {data}")).to_owned()
    }))
}

fn count(ids: impl Iterator<Item = String>) -> BTreeMap<String, u32> {
    let mut times = BTreeMap::new();
    ids.for_each(|id| *times.entry(id).or_default() += 1);
    times
}
