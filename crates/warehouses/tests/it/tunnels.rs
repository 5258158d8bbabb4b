//! Databases that only an SSH server reaches: OpenSSH, on loopback.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value as Json, json};
use tidegate_model::{Batch, ConnectionId, ErrorKind, ReadMode, Row, Selection, Settings, Source};
use tidegate_testkit::sshd::Sshd;
use tidegate_tunnel::{KeyPair, generate};

use crate::postgres_server::{Database, ca_file, context};
use crate::redshift_server::{self, Cluster};

/// A tunnel whose server lets the key in.
pub fn tunnel() -> (Sshd, Json) {
    let (server, pair) = (Sshd::start(), generate().expect("a key"));
    server.allow(&[&pair.public]);
    let settings = settings(&server, &pair);
    (server, settings)
}

fn settings(server: &Sshd, pair: &KeyPair) -> Json {
    json!({
        "host": "127.0.0.1", "port": server.port(), "user": server.user(), "private_key": pair.private.expose(),
        "host_key": server.host_key(),
    })
}

fn query(sql: &str) -> Selection {
    let Json::Object(members) = json!({ "query": sql }) else { unreachable!() };
    Settings::new(members)
}

async fn rows(source: &Arc<dyn Source>, sql: &str) -> Vec<Row> {
    let feed = source.read(&query(sql), &ReadMode::Full, 500).await.expect("a feed");
    let batches: Vec<Batch<Row>> = feed.try_collect().await.expect("rows");
    batches.into_iter().flat_map(|batch| batch.items).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_postgresql_come_through_a_tunnel_and_tls_verifies_the_database_as_without() {
    let (_server, tunnel) = tunnel();
    let database = Database::new().await;
    for tls in [
        json!({ "tls": "disable" }),
        json!({ "tls": "require" }),
        json!({ "tls": "verify-full", "ca_file": ca_file() }),
    ] {
        let mut changes = tls.clone();
        changes["tunnel"] = tunnel.clone();
        let source = database.source_with(changes);

        assert_eq!(rows(&source, "SELECT n FROM generate_series(1, 2000) n").await.len(), 2_000, "{tls}");
        let checks = source.check(None).await.expect("checks");
        assert!(checks.passed(), "{checks:?}");
        assert!(format!("{checks:?}").contains("through the tunnel at 127.0.0.1:"), "{checks:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_redshift_come_through_a_tunnel_with_a_sign_in_by_sha_256() {
    let (_server, tunnel) = tunnel();
    let cluster = Cluster::new().await;
    let user = cluster.user("sha256|Reader-Secret-1").await;
    for changes in [
        json!({ "tunnel": tunnel, "user": user, "password": "Reader-Secret-1" }),
        json!({
            "tunnel": tunnel, "user": user, "password": "Reader-Secret-1", "tls": "verify-full",
            "ca_file": redshift_server::ca_file(),
        }),
    ] {
        let source = cluster.source_with(changes);
        assert_eq!(rows(&source, "SELECT 1 AS n UNION ALL SELECT 2").await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_during_a_read_fails_it_and_the_next_read_goes_through_again() {
    let (mut server, tunnel) = tunnel();
    let database = Database::new().await;
    let source = database.source_with(json!({ "tunnel": tunnel }));
    let sql = "SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 50000) n";
    let mut feed = source.read(&query(sql), &ReadMode::Full, 100).await.expect("a feed");
    feed.next().await.expect("a batch").expect("rows");

    server.kill();
    let error = loop {
        match feed.next().await.expect("an end with a reason") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };

    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.message().contains("through the tunnel at 127.0.0.1:"), "{error}");
    let Err(error) = source.read(&query(sql), &ReadMode::Full, 100).await else { panic!("nothing listens") };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.next_step().contains("tunnel.host"), "{}", error.next_step());
    server.restart();
    assert_eq!(rows(&source, sql).await.len(), 50_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_read_ends_at_the_server_behind_the_tunnel() {
    let (_server, tunnel) = tunnel();
    let database = Database::new().await;
    let sql = "SELECT n, repeat('x', 4000), pg_sleep(CASE WHEN n > 150 THEN 3600 ELSE 0 END)::text \
               FROM generate_series(1, 1000) n";
    let source = database.source_with(json!({ "tunnel": tunnel }));
    let mut feed = source.read(&query(sql), &ReadMode::Full, 100).await.expect("read");
    feed.next().await.expect("a batch").expect("rows");
    drop(feed);

    let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'tidegate'";
    let ended = async {
        while database.admin.query_one(running, &[]).await.expect("count").get::<_, i64>(0) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the statement ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_prints_the_host_key_to_pin_and_setup_the_line_for_the_other_side() {
    let (server, mut tunnel) = tunnel();
    tunnel["host_key"] = json!([]);
    let database = Database::new().await;
    let changes = json!({ "tunnel": tunnel });

    let error = database.source_with(changes.clone()).check(None).await.expect_err("no key is pinned");

    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    assert!(error.next_step().ends_with(&server.host_key()), "{}", error.next_step());
    let setup = tidegate_warehouses::postgres::CONNECTOR.setup.expect("steps");
    let text = setup(&ConnectionId::new("shop"), &database.settings(changes), None).expect("steps");
    assert!(text.contains("restrict,port-forwarding,permitopen=\"127.0.0.1:"), "{text}");
    assert!(text.contains("tidegate secret generate-key shop_ssh --ssh"), "{text}");
    assert!(!text.contains("BEGIN OPENSSH"), "{text}");
}

#[test]
fn a_tunnel_without_a_private_key_is_refused_before_anything_is_connected() {
    let members = json!({
        "host": "db", "database": "shop", "user": "u",
        "tunnel": { "host": "bastion", "user": "t", "private_key": "hush-hush" },
    });
    let settings = Settings::new(members.as_object().expect("an object").clone());
    let role = tidegate_warehouses::postgres::CONNECTOR.source.expect("a source");

    let Err(error) = (role.open)(&settings, &context()) else { panic!("it opens") };

    assert!(error.message().starts_with("`tunnel.private_key`: "), "{error}");
    assert!(!format!("{error:?} {}", error.next_step()).contains("hush-hush"), "{error:?}");
}
