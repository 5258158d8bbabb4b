//! The year of the café in Delta tables, out of a lake into Braze: what arrives is compared with SQL over
//! the tables, row by row.
//!
//! The first month in the suite; `TIDEGATE_TEST_JAFFLE_DAYS=366` for all of it.

use super::ingestion;
use crate::outside::program;
use crate::support::{Project, Sandbox, variable};

/// Has delta-rs and DuckDB do something with the tables.
fn tables(arguments: &[&str]) -> Vec<Vec<String>> {
    let told = program(&variable("TIDEGATE_TEST_LAKE_PYTHON"), "python/lake/jaffle.py", arguments, &[]);
    told.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

#[tokio::test]
async fn journey_a_cafe_in_delta_tables_is_followed_and_arrives_complete_and_exact() {
    let days: u32 =
        std::env::var("TIDEGATE_TEST_JAFFLE_DAYS").map_or(31, |days| days.parse().expect("a number"));
    let sandbox = Sandbox::start(&[]);
    let project = Project::new(&format!(
        "connections:\n  lake: {{ type: delta, path: lake }}\n{}syncs:\n  \
         orders:\n    source: {{ connection: lake, path: orders }}\n    mode: stream\n    primary_key: id\n    \
         destination: {{ connection: braze, object: event }}\n    mapping:\n      external_id: customer\n      \
         name: {{ value: order_placed }}\n      timestamp: ordered_at\n      properties: [id, order_total]\n  \
         tweets:\n    source: {{ connection: lake, path: tweets }}\n    mode: stream\n    primary_key: id\n    \
         destination: {{ connection: braze, object: event }}\n    mapping:\n      external_id: user_id\n      \
         name: {{ value: tweeted }}\n      timestamp: tweeted_at\n      properties: [id, content]\n",
        sandbox.connections()
    ));
    let (lake, csvs) = (project.path().join("lake"), variable("TIDEGATE_TEST_JAFFLE"));
    let lake = lake.to_str().expect("a path of text");
    let count = |sql: &str| tables(&["ask", lake, sql])[0][0].parse::<u64>().expect("a count");

    // The first half is there; the other one comes in as a version of each table.
    let (mut orders, mut tweets, mut long) = (0, 0, 0);
    for (first, last) in [(1, days / 2), (days / 2 + 1, days)] {
        tables(&["append", lake, &csvs, &first.to_string(), &last.to_string()]);
        let all = count("SELECT count(*) FROM {orders}");
        ingestion::run(&project, "orders", all - orders, 0);
        let refused = count("SELECT count(*) FROM {tweets} WHERE length(content) > 255");
        let (all_tweets, more) = (count("SELECT count(*) FROM {tweets}"), refused - long);
        ingestion::run(&project, "tweets", all_tweets - tweets, more);
        (orders, tweets, long) = (all, all_tweets, refused);
    }

    let sent = tables(&[
        "ask",
        lake,
        "SELECT 'order_placed', id, customer, epoch_us(ordered_at), order_total FROM {orders} UNION ALL \
         SELECT 'tweeted', id, user_id, epoch_us(tweeted_at), content FROM {tweets} WHERE length(content) <= 255",
    ]);
    ingestion::events(&sandbox, &sent).await;
    ingestion::nothing_is_sent_twice(&project, &sandbox, &["orders", "tweets"]).await;
}
