//! The year of the café in tables made for cloud ingestion, out of BigQuery into Braze: what arrives is
//! compared with SQL over the tables, row by row.
//!
//! The first month in the suite; `TIDEGATE_TEST_JAFFLE_DAYS=366` for all of it.

use std::path::Path;

use super::ingestion;
use crate::bigquery::BigQuery;
use crate::support::{Project, Sandbox, variable};

/// The columns that the vendor documents for BigQuery, comments included.
const VENDOR: &str = "updated_at TIMESTAMP DEFAULT current_timestamp,
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
payload JSON";

/// Each table: its name, its columns, those that are filled, what fills them from which file, and where its
/// sync leads. `{at}` is the moment of the row with microseconds that depend on its id.
const TABLES: &[(&str, &str, &str, &str, &str, &str)] = &[
    (
        "attributes",
        VENDOR,
        "updated_at, external_id, payload",
        "{at}, id, TO_JSON(STRUCT(name AS full_name))",
        "customers",
        "object: user",
    ),
    (
        "attributes_as_struct",
        "UPDATED_AT TIMESTAMP NOT NULL, EXTERNAL_ID STRING, PAYLOAD STRUCT<seats INT64, share NUMERIC, since DATE>",
        "UPDATED_AT, EXTERNAL_ID, PAYLOAD",
        "{at}, id, STRUCT(9007199254740993 AS seats, \
         CAST(MOD(ABS(FARM_FINGERPRINT(id)), 10000) AS NUMERIC) / 100 AS share, DATE '2018-09-01' AS since)",
        "customers",
        "object: user",
    ),
    (
        "tweets",
        "updated_at TIMESTAMP, external_id STRING, payload STRING",
        "updated_at, external_id, payload",
        "{at}, user_id, TO_JSON_STRING(STRUCT('tweeted' AS name, STRUCT(id AS id, content AS content) AS properties))",
        "tweets",
        "object: event",
    ),
    (
        "orders",
        "UPDATED_AT TIMESTAMP NOT NULL, EXTERNAL_ID STRING, \
         PAYLOAD STRUCT<name STRING, properties STRUCT<id STRING, order_total INT64>>",
        "UPDATED_AT, EXTERNAL_ID, PAYLOAD",
        "{at}, customer, STRUCT('order_placed' AS name, \
         STRUCT(id AS id, CAST(order_total AS INT64) AS order_total) AS properties)",
        "orders",
        "object: event",
    ),
    (
        "purchases",
        "updated_at TIMESTAMP, external_id STRING, \
         payload STRUCT<product_id STRING, currency STRING, price NUMERIC, quantity INT64>",
        "updated_at, external_id, payload",
        "{at}, customer, STRUCT(store_id AS product_id, 'USD' AS currency, \
         CAST(order_total AS NUMERIC) / 100 AS price, 1 AS quantity)",
        "orders",
        "object: purchase",
    ),
    (
        "menu",
        "UPDATED_AT TIMESTAMP, ID STRING, PAYLOAD JSON, DELETED BOOL",
        "UPDATED_AT, ID, PAYLOAD, DELETED",
        "{at}, sku, TO_JSON(STRUCT(name AS name, CAST(price AS INT64) AS price)), false",
        "products",
        "object: catalog_item, catalog: menu",
    ),
];

/// The columns of a file that say when a row is of, and which it is.
fn moment(file: &str) -> (&'static str, &'static str) {
    match file {
        "orders" => ("ordered_at", "id"),
        "tweets" => ("tweeted_at", "id"),
        "products" => ("'2018-09-01T00:00:00'", "sku"),
        _ => ("'2018-09-01T00:00:00'", "id"),
    }
}

async fn fill(bigquery: &BigQuery, days: u32) {
    let folder = variable("TIDEGATE_TEST_JAFFLE");
    for file in ["customers", "orders", "tweets", "products"] {
        let csv = std::fs::read(Path::new(&folder).join(format!("{file}.csv"))).expect("a file");
        bigquery.load(&format!("raw_{file}"), &csv).await;
    }
    for (table, columns, filled, select, file, _) in TABLES {
        bigquery.texts(&format!("CREATE TABLE {{}}.{table} (\n{columns}\n)")).await;
        let (text, id) = moment(file);
        let day = format!("TIMESTAMP(SUBSTR({text}, 1, 19))");
        let micros = format!("MOD(ABS(FARM_FINGERPRINT({id})), 1000000)");
        let at = format!("TIMESTAMP_ADD({day}, INTERVAL {micros} MICROSECOND)");
        let select = select.replace("{at}", &at);
        let wanted = format!("{day} < TIMESTAMP_ADD(TIMESTAMP '2018-09-01 00:00:00Z', INTERVAL {days} DAY)");
        let from = format!("FROM {{}}.raw_{file} WHERE {wanted}");
        bigquery.texts(&format!("INSERT INTO {{}}.{table} ({filled}) SELECT {select} {from}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journey_a_cafe_in_cloud_ingestion_tables_of_bigquery_arrives_complete_and_exact() {
    let days = std::env::var("TIDEGATE_TEST_JAFFLE_DAYS").map_or(31, |days| days.parse().expect("a number"));
    let bigquery = BigQuery::new().await;
    fill(&bigquery, days).await;
    let sandbox = Sandbox::start(&[]);
    sandbox.make_catalog("menu", &[("name", "string"), ("price", "number")]).await;
    let tables: Vec<(&str, &str)> = TABLES.iter().map(|(table, .., object)| (*table, *object)).collect();
    let connections = format!("{}{}", bigquery.connection(), sandbox.connections());
    let project =
        Project::new(&format!("connections:\n{connections}{}", ingestion::syncs("warehouse", &tables)));
    project.write("key.json", &bigquery.key());

    let checks = project.done(&["check", "attributes"]);
    assert_eq!(checks.code, 0, "{checks:?}");
    assert!(checks.stdout.contains("bigquery.tables.getData"), "{checks:?}");
    assert!(checks.stdout.contains("a read of all rows processes"), "{checks:?}");

    let long = "CHAR_LENGTH(JSON_VALUE(payload, '$.properties.content')) > 255";
    let refused = bigquery.count(&format!("SELECT COUNT(*) FROM {{}}.tweets WHERE {long}")).await;
    for (table, ..) in TABLES {
        let rows = bigquery.count(&format!("SELECT COUNT(*) FROM {{}}.{table}")).await;
        ingestion::run(&project, table, rows, if *table == "tweets" { refused } else { 0 });
    }
    let users = "SELECT a.external_id, JSON_VALUE(a.payload, '$.full_name'), CAST(b.PAYLOAD.seats AS STRING), \
                 CAST(CAST(b.PAYLOAD.share * 100 AS INT64) AS STRING), CAST(b.PAYLOAD.since AS STRING) \
                 FROM {}.attributes a JOIN {}.attributes_as_struct b ON a.external_id = b.EXTERNAL_ID";
    ingestion::users(&sandbox, &bigquery.texts(users).await).await;
    let at = "UNIX_MICROS(updated_at)";
    let orders = format!(
        "SELECT 'order_placed', PAYLOAD.properties.id, EXTERNAL_ID, {at}, PAYLOAD.properties.order_total FROM {{}}.orders"
    );
    let tweets = format!(
        "SELECT 'tweeted', JSON_VALUE(payload, '$.properties.id'), external_id, {at}, \
         JSON_VALUE(payload, '$.properties.content') FROM {{}}.tweets WHERE NOT {long}"
    );
    let rows = [bigquery.texts(&orders).await, bigquery.texts(&tweets).await].concat();
    ingestion::events(&sandbox, &rows).await;
    let purchases = format!(
        "SELECT external_id, payload.product_id, {at}, COUNT(*), CAST(SUM(payload.price) * 100 AS INT64) \
         FROM {{}}.purchases GROUP BY external_id, payload.product_id, updated_at"
    );
    ingestion::purchases(&sandbox, &bigquery.texts(&purchases).await).await;
    // The menu, before and after one item is deleted.
    for gone in ["nothing", "JAF-002"] {
        if gone != "nothing" {
            bigquery
                .texts(&format!("INSERT INTO {{}}.menu SELECT CURRENT_TIMESTAMP(), '{gone}', NULL, true"))
                .await;
            project.run_to("menu", "succeeded", &[("delivered", 1)]);
        }
        let menu = format!(
            "SELECT ID, JSON_VALUE(PAYLOAD, '$.name'), JSON_VALUE(PAYLOAD, '$.price') FROM {{}}.menu \
             WHERE NOT DELETED AND ID <> '{gone}'"
        );
        ingestion::items(&sandbox, &bigquery.texts(&menu).await).await;
    }
    let names: Vec<&str> = TABLES.iter().map(|(table, ..)| *table).collect();
    ingestion::nothing_is_sent_twice(&project, &sandbox, &names).await;
}
