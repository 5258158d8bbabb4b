//! The connections of many syncs over one database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::TryStreamExt;
use serde_json::{Value as Json, json};
use tidegate_model::{ReadMode, Row, Selection, Source, Value};

use crate::postgres_server::Database;

fn query(sql: &str) -> Selection {
    let Json::Object(members) = json!({ "query": sql }) else { unreachable!() };
    Selection::new(members)
}

async fn rows(source: &dyn Source, sql: &str) -> Vec<Row> {
    let feed = source.read(&query(sql), &ReadMode::Full, 10).await.expect("a feed");
    let batches: Vec<_> = feed.try_collect().await.expect("rows");
    batches.into_iter().flat_map(|batch| batch.items).collect()
}

/// Connections of sources to this database.
async fn connections(database: &Database) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE application_name = 'tidegate' AND datname = current_database()";
    database.admin.query_one(sql, &[]).await.expect("a count").get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_syncs_at_once_share_the_connections_that_their_database_may_get() {
    let database = Arc::new(Database::new().await);
    let done = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn({
        let (database, done) = (Arc::clone(&database), Arc::clone(&done));
        async move {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(connections(&database).await);
            }
            most
        }
    });

    let reads = (0..40).map(|_| {
        let source = database.source_with(json!({ "max_connections": 3 }));
        tokio::spawn(async move {
            source.describe(&query("SELECT 1 AS n")).await.expect("columns");
            rows(&*source, "SELECT n, pg_sleep(0.01) IS NULL AS slept FROM generate_series(1, 5) n")
                .await
                .len()
        })
    });
    let reads: Vec<_> = reads.collect();
    for read in reads {
        assert_eq!(read.await.expect("no panic"), 5);
    }
    done.store(true, Ordering::Relaxed);

    let most = watcher.await.expect("no panic");
    assert!((1..=3).contains(&most), "{most} connections at once");
    // The server notices the end of a connection a moment later.
    for _ in 0..1_000 {
        if connections(&database).await == 0 {
            return;
        }
    }
    panic!("connections stay open when no source is left");
}

#[tokio::test]
async fn a_run_reads_on_the_connection_that_described_its_columns() {
    let database = Database::new().await;
    let source = database.source();
    let pid = async || rows(&*source, "SELECT pg_backend_pid() AS pid").await[0].get("pid").cloned();
    source.describe(&query("SELECT 1 AS n")).await.expect("columns");
    assert_eq!(connections(&database).await, 1);

    let first = pid().await.expect("a number");
    assert_eq!(pid().await.expect("a number"), first);
    assert_eq!(connections(&database).await, 1);

    // One that was cut in between is replaced.
    let Value::Int(cut) = first else { panic!("{first:?}") };
    database.run(&format!("SELECT pg_terminate_backend({cut})")).await;
    assert_ne!(pid().await.expect("a number"), first);
}
