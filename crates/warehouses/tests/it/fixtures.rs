//! Databases of their own, as sources and sinks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tidegate_model::ErrorKind;
use tidegate_testkit::conforms::sink::{MakeBackend, SinkBackend, WrongBackend};
use tidegate_testkit::conforms::{Example, PRIVATE, SourceBackend, SourceExample};

use crate::bigquery_server::{Warehouse, key};
use crate::databricks_server::Workspace;
use crate::postgres_server::Database;
use crate::redshift_server::Cluster;
use crate::redshift_sink::Bucket;
use crate::snowflake_server::{self, Account, Counting};

const ROWS: i64 = 40;

/// The example of a type. A type without one fails the suite.
pub fn of(kind: &str) -> Option<Example> {
    match kind {
        "postgres" => Some(postgres()),
        "bigquery" => Some(bigquery()),
        "databricks" => Some(databricks()),
        "redshift" => Some(redshift()),
        "snowflake" => Some(snowflake()),
        _ => None,
    }
}

/// How a place for a sink of this type is made.
pub fn sink_of(kind: &str) -> Option<MakeBackend> {
    match kind {
        "postgres" => Some(|| Box::pin(postgres_sink())),
        "bigquery" => Some(|| Box::pin(bigquery_sink())),
        "databricks" => Some(|| Box::pin(databricks_sink())),
        "redshift" => Some(|| Box::pin(redshift_sink())),
        "snowflake" => Some(|| Box::pin(snowflake_sink())),
        _ => None,
    }
}

fn postgres() -> Example {
    Example {
        // Nothing listens there.
        settings: json!({
            "host": "127.0.0.1",
            "port": 1,
            "database": "shop",
            "user": "tidegate",
            "password": "f00d-4-postgres",
            "tls": "disable",
        }),
        source: Some(SourceExample {
            backends: || {
                Box::pin(async {
                    let database = Arc::new(Database::new().await);
                    database
                        .run(&format!(
                            "CREATE TABLE t AS SELECT n AS id, '{PRIVATE} ' || n AS note, n::numeric(9,2) AS total, \
                             n % 2 = 0 AS even, n / 8.0::float8 AS share, md5(n::text)::uuid AS code, \
                             '\\x00ff'::bytea AS raw, DATE '2026-01-01' + n AS day, TIME '00:00' + n * interval '1 min' AS clock, \
                             TIMESTAMP '2026-01-01 00:00' + n * interval '1 h' AS wall, json_build_object('n', n)::jsonb AS doc, \
                             ARRAY[n, NULL] AS list, n * interval '1 h' AS span, inet '10.0.0.1' + n AS address, \
                             CASE WHEN n > 3 THEN '2026-01-01Z'::timestamptz + n / 3 * interval '1 us' END AS at \
                             FROM generate_series(1, {ROWS}) AS n"
                        ))
                        .await;
                    vec![
                        table(&database, json!({ "table": "public.t" })),
                        table(&database, json!({ "query": "select * from t;" })),
                    ]
                })
            },
        }),
        ..Example::default()
    }
}

fn databricks() -> Example {
    Example {
        // Nothing listens there.
        settings: json!({
            "host": "dbc-1.cloud.databricks.com",
            "endpoint": "http://127.0.0.1:1",
            "warehouse_id": "1a2b3c4d5e6f7a8b",
            "client_id": "app",
            "client_secret": "f00d-4-databricks",
        }),
        source: Some(SourceExample {
            backends: || {
                Box::pin(async {
                    let workspace = Arc::new(Workspace::new().await);
                    workspace.set(json!({ "rows_per_part": 9 })).await;
                    let table = workspace.table("t");
                    workspace
                        .run(&format!(
                            "CREATE TABLE {table} (id BIGINT NOT NULL, note STRING, total DECIMAL(9,2), even BOOLEAN, \
                             share DOUBLE, raw BINARY, day DATE, wall TIMESTAMP_NTZ, doc STRUCT<n: BIGINT, s: STRING>, \
                             list ARRAY<INT>, tags MAP<STRING, INT>, at TIMESTAMP, PRIMARY KEY (id))"
                        ))
                        .await;
                    workspace
                        .run(&format!(
                            "INSERT INTO {table} SELECT id, concat('{PRIVATE} ', id) AS note, CAST(id AS DECIMAL(9,2)) AS total, \
                             id % 2 = 0 AS even, id / 8.0D AS share, X'00FF' AS raw, \
                             date_add(DATE'2026-01-01', CAST(id AS INT)) AS day, TIMESTAMP_NTZ'2026-01-01 00:00:00.5' AS wall, \
                             named_struct('n', id, 's', concat('\\'', id)) AS doc, array(CAST(id AS INT), NULL) AS list, \
                             map('a', CAST(id AS INT)) AS tags, \
                             CASE WHEN id > 3 THEN timestamp_micros(1767225600000000 + CAST(floor(id / 3) AS BIGINT)) END AS at \
                             FROM range(1, {ROWS} + 1)"
                        ))
                        .await;
                    vec![
                        lakehouse(&workspace, json!({ "table": table })),
                        lakehouse(&workspace, json!({ "query": format!("select * from {table};") })),
                    ]
                })
            },
        }),
        ..Example::default()
    }
}

fn bigquery() -> Example {
    Example {
        // Nothing listens there.
        settings: json!({
            "project": "shop",
            "endpoint": "http://127.0.0.1:1",
            "service_account_key": key("f00d-4-bigquery", "http://127.0.0.1:1", "TIDEGATE_TEST_BIGQUERY_KEY"),
        }),
        source: Some(SourceExample {
            backends: || {
                Box::pin(async {
                    let warehouse = Arc::new(Warehouse::new().await);
                    warehouse.set(json!({ "rows_per_page": 9, "any_time": true })).await;
                    let table = warehouse.table("t");
                    warehouse
                        .run(&format!(
                            "CREATE TABLE `{table}` (id INT64 NOT NULL, note STRING, total NUMERIC, even BOOL, \
                             share FLOAT64, raw BYTES, day DATE, clock TIME, wall DATETIME, doc JSON, \
                             part STRUCT<n INT64, s STRING>, list ARRAY<INT64>, span INTERVAL, at TIMESTAMP, \
                             PRIMARY KEY (id) NOT ENFORCED)"
                        ))
                        .await;
                    warehouse
                        .run(&format!(
                            "INSERT INTO `{table}` SELECT id, CONCAT('{PRIVATE} ', CAST(id AS STRING)) AS note, CAST(id AS NUMERIC) AS total, \
                             MOD(id, 2) = 0 AS even, id / 8 AS share, b'\\x00\\xff' AS raw, \
                             DATE_ADD(DATE '2026-01-01', INTERVAL id DAY) AS day, TIME '12:30:00.5' AS clock, \
                             DATETIME '2026-01-01 00:00:00.5' AS wall, PARSE_JSON('{{\"n\": 1}}') AS doc, \
                             STRUCT(id AS n, 'it is' AS s) AS part, [id, 2] AS list, INTERVAL 1 DAY AS span, \
                             IF(id > 3, TIMESTAMP_ADD(TIMESTAMP '2026-01-01 00:00:00Z', INTERVAL DIV(id, 8) MICROSECOND), NULL) AS at \
                             FROM UNNEST(GENERATE_ARRAY(1, {ROWS})) AS id"
                        ))
                        .await;
                    vec![
                        warehouse_backend(&warehouse, json!({ "table": table })),
                        warehouse_backend(
                            &warehouse,
                            json!({ "query": format!("select * from `{table}`;") }),
                        ),
                    ]
                })
            },
        }),
        ..Example::default()
    }
}

fn warehouse_backend(warehouse: &Arc<Warehouse>, selection: Value) -> SourceBackend {
    let kept = Arc::clone(warehouse);
    let query = format!("select cast(note as int64) as n from `{}`", warehouse.table("t"));
    SourceBackend {
        settings: json!(warehouse.settings(json!({})).members()),
        project: std::env::temp_dir(),
        http: Some(warehouse.http()),
        selection,
        missing: json!({ "table": warehouse.table("tt") }),
        failing: Some(json!({ "query": query })),
        rows: ROWS as usize,
        cursor: Some("at"),
        key: &["id"],
        untyped: &["span"],
        running: Box::new(move || {
            let warehouse = Arc::clone(&kept);
            Box::pin(async move { warehouse.open().await })
        }),
        keep: Box::new(Arc::clone(warehouse)),
    }
}

fn lakehouse(workspace: &Arc<Workspace>, selection: Value) -> SourceBackend {
    let kept = Arc::clone(workspace);
    let query = format!("select cast(note as int) as n from {}", workspace.table("t"));
    SourceBackend {
        settings: json!(workspace.settings(json!({})).members()),
        project: std::env::temp_dir(),
        http: Some(workspace.http()),
        selection,
        missing: json!({ "table": workspace.table("tt") }),
        failing: Some(json!({ "query": query })),
        rows: ROWS as usize,
        cursor: Some("at"),
        key: &["id"],
        untyped: &[],
        running: Box::new(move || {
            let workspace = Arc::clone(&kept);
            Box::pin(async move { workspace.open().await })
        }),
        keep: Box::new(Arc::clone(workspace)),
    }
}

fn snowflake() -> Example {
    Example {
        // Nothing listens there.
        settings: json!({
            "account": "tide-gate",
            "endpoint": "http://127.0.0.1:1",
            "user": "APP",
            "private_key": snowflake_server::key(),
            "warehouse": "TIDEGATE_WH",
        }),
        source: Some(SourceExample {
            backends: || {
                Box::pin(async {
                    let account = Arc::new(Account::new().await);
                    account.set(json!({ "rows_per_part": 9 })).await;
                    let table = account.table("T");
                    account
                        .run(&format!(
                            "CREATE TABLE {table} (ID NUMBER(38,0) NOT NULL PRIMARY KEY, NOTE VARCHAR, TOTAL NUMBER(9,2), \
                             EVEN BOOLEAN, SHARE FLOAT, RAW BINARY, DAY DATE, CLOCK TIME, WALL TIMESTAMP_NTZ(9), \
                             DOC VARIANT, \"at\" TIMESTAMP_LTZ(9))"
                        ))
                        .await;
                    account
                        .run(&format!(
                            "INSERT INTO {table} SELECT ID, '{PRIVATE} ' || ID, ID, ID % 2 = 0, ID / 8.0, \
                             TO_BINARY('00FF', 'HEX'), DATEADD(DAY, ID, '2026-01-01'::DATE), '01:02:03.5'::TIME, \
                             '2026-01-01 00:00:00.000000005'::TIMESTAMP_NTZ(9), PARSE_JSON('{{\"n\": [1, null]}}'), \
                             CASE WHEN ID > 3 THEN DATEADD(MICROSECOND, FLOOR(ID / 3)::INT, '2026-01-01 00:00:00 +00:00'::TIMESTAMP_LTZ) END \
                             FROM (SELECT SEQ4() + 1 AS ID FROM TABLE(GENERATOR(ROWCOUNT => {ROWS})))"
                        ))
                        .await;
                    vec![
                        snow(&account, json!({ "table": table })),
                        snow(&account, json!({ "query": "select * from t;" })),
                    ]
                })
            },
        }),
        ..Example::default()
    }
}

fn redshift() -> Example {
    Example {
        // Nothing listens there.
        settings: json!({
            "host": "127.0.0.1",
            "port": 1,
            "database": "shop",
            "user": "tidegate",
            "password": "f00d-4-redshift",
            "tls": "disable",
        }),
        source: Some(SourceExample {
            backends: || {
                Box::pin(async {
                    let cluster = Arc::new(Cluster::new().await);
                    cluster
                        .run(
                            "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, note VARCHAR, total DECIMAL(9,2), even BOOLEAN, \
                             share FLOAT8, raw VARBYTE, day DATE, clock TIME, wall TIMESTAMP, doc SUPER, zoned TIMETZ, at TIMESTAMPTZ)",
                        )
                        .await;
                    cluster
                        .run(&format!(
                            "INSERT INTO t SELECT n, '{PRIVATE} ' || n, n, n % 2 = 0, n / 8.0, TO_VARBYTE('00ff', 'hex'), \
                             DATE '2026-01-01' + n, TIME '00:00:00.5', TIMESTAMP '2026-01-01 00:00:00.000005', \
                             JSON_PARSE('{{\"n\":[1,null]}}'), '13:14:15+02', \
                             CASE WHEN n > 3 THEN CAST('2026-01-01 00:00:00+00' AS TIMESTAMPTZ) + n / 3 * INTERVAL '1 microsecond' END \
                             FROM generate_series(1, {ROWS}) AS n"
                        ))
                        .await;
                    vec![
                        cluster_backend(&cluster, json!({ "table": "public.t" })),
                        cluster_backend(&cluster, json!({ "query": "select * from t;" })),
                    ]
                })
            },
        }),
        ..Example::default()
    }
}

fn cluster_backend(cluster: &Arc<Cluster>, selection: Value) -> SourceBackend {
    let kept = Arc::clone(cluster);
    SourceBackend {
        settings: json!(cluster.settings(json!({ "fetch_rows": 9 })).members()),
        project: std::env::temp_dir(),
        http: None,
        selection,
        missing: json!({ "table": "public.tt" }),
        failing: Some(json!({ "query": "select cast(note as int) as n from t" })),
        rows: ROWS as usize,
        cursor: Some("at"),
        key: &["id"],
        untyped: &["zoned"],
        running: Box::new(move || {
            let cluster = Arc::clone(&kept);
            Box::pin(async move { cluster.open().await })
        }),
        keep: Box::new(Arc::clone(cluster)),
    }
}

fn snow(account: &Arc<Account>, selection: Value) -> SourceBackend {
    let (http, partitions) = Counting::over(account.http());
    let query = format!("select note::number(9,0) as n from {}", account.table("T"));
    // The clock of the suite stands still: a token that is signed by it has ended.
    let token = format!("pat-{}", account.user());
    let login = json!({ "private_key": null, "user": null, "token": token });
    SourceBackend {
        settings: json!(account.settings(login).members()),
        project: std::env::temp_dir(),
        http: Some(http),
        selection,
        missing: json!({ "table": account.table("TT") }),
        failing: Some(json!({ "query": query })),
        rows: ROWS as usize,
        cursor: Some("at"),
        key: &["ID"],
        untyped: &[],
        running: Box::new(move || {
            let partitions = Arc::clone(&partitions);
            Box::pin(async move {
                // The next partition is asked for by a task of its own.
                tokio::task::yield_now().await;
                partitions.load(Ordering::Relaxed)
            })
        }),
        keep: Box::new(Arc::clone(account)),
    }
}

fn table(database: &Arc<Database>, selection: Value) -> SourceBackend {
    let kept = Arc::clone(database);
    SourceBackend {
        settings: Value::Object(database.settings(json!({})).members().clone()),
        project: std::env::temp_dir(),
        http: None,
        selection,
        missing: json!({ "table": "public.tt" }),
        failing: Some(json!({ "query": "select note::int from t" })),
        rows: ROWS as usize,
        cursor: Some("at"),
        key: &["id"],
        untyped: &["span", "address"],
        running: Box::new(move || {
            let database = Arc::clone(&kept);
            Box::pin(async move {
                let running = "select count(*) from pg_stat_activity \
                    where datname = current_database() and application_name = 'tidegate'";
                let count: i64 = database.admin.query_one(running, &[]).await.expect("a count").get(0);
                usize::try_from(count).expect("a count")
            })
        }),
        keep: Box::new(Arc::clone(database)),
    }
}

async fn postgres_sink() -> SinkBackend {
    let database = Arc::new(Database::new().await);
    let with = |changes: Value| json!(database.settings(changes).members());
    let wrong = |what, settings, target, kind| WrongBackend { what, settings, target, kind };
    let wrong = vec![
        wrong("nobody listens", with(json!({ "port": 1 })), json!({}), ErrorKind::Unavailable),
        wrong(
            "no such database",
            with(json!({ "database": "none_of_these" })),
            json!({}),
            ErrorKind::Missing,
        ),
        wrong("a wrong password", with(json!({ "password": "wrong" })), json!({}), ErrorKind::Denied),
    ];
    let settings = with(json!({}));
    SinkBackend {
        settings,
        target: json!({}),
        folder: std::env::temp_dir(),
        http: None,
        ids: Box::new(move || {
            let database = Arc::clone(&database);
            Box::pin(async move {
                // Nothing is there before the table is.
                let rows = database.admin.query("SELECT event_id FROM shop_events.events", &[]).await;
                rows.unwrap_or_default().iter().map(|row| row.get(0)).collect()
            })
        }),
        exactly_once: true,
        too_large: None,
        wrong,
        keep: Box::new(()),
    }
}

async fn databricks_sink() -> SinkBackend {
    let workspace = Arc::new(Workspace::new().await);
    let with = |changes: Value| json!(workspace.settings(changes).members());
    let target = json!({ "schema": workspace.schema() });
    let wrong = |what, settings, kind| WrongBackend { what, settings, target: target.clone(), kind };
    let wrong = vec![
        wrong("nothing listens", with(json!({ "endpoint": "http://127.0.0.1:1" })), ErrorKind::Unavailable),
        wrong("a wrong secret", with(json!({ "client_secret": "wrong-f00d" })), ErrorKind::Denied),
        wrong("no such warehouse", with(json!({ "warehouse_id": "none" })), ErrorKind::Missing),
    ];
    SinkBackend {
        settings: with(json!({})),
        folder: std::env::temp_dir(),
        http: Some(workspace.http()),
        ids: Box::new(move || {
            let workspace = Arc::clone(&workspace);
            Box::pin(async move {
                let table = workspace.table("events");
                // Nothing is there before the table is.
                let rows =
                    workspace.tried(&format!("SELECT event_id FROM {table}")).await.unwrap_or_default();
                rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
            })
        }),
        exactly_once: true,
        too_large: None,
        wrong,
        target,
        keep: Box::new(()),
    }
}

async fn redshift_sink() -> SinkBackend {
    let (cluster, bucket) = (Arc::new(Cluster::new().await), Bucket::new().await);
    let with = |changes: Value| {
        let mut members = bucket.staging();
        members.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        json!(cluster.settings(members).members())
    };
    let wrong = |what, settings, kind| WrongBackend { what, settings, target: json!({}), kind };
    let wrong = vec![
        wrong("nothing listens", with(json!({ "port": 1 })), ErrorKind::Unavailable),
        wrong("no such database", with(json!({ "database": "none_of_these" })), ErrorKind::Missing),
        wrong("a wrong password", with(json!({ "password": "wrong" })), ErrorKind::Denied),
    ];
    SinkBackend {
        settings: with(json!({})),
        target: json!({}),
        folder: std::env::temp_dir(),
        http: Some(Arc::new(tidegate_transport::http::RealHttp::new().expect("a client"))),
        ids: Box::new(move || {
            let cluster = Arc::clone(&cluster);
            Box::pin(async move {
                // Nothing is there before the table is.
                let rows = cluster.tried("SELECT event_id FROM shop_events.events").await.unwrap_or_default();
                rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
            })
        }),
        exactly_once: true,
        too_large: None,
        wrong,
        keep: Box::new(()),
    }
}

async fn snowflake_sink() -> SinkBackend {
    let account = Arc::new(Account::new().await);
    // The clock of the suite stands still: a token that is signed by it has ended.
    let token = format!("pat-{}", account.user());
    let with = |changes: Value| {
        let mut login = json!({ "private_key": null, "user": null, "token": token });
        login.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        json!(account.settings(login).members())
    };
    let target = json!({ "schema": account.schema() });
    let wrong = |what, settings, kind| WrongBackend { what, settings, target: target.clone(), kind };
    let wrong = vec![
        wrong("nothing listens", with(json!({ "endpoint": "http://127.0.0.1:1" })), ErrorKind::Unavailable),
        wrong("a wrong token", with(json!({ "token": "wrong-f00d" })), ErrorKind::Denied),
        wrong("a role that is not granted", with(json!({ "role": "\"none\"" })), ErrorKind::Denied),
    ];
    SinkBackend {
        settings: with(json!({})),
        folder: std::env::temp_dir(),
        http: Some(account.http()),
        ids: Box::new(move || {
            let account = Arc::clone(&account);
            Box::pin(async move {
                // Nothing is there before the table is.
                let sql = format!("SELECT EVENT_ID FROM {}", account.table("EVENTS"));
                let rows = account.tried(&sql).await.unwrap_or_default();
                rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
            })
        }),
        exactly_once: true,
        too_large: None,
        wrong,
        target,
        keep: Box::new(()),
    }
}

async fn bigquery_sink() -> SinkBackend {
    let warehouse = Arc::new(Warehouse::new().await);
    // The clock of the suite stands still.
    warehouse.set(json!({ "any_time": true })).await;
    let with = |changes: Value| json!(warehouse.settings(changes).members());
    let target = json!({ "dataset": warehouse.dataset() });
    let wrong = |what, settings, kind| WrongBackend { what, settings, target: target.clone(), kind };
    let wrong = vec![
        wrong("nothing listens", with(json!({ "endpoint": "http://127.0.0.1:1" })), ErrorKind::Unavailable),
        wrong(
            "a wrong key",
            with(json!({ "service_account_key": warehouse.wrong_key() })),
            ErrorKind::Denied,
        ),
    ];
    SinkBackend {
        settings: with(json!({})),
        folder: std::env::temp_dir(),
        http: Some(warehouse.http()),
        ids: Box::new(move || {
            let warehouse = Arc::clone(&warehouse);
            Box::pin(async move {
                // Nothing is there before the table is.
                let rows =
                    warehouse.tried(&format!("SELECT event_id FROM `{}`", warehouse.table("events"))).await;
                let ids = rows.unwrap_or_default().into_iter();
                ids.filter_map(|row| row.first()?.as_str().map(str::to_owned)).collect()
            })
        }),
        exactly_once: true,
        too_large: None,
        wrong,
        target,
        keep: Box::new(()),
    }
}
