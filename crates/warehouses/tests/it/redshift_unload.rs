//! All rows by way of S3: unloaded, read, removed, against the double and moto.

use std::sync::Arc;

use futures_util::TryStreamExt;
use serde_json::json;
use tidegate_model::{ErrorKind, ReadMode, Row, Source, Value};

use crate::databricks_server::read;
use crate::postgres_server::table;
use crate::redshift_server::Cluster;
use crate::redshift_sink::Bucket;

/// The source that unloads to a bucket.
fn unloading(cluster: &Cluster, bucket: &Bucket) -> Arc<dyn Source> {
    let mut changes = bucket.staging();
    changes["read"] = json!("unload");
    cluster.source_with(changes)
}

async fn all(source: &dyn Source, name: &str) -> Vec<Vec<Value>> {
    let batches = read(source, &table(name), &ReadMode::Full).await.expect("read");
    let mut rows: Vec<Row> = batches.into_iter().flat_map(|batch| batch.items).collect();
    rows.sort_by_key(|row| if let Value::Int(id) = row.values[0] { id } else { panic!("{row:?}") });
    rows.into_iter().map(|row| row.values).collect()
}

#[tokio::test]
async fn rows_that_are_unloaded_are_the_same_as_those_that_are_fetched_and_no_file_is_left() {
    let (cluster, bucket) = (Cluster::new().await, Bucket::new().await);
    cluster
        .run(
            "CREATE TABLE t (id BIGINT, even BOOLEAN, small SMALLINT, total DECIMAL(38,10), share FLOAT8, part REAL, \
             name VARCHAR(100), code CHAR(4), day DATE, clock TIME, wall TIMESTAMP, at TIMESTAMPTZ, doc SUPER, raw VARBYTE)",
        )
        .await;
    cluster
        .run(
            "INSERT INTO t SELECT n, n % 2 = 0, n % 100, n / 3.0, n / 7.0, 0.1, 'it''s \"' || n || ' é', 'ab', \
             DATE '2026-01-01' + (n % 300), TIME '00:00' + n * INTERVAL '1 ms', TIMESTAMP '2026-03-29 02:30:00.123456' + n * INTERVAL '1 h', \
             TIMESTAMPTZ '2026-03-29 02:30:00.123456+02' + n * INTERVAL '1 h', JSON_PARSE('{\"n\":' || n || ',\"s\":null}'), \
             TO_VARBYTE('00ff', 'hex') FROM generate_series(1, 1000) AS n",
        )
        .await;
    cluster.run("INSERT INTO t (id) VALUES (1001)").await;
    cluster.run("INSERT INTO t (id, day, at, share) VALUES (1002, '0044-03-15 BC', '294276-12-31 23:59:59+00', 'NaN')").await;
    let source = unloading(&cluster, &bucket);
    let (unloaded, fetched) = (all(&*source, "t").await, all(&*cluster.source(), "t").await);
    assert_eq!((unloaded.len(), bucket.files().await), (1_002, 0));
    for (unloaded, fetched) in unloaded.iter().zip(&fetched) {
        assert_eq!(format!("{unloaded:?}"), format!("{fetched:?}"));
    }
    let checks = source.check(Some(&table("t"))).await.expect("checked");
    assert!(checks.passed() && checks.0.iter().any(|check| check.name == "unload"), "{checks:?}");
    assert_eq!(bucket.files().await, 0);
    cluster.run("CREATE TABLE none (id INT)").await;
    assert!(all(&*source, "none").await.is_empty());
    assert_eq!(bucket.files().await, 0);
}

#[tokio::test]
async fn a_read_that_is_dropped_leaves_no_unloaded_file() {
    let (cluster, bucket) = (Cluster::new().await, Bucket::new().await);
    cluster.run("CREATE TABLE t AS SELECT n AS id FROM generate_series(1, 3000) AS n").await;
    let source = unloading(&cluster, &bucket);
    let mut feed = source.read(&table("t"), &ReadMode::Full, 100).await.expect("opened");
    feed.try_next().await.expect("read").expect("a batch");
    assert!(bucket.files().await > 1, "files wait to be read");
    drop(feed);
    let removed = async {
        while bucket.files().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), removed).await.expect("removed");
}

#[tokio::test]
async fn what_a_killed_process_unloaded_a_day_ago_is_removed_and_what_another_one_reads_is_not() {
    let (cluster, bucket) = (Cluster::new().await, Bucket::new().await);
    cluster.run("CREATE TABLE t AS SELECT n AS id FROM generate_series(1, 10) AS n").await;
    let made_at =
        |second: u64| uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, second, 0)).to_string();
    let now = tidegate_model::Clock::now(&tidegate_model::SystemClock).as_second();
    let now = u64::try_from(now).expect("after 1970");
    for (id, name) in
        [(made_at(now - 90_000), "0000_part_00.parquet"), (made_at(now - 3_600), "0000_part_00.parquet")]
    {
        bucket.put(&format!("events/_unloaded/{id}/{name}")).await;
    }
    assert_eq!(bucket.files().await, 2);
    assert_eq!(all(&*unloading(&cluster, &bucket), "t").await.len(), 10);
    assert_eq!(bucket.files().await, 1);
}

#[tokio::test]
async fn a_bucket_that_redshift_cannot_write_to_is_named_with_the_permission() {
    let (cluster, bucket) = (Cluster::new().await, Bucket::new().await);
    cluster.run("CREATE TABLE t (id INT)").await;
    let mut changes = bucket.staging();
    changes["read"] = json!("unload");
    changes["staging"]["path"] = json!("s3://no-such-bucket-of-tests/events");
    let source = cluster.source_with(changes.clone());
    let checks = source.check(Some(&table("t"))).await.expect("checked");
    let failed = checks.0.iter().find(|check| !check.passed).expect("a failed check");
    assert!(failed.remedy.as_deref().is_some_and(|remedy| remedy.contains("s3:PutObject")), "{checks:?}");
    changes.as_object_mut().expect("an object").remove("staging");
    let settings = cluster.settings(changes);
    let opened = (tidegate_warehouses::redshift::CONNECTOR.source.expect("a source").open)(
        &settings,
        &crate::postgres_server::context(),
    );
    let error = opened.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    assert!(error.message().starts_with("`read: unload` needs `staging` and `aws`"), "{error:?}");
}
