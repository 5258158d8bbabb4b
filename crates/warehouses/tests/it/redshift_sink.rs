//! Events in a table of Redshift: each once, whatever happens on the way.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_model::{
    ConnectorContext, ErrorKind, Http as _, Layout, Outcome, Settings, Sink, SinkTarget, StreamId, SyncId,
};
use tidegate_transport::http::RealHttp;
use tidegate_warehouses::redshift::CONNECTOR;

use crate::event_sinks::{cells_of_seven, deliver_at_last, events, open, thirty_come_again};
use crate::postgres_server::{context, unique};
use crate::redshift_server::Cluster;
use crate::tunnels::tunnel;

/// A bucket of its own at moto.
pub(crate) struct Bucket {
    endpoint: String,
    name: String,
    http: RealHttp,
}

impl Bucket {
    /// Makes a bucket.
    pub(crate) async fn new() -> Bucket {
        let endpoint = std::env::var("TIDEGATE_TEST_MOTO").expect("see scripts/server/moto");
        let bucket = Bucket {
            endpoint,
            name: unique("b").replace('_', "-"),
            http: RealHttp::new().expect("a client"),
        };
        bucket.ask("PUT", "").await;
        bucket
    }

    async fn ask(&self, method: &str, query: &str) -> String {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}/{}{query}", self.endpoint, self.name))
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
            )
            .body(Bytes::new())
            .expect("a request");
        let answer = self.http.send(request).await.expect("moto answers");
        assert!(answer.status().is_success(), "{answer:?}");
        String::from_utf8_lossy(answer.body()).into_owned()
    }

    /// Writes an empty file.
    pub(crate) async fn put(&self, name: &str) {
        self.ask("PUT", &format!("/{name}")).await;
    }

    /// Returns how many files there are.
    pub(crate) async fn files(&self) -> usize {
        self.ask("GET", "?list-type=2").await.matches("<Key>").count()
    }

    /// Returns the settings `staging` and `aws`.
    pub(crate) fn staging(&self) -> Value {
        json!({
            "staging": { "path": format!("s3://{}/events", self.name), "endpoint": self.endpoint },
            "aws": { "region": "us-east-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "example" },
        })
    }
}

/// Opens a sink of message events.
fn sink(settings: &Settings, target: Value) -> Arc<Sink> {
    let context = ConnectorContext { http: Arc::new(RealHttp::new().expect("a client")), ..context() };
    open(&CONNECTOR, settings, target, &context)
}

async fn counted(cluster: &Cluster, table: &str) -> (usize, usize) {
    let rows = cluster.run(&format!("SELECT COUNT(*), COUNT(DISTINCT event_id) FROM {table}")).await;
    let number = |at: usize| rows[0][at].as_deref().expect("a count").parse().expect("a number");
    (number(0), number(1))
}

/// Another process had the same events, or a transaction ran twice.
#[tokio::test]
async fn events_that_come_again_are_in_redshift_once_with_every_sign() {
    let (cluster, bucket) = (Cluster::new().await, Bucket::new().await);
    let sink = sink(&cluster.settings(bucket.staging()), json!({}));
    thirty_come_again(sink.as_ref(), "the table").await;
    let table = "push_events.message_events";
    assert_eq!(counted(&cluster, table).await, (30, 30));
    let sql = format!(
        "SELECT event_id, CAST(EXTRACT(EPOCH FROM event_timestamp) * 1000000 AS BIGINT), language, device_type, subscribed, \
         event_date, message_id FROM {table} WHERE _index = 7"
    );
    let expected = cells_of_seven("1772366400123456", "2026-03-01");
    let mut found = cluster.run(&sql).await;
    found[0][4] = found[0][4].take().map(|truth| truth.replace("t", "true").replace("truerue", "true"));
    assert_eq!(found, [expected]);
    assert_eq!(bucket.files().await, 0, "the folder is left empty");
}

#[tokio::test]
async fn a_table_of_redshift_gets_the_columns_that_it_lacks_and_one_that_cuts_texts_is_refused() {
    let (cluster, bucket) = (Cluster::new().await, Bucket::new().await);
    cluster
        .run(
            "CREATE SCHEMA own; CREATE TABLE own.t (event_id VARCHAR(MAX), event_kind VARCHAR(MAX), own INT)",
        )
        .await;
    cluster.run("CREATE TABLE own.short (event_id VARCHAR(100), event_kind VARCHAR(MAX))").await;
    let settings = cluster.settings(bucket.staging());
    let into = |table: &str| sink(&settings, json!({ "schema": "own", "table": table }));
    let checks = into("t").check().await.unwrap();
    assert!(checks.passed(), "{checks:?}");
    into("t").deliver(&events(0..3)).await.unwrap();
    assert_eq!(counted(&cluster, "own.t").await, (3, 3));
    assert!(into("t").check().await.unwrap().passed());
    let error = into("short").deliver(&events(0..3)).await.unwrap_err();
    assert_eq!(
        error.message(),
        "the column `event_id` of own.short is varchar(100), and events have varchar(65535) for it"
    );
    assert_eq!(bucket.files().await, 0, "checks and failed deliveries leave nothing behind");
}

#[tokio::test]
async fn the_check_of_a_table_of_redshift_that_is_not_there_tries_the_copy() {
    let (cluster, bucket) = (Cluster::new().await, Bucket::new().await);
    let checks = sink(&cluster.settings(bucket.staging()), json!({})).check().await.unwrap();
    assert!(checks.passed(), "{checks:?}");
    let copied = checks.0.iter().find(|check| check.name.starts_with("COPY from s3://"));
    assert_eq!(copied.map(|check| check.detail.as_str()), Some("works, into a temporary table"));
    assert_eq!(bucket.files().await, 0, "the file is removed");
    let tables = cluster.run("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'push_events'").await;
    assert!(tables.is_empty(), "nothing was made");
}

#[tokio::test]
async fn what_an_export_to_redshift_lacks_is_named() {
    let (cluster, bucket) = (Cluster::new().await, Bucket::new().await);
    let user = cluster.user("Secret-1").await;
    let with = |mut members: Value| {
        members["user"] = json!(user);
        members["password"] = json!("Secret-1");
        cluster.settings(members)
    };
    let poor = sink(&with(bucket.staging()), json!({}));
    let checks = poor.check().await.unwrap();
    assert!(!checks.passed());
    assert!(format!("{checks:?}").contains("CREATE SCHEMA IF NOT EXISTS"), "{checks:?}");
    let error = poor.deliver(&events(0..1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    let mut nowhere = bucket.staging();
    nowhere["staging"]["path"] = json!("s3://no-such-bucket-here/events");
    let error = sink(&with(nowhere), json!({})).deliver(&events(0..1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    for (members, message) in [
        (json!({}), "an export needs `staging` and `aws`: events are copied from S3"),
        (
            json!({ "staging": { "path": "gs://bucket" }, "aws": { "region": "us-east-1" } }),
            "`staging.path`: expected `s3://bucket/folder`",
        ),
    ] {
        let target = SinkTarget {
            sync: SyncId::new("export"),
            stream: StreamId::new("push"),
            layout: Layout::Messages,
            settings: crate::databricks_server::selection(json!({})),
        };
        let error =
            (CONNECTOR.sink.expect("a sink").open)(&with(members), &target, &context()).err().expect(message);
        assert_eq!(error.message(), message);
    }
}

/// The grant that `check` and `setup` print for a schema that is there.
#[tokio::test]
async fn an_export_to_a_schema_that_is_there_needs_no_privilege_on_the_database() {
    let (cluster, bucket) = (Cluster::new().await, Bucket::new().await);
    let user = cluster.user("Secret-1").await;
    cluster.run("CREATE SCHEMA push_events").await;
    cluster.run(&format!("GRANT USAGE, CREATE ON SCHEMA push_events TO \"{user}\"")).await;
    let mut members = bucket.staging();
    members["user"] = json!(user);
    members["password"] = json!("Secret-1");
    let sink = sink(&cluster.settings(members), json!({}));
    let checks = sink.check().await.unwrap();
    assert!(checks.passed(), "{checks:?}");
    sink.deliver(&events(0..3)).await.unwrap();
    assert_eq!(counted(&cluster, "push_events.message_events").await, (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_to_redshift_through_a_tunnel_and_are_there_once_after_its_server_was_killed() {
    let (mut server, tunnel) = tunnel();
    let (cluster, bucket) = (Cluster::new().await, Bucket::new().await);
    let mut members = bucket.staging();
    members["tunnel"] = tunnel;
    let sink = sink(&cluster.settings(members), json!({}));
    let checks = sink.check().await.unwrap();
    assert!(
        checks.passed() && format!("{checks:?}").contains("through the tunnel at 127.0.0.1:"),
        "{checks:?}"
    );
    sink.deliver(&events(0..50)).await.unwrap();

    server.kill();
    // Whether the events were copied is known, or it is said that it is not.
    match sink.deliver(&events(40..90)).await {
        Ok(receipt) => assert!(receipt.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown(_)))),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
    }
    server.restart();
    deliver_at_last(sink.as_ref(), &events(40..90), "through the tunnel").await;
    assert_eq!(counted(&cluster, "push_events.message_events").await, (90, 90));
    assert_eq!(bucket.files().await, 0, "the folder is left empty");
}
