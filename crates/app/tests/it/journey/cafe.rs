//! A year of a café, out of PostgreSQL into both platforms, compared row by row.

use std::collections::BTreeMap;
use std::process::Command;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::support::{Database, Project, Sandbox, repository, same, variable};

/// What each sync says it delivers, in the order of the example.
const SYNCS: &[(&str, &str)] = &[
    ("customers_to_braze", "customers"),
    ("customers_to_onesignal", "customers"),
    ("orders_to_braze", "orders"),
    ("orders_to_onesignal", "orders"),
    ("purchases_to_braze", "orders"),
    ("purchases_to_onesignal", "orders"),
    ("products_to_braze", "products"),
    ("tweets_to_braze", "tweets"),
    ("tweets_to_onesignal", "tweets"),
];

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

#[derive(Deserialize)]
struct Purchase {
    external_id: String,
    product_id: String,
    currency: String,
    price: Box<RawValue>,
    quantity: i64,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    price: Box<RawValue>,
    description: String,
}

#[tokio::test]
async fn journey_a_year_of_a_cafe_arrives_complete_and_exact() {
    let shop = Database::create().await;
    let loaded = Command::new(repository().join("examples/jaffle/load"))
        .args([shop.url(), variable("TIDEGATE_TEST_JAFFLE")])
        .status();
    assert!(loaded.expect("psql runs").success());
    let sandbox = Sandbox::start(&[]);
    let project = example(&shop, &sandbox);
    let fields = [("name", "string"), ("type", "string"), ("price", "number"), ("description", "string")];
    sandbox.make_catalog("menu", &fields).await;

    // Users first: OneSignal takes nothing for a user it does not know.
    let users = project.json(&["run", "customers_to_braze", "customers_to_onesignal"]);
    let rest: Vec<&str> = SYNCS[2..].iter().map(|(sync, _)| *sync).collect();
    let rest = project.json(&[&["run", "--parallel", "7"], rest.as_slice()].concat());
    let runs: Vec<&Value> = users.as_array().into_iter().chain(rest.as_array()).flatten().collect();
    assert_eq!(runs.len(), SYNCS.len());
    let long = shop.count("SELECT count(*) FROM tweets WHERE char_length(content) > 255").await;
    assert!(long > 0, "the year has tweets that Braze does not take");
    for (run, (sync, table)) in runs.into_iter().zip(SYNCS) {
        assert_eq!(run["sync"], *sync);
        let rows = shop.count(&format!("SELECT count(*) FROM {table}")).await;
        let refused = if *sync == "tweets_to_braze" { long } else { 0 };
        let expected = [rows, rows - refused, refused, 0];
        let counts = ["read", "delivered", "rejected", "in_doubt"].map(|name| run["counts"][name].as_u64());
        assert_eq!(counts, expected.map(Some), "{run:#}");
        assert_eq!(run["ending"], if refused > 0 { "partial" } else { "succeeded" });
    }

    customers(&shop, &sandbox).await;
    for vendor in ["braze", "onesignal"] {
        activity(&shop, &sandbox, vendor).await;
        purchases(&shop, &sandbox, vendor).await;
    }
    products(&shop, &sandbox).await;
    refusals(&shop, &project, long).await;
    again(&project, &sandbox).await;
}

/// The project of the repository, with the sandbox on its port.
fn example(shop: &Database, sandbox: &Sandbox) -> Project {
    let yaml = std::fs::read_to_string(repository().join("examples/jaffle/tidegate.yaml")).expect("read");
    let served = format!("endpoint: \"{}\"", sandbox.url);
    let mut project = Project::new(&yaml.replace("endpoint: sandbox", &served));
    project.set("JAFFLE_HOST", "127.0.0.1");
    project.set("JAFFLE_PORT", shop.port().to_string());
    project.set("JAFFLE_DATABASE", &shop.name);
    project.set("JAFFLE_PASSWORD", shop.password());
    project
}

async fn customers(shop: &Database, sandbox: &Sandbox) {
    let rows = shop.client.query("SELECT id::text, name, email FROM customers", &[]).await.expect("rows");
    let expected: BTreeMap<String, (String, String)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    for (vendor, name) in [("braze", "/attributes/name"), ("onesignal", "/attributes/tags/name")] {
        let users = sandbox.effects(&format!("{vendor}/users")).await;
        assert_eq!(users.len(), expected.len(), "{vendor} has each customer once");
        let text = |user: &Value, at: &str| user.pointer(at).and_then(Value::as_str).unwrap_or("").to_owned();
        let found = (users.iter())
            .map(|user| (text(user, "/external_id"), (text(user, name), text(user, "/email"))))
            .collect();
        same(&format!("customers in {vendor}"), &expected, &found);
    }
}

/// Orders and tweets: every one once, with its user, its time and what it says.
async fn activity(shop: &Database, sandbox: &Sandbox, vendor: &str) {
    let events: Vec<Event> = read(&sandbox.lines(&format!("{vendor}/events")).await);
    let (orders, tweets): (Vec<Event>, Vec<Event>) =
        events.into_iter().partition(|event| event.name == "order_placed");

    let sql = "SELECT id::text, customer::text, (extract(epoch FROM ordered_at) * 1000000)::bigint, \
               order_total::bigint FROM orders";
    let rows = shop.client.query(sql, &[]).await.expect("rows");
    let expected: BTreeMap<String, (String, i64, i64)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3)))).collect();
    assert_eq!(orders.len(), expected.len(), "{vendor} has each order once");
    let total: i64 = orders.iter().filter_map(|order| order.properties.order_total).sum();
    assert_eq!(
        total,
        expected.values().map(|order| order.2).sum::<i64>(),
        "the sum of all orders in {vendor}"
    );
    let found = (orders.into_iter())
        .map(|order| {
            let total = order.properties.order_total.unwrap_or_default();
            (order.properties.id, (order.external_id, order.time.as_microsecond(), total))
        })
        .collect();
    same(&format!("orders in {vendor}"), &expected, &found);

    let fits = if vendor == "braze" { "char_length(content) <= 255" } else { "true" };
    let sql = format!(
        "SELECT id::text, user_id::text, (extract(epoch FROM tweeted_at) * 1000000)::bigint, content \
         FROM tweets WHERE {fits}"
    );
    let rows = shop.client.query(&sql, &[]).await.expect("rows");
    let expected: BTreeMap<String, (String, i64, String)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3)))).collect();
    assert_eq!(tweets.len(), expected.len(), "{vendor} has each tweet once");
    assert!(tweets.iter().all(|tweet| tweet.name == "tweeted"));
    let found = (tweets.into_iter())
        .map(|tweet| {
            let content = tweet.properties.content.unwrap_or_default();
            (tweet.properties.id, (tweet.external_id, tweet.time.as_microsecond(), content))
        })
        .collect();
    same(&format!("tweets in {vendor}"), &expected, &found);
}

/// Purchases have no id at the platforms: each user's at each store are counted and summed, in cents.
async fn purchases(shop: &Database, sandbox: &Sandbox, vendor: &str) {
    let sql = "SELECT customer::text, store_id::text, count(*), sum(order_total)::bigint \
               FROM orders GROUP BY 1, 2";
    let rows = shop.client.query(sql, &[]).await.expect("rows");
    let expected: BTreeMap<(String, String), (i64, i64)> =
        rows.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect();
    let mut found: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
    for purchase in read::<Purchase>(&sandbox.lines(&format!("{vendor}/purchases")).await) {
        assert_eq!((purchase.currency.as_str(), purchase.quantity), ("USD", 1));
        let sums = found.entry((purchase.external_id, purchase.product_id)).or_default();
        *sums = (sums.0 + 1, sums.1 + cents(purchase.price.get()));
    }
    same(&format!("purchases in {vendor}"), &expected, &found);
    let total = |sums: &BTreeMap<_, (i64, i64)>| sums.values().map(|(_, cents)| cents).sum::<i64>();
    assert_eq!(total(&found), total(&expected), "the revenue in {vendor}");
}

async fn products(shop: &Database, sandbox: &Sandbox) {
    let sql = "SELECT sku, name, type, price::bigint, description FROM products";
    let rows = shop.client.query(sql, &[]).await.expect("rows");
    let expected: BTreeMap<String, (String, String, i64, String)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3), row.get(4)))).collect();
    let items: Vec<Item> = read(&sandbox.lines("braze/catalogs/menu").await);
    let found = (items.into_iter())
        .map(|Item { id, fields }| {
            let price = cents(fields.price.get());
            (id, (fields.name, fields.kind, price, fields.description))
        })
        .collect();
    same("the menu", &expected, &found);
}

/// Exactly the tweets that are too long are in the ledger, each with its reason and its user.
async fn refusals(shop: &Database, project: &Project, long: u64) {
    let sql =
        "SELECT id::text, user_id::text, char_length(content) FROM tweets WHERE char_length(content) > 255";
    let rows = shop.client.query(sql, &[]).await.expect("rows");
    let expected: BTreeMap<String, (String, bool)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), true))).collect();
    let entries = project.rows(&["--rejected"]);
    assert_eq!(entries.len() as u64, long);
    let lengths: BTreeMap<String, i32> = rows.iter().map(|row| (row.get(0), row.get(2))).collect();
    let found = (entries.iter())
        .map(|entry| {
            assert_eq!((&entry["sync"], &entry["object"]), (&"tweets_to_braze".into(), &"event".into()));
            assert_eq!(entry["reason"]["code"], "text_too_long");
            let key = entry["key"].as_str().expect("a key").to_owned();
            let message = entry["reason"]["message"].as_str().expect("a sentence");
            let told = message.contains(&lengths.get(&key).copied().unwrap_or_default().to_string());
            (key, (entry["user"].as_str().expect("a user").to_owned(), told))
        })
        .collect();
    same("rejected tweets", &expected, &found);
}

/// A second run of everything sends nothing that was sent before.
async fn again(project: &Project, sandbox: &Sandbox) {
    let before = [sandbox.stats("braze").await, sandbox.stats("onesignal").await];
    let runs = project.json(&["run", "--all"]);
    for run in runs.as_array().into_iter().flatten() {
        assert_eq!(run["ending"], "succeeded", "{run:#}");
        let sync = run["sync"].as_str().expect("a name");
        if ["orders", "purchases", "tweets"].iter().any(|table| sync.starts_with(table)) {
            assert_eq!(run["counts"]["delivered"], 0, "{run:#}");
            assert_eq!(run["counts"]["skipped"], run["counts"]["read"], "{run:#}");
        }
    }
    let after = [sandbox.stats("braze").await, sandbox.stats("onesignal").await];
    for (before, after) in before.iter().zip(&after) {
        for kind in ["users", "events", "purchases", "catalog_items"] {
            assert_eq!(before[kind], after[kind], "{kind}");
        }
    }
}

pub(super) fn read<T: DeserializeOwned>(lines: &[String]) -> Vec<T> {
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|cause| panic!("{cause}: {line}")))
        .collect()
}

/// An amount of dollars with up to two decimals, in cents; no float has touched it.
pub(super) fn cents(text: &str) -> i64 {
    let (dollars, rest) = text.split_once('.').unwrap_or((text, ""));
    assert!(rest.len() <= 2, "{text} has parts of a cent");
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|cause| panic!("{text}: {cause}"));
    number(dollars) * 100 + number(&format!("{rest:0<2}"))
}
