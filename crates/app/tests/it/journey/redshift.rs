//! The year of the café in tables made for cloud ingestion, out of Redshift into Braze: what arrives is
//! compared with SQL over the tables, row by row.
//!
//! The first month in the suite; `TIDEGATE_TEST_JAFFLE_DAYS=366` for all of it.

use super::ingestion;
use crate::redshift::Redshift;
use crate::support::{Project, Sandbox};

/// The columns that the vendor documents for Redshift, comments included.
const VENDOR: &str = "updated_at timestamptz default sysdate,
--at least one of external_id, alias_name and alias_label, or braze_id is required
external_id varchar,
--if using user alias, both alias_name and alias_label are required
alias_label varchar,
alias_name varchar,
--braze_id can only be used to update existing users created through the Braze SDK
braze_id varchar,
--If you include both email and phone, we will use the email as the primary identifier
email varchar,
phone varchar,
payload varchar(max)";

/// Each table: its name, its columns, those that are filled, what fills them, and where its sync leads.
const TABLES: &[(&str, &str, &str, &str, &str)] = &[
    (
        "attributes",
        VENDOR,
        "updated_at, external_id, payload",
        "TIMESTAMPTZ '2018-09-01 00:00:00+00' + LENGTH(name) * INTERVAL '1 microsecond', id, \
         '{\"full_name\":\"' || REPLACE(name, '\"', '\\\\\"') || '\"}' FROM customers",
        "object: user",
    ),
    (
        "attributes_as_super",
        "UPDATED_AT TIMESTAMP NOT NULL, EXTERNAL_ID VARCHAR, PAYLOAD SUPER",
        "updated_at, external_id, payload",
        "TIMESTAMP '2018-09-02 00:00:00', id, JSON_PARSE('{\"seats\":9007199254740993,\"share\":' || \
         CAST(LENGTH(name) / 8.0 AS DECIMAL(9,2)) || ',\"since\":\"2018-09-01\"}') FROM customers",
        "object: user",
    ),
    (
        "tweet_events",
        VENDOR,
        "updated_at, external_id, payload",
        "tweeted_at AT TIME ZONE 'UTC', user_id, '{\"name\":\"tweeted\",\"properties\":{\"id\":\"' || id || '\",\"content\":\"' || \
         REPLACE(REPLACE(content, '\\\\', '\\\\\\\\'), '\"', '\\\\\"') || '\"}}' FROM tweets WHERE tweeted_at < {until}",
        "object: event",
    ),
    (
        "order_events",
        "UPDATED_AT TIMESTAMP NOT NULL, EXTERNAL_ID VARCHAR, PAYLOAD SUPER",
        "updated_at, external_id, payload",
        "ordered_at + order_total * INTERVAL '1 microsecond', customer, JSON_PARSE('{\"name\":\"order_placed\",\"properties\":{\"id\":\"' || id || \
         '\",\"order_total\":' || order_total || '}}') FROM orders WHERE ordered_at < {until}",
        "object: event",
    ),
    (
        "purchases",
        "updated_at TIMESTAMPTZ, external_id VARCHAR, payload SUPER",
        "updated_at, external_id, payload",
        "ordered_at AT TIME ZONE 'UTC', customer, JSON_PARSE('{\"product_id\":\"' || store_id || '\",\"currency\":\"USD\",\"price\":' || \
         CAST(order_total / 100.0 AS DECIMAL(12,2)) || ',\"quantity\":1}') FROM orders WHERE ordered_at < {until}",
        "object: purchase",
    ),
    (
        "menu",
        "UPDATED_AT TIMESTAMPTZ, ID VARCHAR, PAYLOAD VARCHAR(MAX), DELETED BOOLEAN",
        "updated_at, id, payload, deleted",
        "TIMESTAMPTZ '2018-09-01 00:00:00+00', sku, '{\"name\":\"' || name || '\",\"price\":' || price || '}', FALSE FROM products",
        "object: catalog_item, catalog: menu",
    ),
];

async fn fill(redshift: &Redshift, days: u32) {
    redshift.load_the_cafe();
    redshift.run("CREATE SCHEMA ingestion").await;
    for (table, columns, filled, select, _) in TABLES {
        redshift.run(&format!("CREATE TABLE ingestion.{table} (\n{columns}\n)")).await;
        let until = format!("(TIMESTAMP '2018-09-01 00:00:00' + INTERVAL '{days} days')");
        let select = select.replace("{until}", &until);
        redshift.run(&format!("INSERT INTO ingestion.{table} ({filled}) SELECT {select}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journey_a_cafe_in_cloud_ingestion_tables_of_redshift_arrives_complete_and_exact() {
    let days = std::env::var("TIDEGATE_TEST_JAFFLE_DAYS").map_or(31, |days| days.parse().expect("a number"));
    let redshift = Redshift::new().await;
    fill(&redshift, days).await;
    let sandbox = Sandbox::start(&[]);
    sandbox.make_catalog("menu", &[("name", "string"), ("price", "number")]).await;
    let user = redshift.reader("ingestion", "Secret-1").await;
    // In upper case, as the vendor's page has it.
    let tables: Vec<(&str, &str)> = TABLES.iter().map(|(table, .., object)| (*table, *object)).collect();
    let syncs = ingestion::syncs("red", &tables).replace("table: ", "table: INGESTION.");
    let connections = format!("{}{}", redshift.connection(&user, "Secret-1"), sandbox.connections());
    let project = Project::new(&format!("connections:\n{connections}{syncs}"));

    let properties = "CAST(payload AS SUPER) -> 'properties'";
    let long = format!("LENGTH({properties} ->> 'content') > 255");
    let refused = redshift.count(&format!("SELECT COUNT(*) FROM ingestion.tweet_events WHERE {long}")).await;
    for (table, ..) in TABLES {
        let rows = redshift.count(&format!("SELECT COUNT(*) FROM ingestion.{table}")).await;
        ingestion::run(&project, table, rows, if *table == "tweet_events" { refused } else { 0 });
    }
    let users = "SELECT a.external_id, CAST(a.payload AS SUPER) ->> 'full_name', b.payload ->> 'seats', \
                 CAST(CAST(b.payload ->> 'share' AS DECIMAL(9,2)) * 100 AS INTEGER), b.payload ->> 'since' \
                 FROM ingestion.attributes a JOIN ingestion.attributes_as_super b ON a.external_id = b.external_id";
    ingestion::users(&sandbox, &redshift.run(users).await).await;
    let at = "CAST(EXTRACT(EPOCH FROM updated_at) * 1000000 AS BIGINT)";
    let orders = format!(
        "SELECT 'order_placed', payload -> 'properties' ->> 'id', external_id, {at}, payload -> 'properties' ->> 'order_total' \
         FROM ingestion.order_events"
    );
    let tweets = format!(
        "SELECT 'tweeted', {properties} ->> 'id', external_id, {at}, {properties} ->> 'content' \
         FROM ingestion.tweet_events WHERE NOT {long}"
    );
    let rows = [redshift.run(&orders).await, redshift.run(&tweets).await].concat();
    ingestion::events(&sandbox, &rows).await;
    let purchases = format!(
        "SELECT external_id, payload ->> 'product_id', {at}, COUNT(*), CAST(SUM(CAST(payload ->> 'price' AS DECIMAL(12,2))) * 100 AS BIGINT) \
         FROM ingestion.purchases GROUP BY 1, 2, 3"
    );
    ingestion::purchases(&sandbox, &redshift.run(&purchases).await).await;
    // The menu, before and after one item is deleted.
    for gone in ["nothing", "JAF-002"] {
        if gone != "nothing" {
            redshift.run(&format!("INSERT INTO ingestion.menu SELECT SYSDATE, '{gone}', NULL, TRUE")).await;
            project.run_to("menu", "succeeded", &[("delivered", 1)]);
        }
        let menu = format!(
            "SELECT id, CAST(payload AS SUPER) ->> 'name', CAST(payload AS SUPER) ->> 'price' FROM ingestion.menu \
             WHERE NOT deleted AND id <> '{gone}'"
        );
        ingestion::items(&sandbox, &redshift.run(&menu).await).await;
    }
    let tables: Vec<&str> = TABLES.iter().map(|(table, ..)| *table).collect();
    ingestion::nothing_is_sent_twice(&project, &sandbox, &tables).await;
}
