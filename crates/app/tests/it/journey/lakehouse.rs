//! The year of the café in tables made for cloud ingestion, out of a lakehouse into Braze: what
//! arrives is compared with SQL over the tables, row by row.
//!
//! The first month in the suite; `TIDEGATE_TEST_JAFFLE_DAYS=366` for all of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::ingestion;
use crate::lakehouse::Lakehouse;
use crate::served::{Served, until};
use crate::support::{Project, Sandbox, variable};

/// The columns that the vendor documents for Databricks, comments included.
const VENDOR: &str = "updated_at TIMESTAMP DEFAULT current_timestamp(),
--At least one of external_id, alias_name and alias_label, or braze_id is required
external_id STRING,
--If using user alias, both alias_name and alias_label are required
alias_name STRING,
alias_label STRING,
--braze_id can only be used to update existing users created through the Braze SDK
braze_id STRING,
--If you include both email and phone, we will use the email as the primary identifier
email STRING,
phone STRING,
payload STRING";

/// Each table: its name, its columns, what fills it from which file, and where its sync leads.
const TABLES: &[(&str, &str, &str, &str, &str)] = &[
    (
        "attributes",
        VENDOR,
        "SELECT timestamp_micros(unix_micros(TIMESTAMP'2018-09-01 00:00:00Z') + pmod(hash(_c0), 1000000)) AS u, \
         _c0 AS e, CAST(NULL AS STRING) AS n, CAST(NULL AS STRING) AS l, CAST(NULL AS STRING) AS b, \
         CAST(NULL AS STRING) AS m, CAST(NULL AS STRING) AS p, to_json(named_struct('full_name', _c1)) AS j",
        "customers",
        "object: user",
    ),
    (
        "attributes_as_struct",
        "UPDATED_AT TIMESTAMP NOT NULL, EXTERNAL_ID STRING, PAYLOAD STRUCT<seats: BIGINT, share: DECIMAL(9,2), since: DATE>",
        "SELECT TIMESTAMP'2018-09-02 00:00:00Z' AS u, _c0 AS e, named_struct('seats', 9007199254740993, \
         'share', CAST(CAST(pmod(hash(_c0), 10000) AS DECIMAL(9,2)) / 100 AS DECIMAL(9,2)), 'since', DATE'2018-09-01') AS j",
        "customers",
        "object: user",
    ),
    (
        "tweets",
        VENDOR,
        "SELECT CAST(_c2 AS TIMESTAMP) AS u, _c1 AS e, CAST(NULL AS STRING) AS n, CAST(NULL AS STRING) AS l, \
         CAST(NULL AS STRING) AS b, CAST(NULL AS STRING) AS m, CAST(NULL AS STRING) AS p, \
         to_json(named_struct('name', 'tweeted', 'properties', named_struct('id', _c0, 'content', _c3))) AS j",
        "tweets",
        "object: event",
    ),
    (
        "orders",
        "UPDATED_AT TIMESTAMP NOT NULL, EXTERNAL_ID STRING, \
         PAYLOAD STRUCT<name: STRING, properties: STRUCT<id: STRING, order_total: BIGINT>>",
        "SELECT timestamp_micros(unix_micros(CAST(_c2 AS TIMESTAMP)) + pmod(hash(_c0), 1000000)) AS u, \
         _c1 AS e, named_struct('name', 'order_placed', 'properties', named_struct('id', _c0, 'order_total', CAST(_c6 AS BIGINT))) AS j",
        "orders",
        "object: event",
    ),
    (
        "purchases",
        "updated_at TIMESTAMP, external_id STRING, \
         payload STRUCT<product_id: STRING, currency: STRING, price: DECIMAL(12,2), quantity: INT>",
        "SELECT CAST(_c2 AS TIMESTAMP) AS u, _c1 AS e, named_struct('product_id', _c3, 'currency', 'USD', \
         'price', CAST(CAST(_c6 AS DECIMAL(12,2)) / 100 AS DECIMAL(12,2)), 'quantity', 1) AS j",
        "orders",
        "object: purchase",
    ),
    (
        "menu",
        "UPDATED_AT TIMESTAMP, ID STRING, PAYLOAD STRING, DELETED BOOLEAN",
        "SELECT TIMESTAMP'2018-09-01 00:00:00Z' AS u, _c0 AS i, \
         to_json(named_struct('name', _c1, 'price', CAST(_c3 AS BIGINT))) AS j, false AS d",
        "products",
        "object: catalog_item, catalog: menu",
    ),
];

/// The rows of the days that are wanted.
fn condition(file: &str, days: u32) -> String {
    match file {
        "orders" | "tweets" => {
            format!("CAST(_c2 AS TIMESTAMP) < TIMESTAMP'2018-09-01 00:00:00Z' + INTERVAL '{days}' DAY")
        }
        _ => "true".to_owned(),
    }
}

async fn fill(lakehouse: &Lakehouse, days: u32) {
    let folder = variable("TIDEGATE_TEST_JAFFLE");
    for file in ["customers", "orders", "tweets", "products"] {
        let content = std::fs::read(Path::new(&folder).join(format!("{file}.csv"))).expect("a file");
        let rows =
            content.splitn(2, |byte| *byte == b'\n').nth(1).expect("a line of names, then rows").to_vec();
        lakehouse.put(&format!("{file}.csv"), rows).await;
    }
    for (table, columns, select, file, _) in TABLES {
        lakehouse.run(&format!("CREATE TABLE {{}}.{table} (\n{columns}\n)")).await;
        let from = format!("csv.`/Volumes/main/{}/raw/{file}.csv`", lakehouse.schema);
        let wanted = condition(file, days);
        lakehouse.run(&format!("INSERT INTO {{}}.{table} {select} FROM {from} WHERE {wanted}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journey_a_cafe_in_cloud_ingestion_tables_of_databricks_arrives_complete_and_exact() {
    let days = std::env::var("TIDEGATE_TEST_JAFFLE_DAYS").map_or(31, |days| days.parse().expect("a number"));
    let lakehouse = Lakehouse::new().await;
    fill(&lakehouse, days).await;
    let sandbox = Sandbox::start(&[]);
    sandbox.make_catalog("menu", &[("name", "string"), ("price", "number")]).await;
    let tables: Vec<(&str, &str)> = TABLES.iter().map(|(table, .., object)| (*table, *object)).collect();
    let connections = format!("{}{}", lakehouse.connection(), sandbox.connections());
    let yaml = format!("connections:\n{connections}{}", ingestion::syncs("lakehouse", &tables));
    let project = Project::new(&yaml);

    let long = "char_length(get_json_object(payload, '$.properties.content')) > 255";
    let refused = lakehouse.count(&format!("SELECT count(*) FROM {{}}.tweets WHERE {long}")).await;
    for (table, ..) in TABLES {
        let rows = lakehouse.count(&format!("SELECT count(*) FROM {{}}.{table}")).await;
        ingestion::run(&project, table, rows, if *table == "tweets" { refused } else { 0 });
    }
    let users = "SELECT a.external_id, get_json_object(a.payload, '$.full_name'), b.payload.seats, \
                 CAST(b.payload.share * 100 AS BIGINT), CAST(b.payload.since AS STRING) \
                 FROM {}.attributes a JOIN {}.attributes_as_struct b ON a.external_id = b.EXTERNAL_ID";
    ingestion::users(&sandbox, &lakehouse.texts(users).await).await;
    let orders = "SELECT 'order_placed', of.id, e, at, of.order_total FROM (SELECT EXTERNAL_ID AS e, \
                  unix_micros(UPDATED_AT) AS at, PAYLOAD.properties AS of FROM {}.orders)";
    let tweets = format!(
        "SELECT 'tweeted', get_json_object(payload, '$.properties.id'), external_id, unix_micros(updated_at), \
         get_json_object(payload, '$.properties.content') FROM {{}}.tweets WHERE NOT {long}"
    );
    let rows = [lakehouse.texts(orders).await, lakehouse.texts(&tweets).await].concat();
    ingestion::events(&sandbox, &rows).await;
    let purchases = "SELECT external_id, payload.product_id, unix_micros(updated_at), count(*), \
                     CAST(sum(payload.price) * 100 AS BIGINT) FROM {}.purchases \
                     GROUP BY external_id, payload.product_id, unix_micros(updated_at)";
    ingestion::purchases(&sandbox, &lakehouse.texts(purchases).await).await;
    // The menu, before and after one item is deleted.
    for gone in ["nothing", "JAF-002"] {
        if gone != "nothing" {
            let row = format!(
                "SELECT current_timestamp() AS u, '{gone}' AS i, CAST(NULL AS STRING) AS j, true AS d"
            );
            lakehouse.run(&format!("INSERT INTO {{}}.menu {row}")).await;
            project.run_to("menu", "succeeded", &[("delivered", 1)]);
        }
        let menu = format!(
            "SELECT ID, get_json_object(PAYLOAD, '$.name'), get_json_object(PAYLOAD, '$.price') \
             FROM {{}}.menu WHERE NOT DELETED AND ID <> '{gone}'"
        );
        ingestion::items(&sandbox, &lakehouse.texts(&menu).await).await;
    }
    let tables: Vec<&str> = TABLES.iter().map(|(table, ..)| *table).collect();
    ingestion::nothing_is_sent_twice(&project, &sandbox, &tables).await;
}

/// A warehouse that starts, throttling, a token that ends, connections that are cut in each phase.
#[tokio::test]
async fn journey_a_run_over_a_lakehouse_that_fails_in_each_phase_is_complete_and_says_what_it_waits_for() {
    let lakehouse = Lakehouse::new().await;
    lakehouse
        .run("CREATE TABLE {}.visits AS SELECT id, concat('u', id % 7) AS user, current_timestamp() AS at FROM range(300)")
        .await;
    let sandbox = Sandbox::start(&["--memory"]);
    let project = Project::new(&format!(
        "connections:\n{}{}syncs:\n  visits:\n    source: {{ connection: lakehouse, table: visits }}\n    cursor: at\n    \
         primary_key: id\n    destination: {{ connection: braze, object: event }}\n    mapping:\n      external_id: user\n      \
         name: {{ value: visited }}\n      timestamp: at\n      properties: [id]\n",
        lakehouse.connection(),
        sandbox.connections()
    ));
    // What goes wrong is waited for. The first token is the one that describes the table.
    lakehouse
        .set(&json!({
            "rows_per_part": 50, "pending": 10,
            "faults": {
                "submit": ["429", "503"], "token": ["", "503"], "poll": ["503", "429", "expired", "drop"],
                "part": ["drop", "503"], "storage": ["503", "drop"],
            },
        }))
        .await;
    let ended = project.done(&["run", "visits"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let waits = "the warehouse `Starter Warehouse` is starting; this takes 2 to 5 minutes";
    assert!(ended.stderr.contains(waits), "{}", ended.stderr);
    assert_eq!(lakehouse.seen().await["faults"], 0, "each fault was met");
    let times = sandbox.times("braze/events", "/properties/id").await;
    assert_eq!(times, (0..300).map(|id| (id.to_string(), 1)).collect());
}

/// The changes of a table, version after version, while the server runs.
#[tokio::test]
async fn journey_a_table_with_a_change_data_feed_is_followed_version_by_version() {
    let lakehouse = Lakehouse::new().await;
    lakehouse.run("CREATE TABLE {}.plans (id STRING, plan STRING, seats BIGINT, PRIMARY KEY (id))").await;
    lakehouse
        .run("INSERT INTO {}.plans VALUES ('ada', 'free', 1), ('bob', 'free', 2), ('cyd', 'pro', 3)")
        .await;
    let sandbox = Sandbox::start(&["--memory"]);
    let project = Project::new(&format!(
        "connections:\n{}{}syncs:\n  plans:\n    source: {{ connection: lakehouse, table: plans, poll_every: 1s }}\n    \
         mode: stream\n    primary_key: id\n    destination: {{ connection: braze, object: user }}\n    \
         mapping: {{ external_id: id, attributes: [plan, seats] }}\n",
        lakehouse.connection(),
        sandbox.connections()
    ));
    // Without the feed, that is what `check` says.
    let checks = project.done(&["check", "plans"]);
    assert_ne!(checks.code, 0, "{checks:?}");
    assert!(checks.stdout.contains("SET TBLPROPERTIES (delta.enableChangeDataFeed = true)"), "{checks:?}");
    lakehouse.run("ALTER TABLE {}.plans SET TBLPROPERTIES (delta.enableChangeDataFeed = true)").await;
    let checks = project.done(&["check", "plans"]);
    assert_eq!(checks.code, 0, "{checks:?}");

    project.run_to("plans", "succeeded", &[("read", 3), ("delivered", 3)]);
    project.run_to("plans", "succeeded", &[("read", 0)]);
    lakehouse.run("UPDATE {}.plans SET plan = 'max' WHERE id = 'bob'").await;
    lakehouse.run("DELETE FROM {}.plans WHERE id = 'cyd'").await;
    lakehouse.run("INSERT INTO {}.plans VALUES ('dee', 'pro', 4)").await;
    project.run_to("plans", "succeeded", &[("read", 2), ("delivered", 2)]);

    // A sync with `mode: stream` and no schedule is continuous.
    let served = Served::start(&project);
    let began = std::time::Instant::now();
    for (id, seats) in [("ada", 11), ("bob", 22)] {
        lakehouse.run(&format!("UPDATE {{}}.plans SET seats = {seats} WHERE id = '{id}'")).await;
        until("the change", async || {
            let users = sandbox.effects("braze/users").await;
            let user = users.iter().find(|user| user["external_id"] == id)?;
            (user["attributes"]["seats"] == seats).then_some(())
        })
        .await;
    }
    eprintln!("two changes, one after the other, arrived within {:?}", began.elapsed());
    let (code, said) = served.stop().await;
    assert_eq!(code, 0, "{said}");
    let plans: BTreeMap<String, String> = (sandbox.effects("braze/users").await.iter())
        .map(|user| (user["external_id"].to_string(), user["attributes"]["plan"].to_string()))
        .collect();
    let expected = [("ada", "free"), ("bob", "max"), ("cyd", "pro"), ("dee", "pro")];
    let quoted = |text: &str| format!("\"{text}\"");
    assert_eq!(plans, expected.map(|(id, plan)| (quoted(id), quoted(plan))).into());
}
