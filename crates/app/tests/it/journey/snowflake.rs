//! The year of the café in tables made for cloud ingestion, out of Snowflake into Braze: what arrives is
//! compared with SQL over the tables, row by row.
//!
//! The first month in the suite; `TIDEGATE_TEST_JAFFLE_DAYS=366` for all of it.

use std::path::Path;

use serde_json::json;

use super::ingestion;
use crate::snowflake::Snow;
use crate::support::{Project, Sandbox, variable};

/// The columns that the vendor documents for Snowflake, comments included.
const VENDOR: &str = "UPDATED_AT TIMESTAMP_NTZ(9) NOT NULL DEFAULT SYSDATE(),
--at least one of external_id, alias_name and alias_label, email, phone, or braze_id is required
EXTERNAL_ID VARCHAR(16777216),
--if using user alias, both alias_name and alias_label are required
ALIAS_LABEL VARCHAR(16777216),
ALIAS_NAME VARCHAR(16777216),
--braze_id can only be used to update existing users created through the Braze SDK
BRAZE_ID VARCHAR(16777216),
--If you include both email and phone, we will use the email as the primary identifier
EMAIL VARCHAR(16777216),
PHONE VARCHAR(16777216),
PAYLOAD VARCHAR(16777216) NOT NULL";

/// A moment of a day with nanoseconds that depend on the row.
const MOMENT: &str =
    "(MOMENT || '.' || LPAD(MOD(ABS(HASH(ID)), 1000000000)::VARCHAR, 9, '0'))::TIMESTAMP_NTZ(9)";

/// Each table: its name, its columns, those that are filled, what fills them from which file, and where its
/// sync leads.
const TABLES: &[(&str, &str, &str, &str, &str, &str)] = &[
    (
        "attributes",
        VENDOR,
        "UPDATED_AT, EXTERNAL_ID, PAYLOAD",
        "AT, ID, TO_JSON(OBJECT_CONSTRUCT('full_name', NAME)) FROM (SELECT ID, NAME, '2018-09-01 00:00:00' AS MOMENT",
        "customers",
        "object: user",
    ),
    (
        "attributes_as_variant",
        "UPDATED_AT TIMESTAMP_LTZ NOT NULL, EXTERNAL_ID VARCHAR, PAYLOAD VARIANT",
        "UPDATED_AT, EXTERNAL_ID, PAYLOAD",
        "AT, ID, OBJECT_CONSTRUCT('seats', 9007199254740993, 'share', (MOD(ABS(HASH(ID)), 10000) / 100)::NUMBER(9,2), \
         'since', '2018-09-01') FROM (SELECT ID, '2018-09-02 00:00:00' AS MOMENT",
        "customers",
        "object: user",
    ),
    (
        "tweets",
        VENDOR,
        "UPDATED_AT, EXTERNAL_ID, PAYLOAD",
        "AT, USER_ID, TO_JSON(OBJECT_CONSTRUCT('name', 'tweeted', 'properties', OBJECT_CONSTRUCT('id', ID, 'content', CONTENT))) \
         FROM (SELECT ID, USER_ID, CONTENT, SUBSTR(TWEETED_AT, 1, 19) AS MOMENT",
        "tweets",
        "object: event",
    ),
    (
        "orders",
        "UPDATED_AT TIMESTAMP_NTZ(9) NOT NULL, EXTERNAL_ID VARCHAR, PAYLOAD VARIANT",
        "UPDATED_AT, EXTERNAL_ID, PAYLOAD",
        "AT, CUSTOMER, OBJECT_CONSTRUCT('name', 'order_placed', 'properties', OBJECT_CONSTRUCT('id', ID, 'order_total', ORDER_TOTAL::INTEGER)) \
         FROM (SELECT ID, CUSTOMER, ORDER_TOTAL, SUBSTR(ORDERED_AT, 1, 19) AS MOMENT",
        "orders",
        "object: event",
    ),
    (
        "purchases",
        "updated_at TIMESTAMP_LTZ, external_id VARCHAR, payload VARIANT",
        "UPDATED_AT, EXTERNAL_ID, PAYLOAD",
        "AT, CUSTOMER, OBJECT_CONSTRUCT('product_id', STORE_ID, 'currency', 'USD', 'price', (ORDER_TOTAL::NUMBER(12,2) / 100)::NUMBER(12,2), 'quantity', 1) \
         FROM (SELECT ID, CUSTOMER, STORE_ID, ORDER_TOTAL, SUBSTR(ORDERED_AT, 1, 19) AS MOMENT",
        "orders",
        "object: purchase",
    ),
    (
        "menu",
        "UPDATED_AT TIMESTAMP_NTZ(9), ID VARCHAR, PAYLOAD VARCHAR, DELETED BOOLEAN",
        "UPDATED_AT, ID, PAYLOAD, DELETED",
        "AT, ID, TO_JSON(OBJECT_CONSTRUCT('name', NAME, 'price', PRICE::INTEGER)), FALSE \
         FROM (SELECT SKU AS ID, NAME, PRICE, '2018-09-01 00:00:00' AS MOMENT",
        "products",
        "object: catalog_item, catalog: menu",
    ),
];

async fn fill(snow: &Snow, days: u32) {
    let folder = variable("TIDEGATE_TEST_JAFFLE");
    for (table, columns, filled, select, file, _) in TABLES {
        snow.run(&format!("CREATE TABLE {{}}.{table} (\n{columns}\n)")).await;
        let path = Path::new(&folder).join(format!("{file}.csv"));
        // How the engine of the double reads a file; Snowflake has stages for that.
        let from = format!("READ_CSV('{}', all_varchar => TRUE)", path.display());
        let (cells, inner) = select.split_once(" FROM (").expect("two selects");
        let cells = cells.strip_prefix("AT,").map(|rest| format!("{MOMENT},{rest}")).expect("a moment first");
        let wanted = format!("MOMENT::TIMESTAMP_NTZ < DATEADD(DAY, {days}, '2018-09-01'::TIMESTAMP_NTZ)");
        snow.run(&format!(
            "INSERT INTO {{}}.{table} ({filled}) SELECT {cells} FROM ({inner} FROM {from}) WHERE {wanted}"
        ))
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journey_a_cafe_in_cloud_ingestion_tables_of_snowflake_arrives_complete_and_exact() {
    let days = std::env::var("TIDEGATE_TEST_JAFFLE_DAYS").map_or(31, |days| days.parse().expect("a number"));
    let snow = Snow::new().await;
    fill(&snow, days).await;
    let sandbox = Sandbox::start(&[]);
    sandbox.make_catalog("menu", &[("name", "string"), ("price", "number")]).await;
    let tables: Vec<(&str, &str)> = TABLES.iter().map(|(table, .., object)| (*table, *object)).collect();
    let connections = format!("{}{}", snow.connection(), sandbox.connections());
    let project = Project::new(&format!("connections:\n{connections}{}", ingestion::syncs("snow", &tables)));

    let long = "LENGTH(PARSE_JSON(PAYLOAD):properties.content::VARCHAR) > 255";
    let refused = snow.count(&format!("SELECT COUNT(*) FROM {{}}.tweets WHERE {long}")).await;
    for (table, ..) in TABLES {
        let rows = snow.count(&format!("SELECT COUNT(*) FROM {{}}.{table}")).await;
        ingestion::run(&project, table, rows, if *table == "tweets" { refused } else { 0 });
    }
    let users = "SELECT a.EXTERNAL_ID, PARSE_JSON(a.PAYLOAD):full_name::VARCHAR, b.PAYLOAD:seats::VARCHAR, \
                 (b.PAYLOAD:share::NUMBER(9,2) * 100)::NUMBER(9,0), b.PAYLOAD:since::VARCHAR \
                 FROM {}.attributes a JOIN {}.attributes_as_variant b ON a.EXTERNAL_ID = b.EXTERNAL_ID";
    ingestion::users(&sandbox, &snow.texts(users).await).await;
    let at = "DATE_PART(EPOCH_MICROSECOND, UPDATED_AT)";
    let orders = format!(
        "SELECT 'order_placed', PAYLOAD:properties.id::VARCHAR, EXTERNAL_ID, {at}, PAYLOAD:properties.order_total::VARCHAR FROM {{}}.orders"
    );
    let of = "PARSE_JSON(PAYLOAD):properties";
    let tweets = format!(
        "SELECT 'tweeted', {of}.id::VARCHAR, EXTERNAL_ID, {at}, {of}.content::VARCHAR FROM {{}}.tweets WHERE NOT {long}"
    );
    let rows = [snow.texts(&orders).await, snow.texts(&tweets).await].concat();
    ingestion::events(&sandbox, &rows).await;
    let purchases = format!(
        "SELECT EXTERNAL_ID, PAYLOAD:product_id::VARCHAR AS P, {at} AS T, COUNT(*), \
         (SUM(PAYLOAD:price::NUMBER(12,2)) * 100)::NUMBER(12,0) FROM {{}}.purchases GROUP BY EXTERNAL_ID, P, T"
    );
    ingestion::purchases(&sandbox, &snow.texts(&purchases).await).await;
    // The menu, before and after one item is deleted.
    for gone in ["nothing", "JAF-002"] {
        if gone != "nothing" {
            snow.run(&format!("INSERT INTO {{}}.menu SELECT SYSDATE(), '{gone}', NULL, TRUE")).await;
            project.run_to("menu", "succeeded", &[("delivered", 1)]);
        }
        let menu = format!(
            "SELECT ID, PARSE_JSON(PAYLOAD):name::VARCHAR, PARSE_JSON(PAYLOAD):price::VARCHAR \
             FROM {{}}.menu WHERE NOT DELETED AND ID <> '{gone}'"
        );
        ingestion::items(&sandbox, &snow.texts(&menu).await).await;
    }
    let tables: Vec<&str> = TABLES.iter().map(|(table, ..)| *table).collect();
    ingestion::nothing_is_sent_twice(&project, &sandbox, &tables).await;
}

/// A warehouse that resumes, throttling, a token that is refused, connections that are cut in each phase.
#[tokio::test]
async fn journey_a_run_over_snowflake_that_fails_in_each_phase_is_complete_and_says_what_it_waits_for() {
    let snow = Snow::new().await;
    snow.run("CREATE TABLE {}.VISITS (ID NUMBER(38,0) PRIMARY KEY, VISITOR VARCHAR, SEEN TIMESTAMP_LTZ)")
        .await;
    snow.run(
        "INSERT INTO {}.VISITS SELECT SEQ4(), 'u' || (SEQ4() % 7), CURRENT_TIMESTAMP() FROM TABLE(GENERATOR(ROWCOUNT => 300))",
    )
    .await;
    let sandbox = Sandbox::start(&["--memory"]);
    let project = Project::new(&format!(
        "connections:\n{}{}syncs:\n  visits:\n    source: {{ connection: snow, table: visits }}\n    cursor: seen\n    \
         primary_key: id\n    destination: {{ connection: braze, object: event }}\n    mapping:\n      external_id: visitor\n      \
         name: {{ value: visited }}\n      timestamp: seen\n      properties: [id]\n",
        snow.connection(),
        sandbox.connections()
    ));
    let checks = project.done(&["check", "visits"]);
    assert_eq!(checks.code, 0, "{checks:?}");
    snow.set(&json!({ "without": [format!("USAGE on SCHEMA SHOP.{}", snow.schema)] })).await;
    let checks = project.done(&["check", "visits"]);
    assert_ne!(checks.code, 0, "{checks:?}");
    let grant = format!("GRANT USAGE ON SCHEMA \"SHOP\".\"{}\" TO ROLE \"TIDEGATE_ROLE\";", snow.schema);
    assert!(checks.stdout.contains(&grant), "{checks:?}");

    // What goes wrong is waited for.
    snow.set(&json!({
        "rows_per_part": 50, "pending": 12, "pending_for": "SELECT \"",
        "faults": {
            "submit": ["429", "drop", "503", "expired"], "poll": ["503", "429", "expired", "drop"],
            "part": ["drop", "503", "expired", "429"],
        },
    }))
    .await;
    let ended = project.done(&["run", "visits"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let waits = "the warehouse TIDEGATE_WH is resuming";
    assert!(ended.stderr.contains(waits), "{}", ended.stderr);
    assert_eq!(snow.seen().await["faults"], 0, "each fault was met");
    assert_eq!(snow.seen().await["open"], 0, "nothing is left running");
    let times = sandbox.times("braze/events", "/properties/id").await;
    assert_eq!(times, (0..300).map(|id| (id.to_string(), 1)).collect());
}
