//! The year of the café in tables made for cloud ingestion, out of a lakehouse into Braze: what
//! arrives is compared with SQL over the tables, row by row.
//!
//! The first month in the suite; `TIDEGATE_TEST_JAFFLE_DAYS=366` for all of it.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::cafe::{cents, read};
use crate::lakehouse::Lakehouse;
use crate::served::{Served, until};
use crate::support::{Project, Sandbox, same, variable};

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
    let mut yaml = format!("connections:\n{}{}syncs:\n", lakehouse.connection(), sandbox.connections());
    for (table, _, _, _, object) in TABLES {
        yaml.push_str(&format!(
            "  {table}:\n    source: {{ connection: lakehouse, table: {table} }}\n    contract: braze_cdi\n    \
             destination: {{ connection: braze, {object} }}\n"
        ));
    }
    let project = Project::new(&yaml);

    let long = "char_length(get_json_object(payload, '$.properties.content')) > 255";
    let refused = lakehouse.count(&format!("SELECT count(*) FROM {{}}.tweets WHERE {long}")).await;
    for (table, ..) in TABLES {
        let rows = lakehouse.count(&format!("SELECT count(*) FROM {{}}.{table}")).await;
        let refused = if *table == "tweets" { refused } else { 0 };
        let ending = if refused > 0 { "partial" } else { "succeeded" };
        let counts = [("read", rows), ("delivered", rows - refused), ("rejected", refused), ("in_doubt", 0)];
        project.run_to(table, ending, &counts);
        eprintln!("{table}: {rows} rows read, {refused} rejected");
    }
    users(&lakehouse, &sandbox).await;
    events(&lakehouse, &sandbox, long).await;
    purchases(&lakehouse, &sandbox).await;
    items(&lakehouse, &sandbox, &project).await;

    let before = sandbox.stats("braze").await;
    for (table, ..) in TABLES {
        let run = project.run(table);
        assert_eq!(run["counts"]["delivered"], 0, "{table} sends nothing twice: {run:#}");
    }
    assert_eq!(before, sandbox.stats("braze").await);
}

#[derive(Deserialize)]
struct User {
    external_id: String,
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    full_name: String,
    seats: i64,
    share: Box<RawValue>,
    since: String,
}

/// Each user once, with what the text and the structure say.
async fn users(lakehouse: &Lakehouse, sandbox: &Sandbox) {
    let sql = "SELECT a.external_id, get_json_object(a.payload, '$.full_name'), b.payload.seats, \
               CAST(b.payload.share * 100 AS BIGINT), CAST(b.payload.since AS STRING) \
               FROM {}.attributes a JOIN {}.attributes_as_struct b ON a.external_id = b.EXTERNAL_ID";
    let expected: BTreeMap<String, Vec<String>> =
        lakehouse.texts(sql).await.into_iter().map(|row| (row[0].clone(), row[1..].to_vec())).collect();
    let users: Vec<User> = read(&sandbox.lines("braze/users").await);
    assert_eq!(users.len(), expected.len(), "each user once");
    let found = (users.into_iter())
        .map(|User { external_id, attributes }| {
            let share = cents(attributes.share.get()).to_string();
            (external_id, vec![attributes.full_name, attributes.seats.to_string(), share, attributes.since])
        })
        .collect();
    same("users", &expected, &found);
}

#[derive(Deserialize)]
struct Event {
    external_id: String,
    name: String,
    time: Timestamp,
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    id: String,
    order_total: Option<i64>,
    content: Option<String>,
}

/// Each event once, with its user, its time to the microsecond and what it says.
async fn events(lakehouse: &Lakehouse, sandbox: &Sandbox, long: &str) {
    let orders = "SELECT 'order_placed', of.id, e, at, of.order_total FROM (SELECT EXTERNAL_ID AS e, \
                  unix_micros(UPDATED_AT) AS at, PAYLOAD.properties AS of FROM {}.orders)";
    let tweets = format!(
        "SELECT 'tweeted', get_json_object(payload, '$.properties.id'), external_id, unix_micros(updated_at), \
         get_json_object(payload, '$.properties.content') FROM {{}}.tweets WHERE NOT {long}"
    );
    let mut expected = BTreeMap::new();
    for sql in [orders, &tweets] {
        for row in lakehouse.texts(sql).await {
            expected.insert((row[0].clone(), row[1].clone()), row[2..].to_vec());
        }
    }
    let events: Vec<Event> = read(&sandbox.lines("braze/events").await);
    assert_eq!(events.len(), expected.len(), "each event once");
    let found = (events.into_iter())
        .map(|Event { external_id, name, time, properties: Properties { id, order_total, content } }| {
            let said = content.or_else(|| order_total.map(|total| total.to_string())).unwrap_or_default();
            ((name, id), vec![external_id, time.as_microsecond().to_string(), said])
        })
        .collect();
    same("events", &expected, &found);
}

#[derive(Deserialize)]
struct Purchase {
    external_id: String,
    product_id: String,
    time: Timestamp,
    price: Box<RawValue>,
}

/// Purchases have no id at the platform: each user's at each moment are counted and summed.
async fn purchases(lakehouse: &Lakehouse, sandbox: &Sandbox) {
    let sql = "SELECT external_id, payload.product_id, unix_micros(updated_at), count(*), \
               CAST(sum(payload.price) * 100 AS BIGINT) FROM {}.purchases \
               GROUP BY external_id, payload.product_id, unix_micros(updated_at)";
    let key = |texts: &[String]| texts[..3].to_vec();
    let number = |text: &str| text.parse::<i64>().expect("a number");
    let rows = lakehouse.texts(sql).await;
    let expected: BTreeMap<Vec<String>, (i64, i64)> =
        rows.iter().map(|row| (key(row), (number(&row[3]), number(&row[4])))).collect();
    let mut found: BTreeMap<Vec<String>, (i64, i64)> = BTreeMap::new();
    for purchase in read::<Purchase>(&sandbox.lines("braze/purchases").await) {
        let at = purchase.time.as_microsecond().to_string();
        let sums = found.entry(vec![purchase.external_id, purchase.product_id, at]).or_default();
        *sums = (sums.0 + 1, sums.1 + cents(purchase.price.get()));
    }
    same("purchases", &expected, &found);
    let revenue = |sums: &BTreeMap<_, (i64, i64)>| sums.values().map(|(_, cents)| cents).sum::<i64>();
    assert_eq!(revenue(&found), revenue(&expected), "the revenue");
}

#[derive(Deserialize)]
struct Item {
    id: String,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    name: String,
    price: i64,
}

/// The menu, before and after one item is deleted.
async fn items(lakehouse: &Lakehouse, sandbox: &Sandbox, project: &Project) {
    for gone in ["nothing", "JAF-002"] {
        if gone != "nothing" {
            let row = format!(
                "SELECT current_timestamp() AS u, '{gone}' AS i, CAST(NULL AS STRING) AS j, true AS d"
            );
            lakehouse.run(&format!("INSERT INTO {{}}.menu {row}")).await;
            project.run_to("menu", "succeeded", &[("delivered", 1)]);
        }
        let sql = format!(
            "SELECT ID, get_json_object(PAYLOAD, '$.name'), get_json_object(PAYLOAD, '$.price') \
             FROM {{}}.menu WHERE NOT DELETED AND ID <> '{gone}'"
        );
        let expected: BTreeMap<String, Vec<String>> =
            lakehouse.texts(&sql).await.into_iter().map(|row| (row[0].clone(), row[1..].to_vec())).collect();
        let items: Vec<Item> = read(&sandbox.lines("braze/catalogs/menu").await);
        let found = (items.into_iter())
            .map(|Item { id, fields }| (id, vec![fields.name, fields.price.to_string()]))
            .collect();
        same("the menu", &expected, &found);
    }
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
    // Before a run has begun, there is nothing to wait for: it says so, and leaves nothing behind.
    lakehouse.set(&json!({ "faults": { "submit": ["429"] } })).await;
    let ended = project.done(&["run", "visits"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("Databricks answered 429"), "{ended:?}");

    // What goes wrong later is waited for. The first token is the one that describes the table.
    lakehouse
        .set(&json!({
            "rows_per_part": 50, "pending": 10,
            "faults": {
                "token": ["", "503"], "poll": ["503", "429", "expired", "drop"],
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
