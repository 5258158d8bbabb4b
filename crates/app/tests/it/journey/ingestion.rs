//! The café in tables made for cloud ingestion, whichever warehouse they are in: the syncs, their runs, and
//! what has to have arrived, compared with rows that a query gave as texts. Times are microseconds, which
//! is what arrives at Braze.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::cafe::{cents, read};
use crate::support::{Project, Sandbox, same};

/// The syncs of a project, one for each table and the object that its rows become.
pub(super) fn syncs(connection: &str, tables: &[(&str, &str)]) -> String {
    let mut yaml = "syncs:\n".to_owned();
    for (table, object) in tables {
        yaml.push_str(&format!(
            "  {table}:\n    source: {{ connection: {connection}, table: {table} }}\n    contract: braze_cdi\n    \
             destination: {{ connection: braze, {object} }}\n"
        ));
    }
    yaml
}

/// Runs a sync whose table has this number of rows, of which `refused` are refused.
pub(super) fn run(project: &Project, table: &str, rows: u64, refused: u64) {
    let ending = if refused > 0 { "partial" } else { "succeeded" };
    let counts = [("read", rows), ("delivered", rows - refused), ("rejected", refused), ("in_doubt", 0)];
    project.run_to(table, ending, &counts);
    eprintln!("{table}: {rows} rows read, {refused} rejected");
}

/// A second run of everything sends nothing.
pub(super) async fn nothing_is_sent_twice(project: &Project, sandbox: &Sandbox, tables: &[&str]) {
    let before = sandbox.stats("braze").await;
    for table in tables {
        let run = project.run(table);
        assert_eq!(run["counts"]["delivered"], 0, "{table} sends nothing twice: {run:#}");
    }
    assert_eq!(before, sandbox.stats("braze").await);
}

fn microseconds(at: Timestamp) -> String {
    at.as_microsecond().to_string()
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

/// Each user once, with what two tables say. Rows: id, name, seats, hundredths of the share, day.
pub(super) async fn users(sandbox: &Sandbox, rows: &[Vec<String>]) {
    let expected: BTreeMap<String, Vec<String>> =
        rows.iter().map(|row| (row[0].clone(), row[1..].to_vec())).collect();
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

/// Each event once. Rows: name, id, user, time, and what it says.
pub(super) async fn events(sandbox: &Sandbox, rows: &[Vec<String>]) {
    let expected: BTreeMap<(String, String), Vec<String>> =
        rows.iter().map(|row| ((row[0].clone(), row[1].clone()), row[2..].to_vec())).collect();
    let events: Vec<Event> = read(&sandbox.lines("braze/events").await);
    assert_eq!(events.len(), expected.len(), "each event once");
    let found = (events.into_iter())
        .map(|Event { external_id, name, time, properties: Properties { id, order_total, content } }| {
            let said = content.or_else(|| order_total.map(|total| total.to_string())).unwrap_or_default();
            ((name, id), vec![external_id, microseconds(time), said])
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

/// Purchases have no id at the platform: each user's at each moment are counted and summed. Rows: user,
/// product, time, count, sum of the cents.
pub(super) async fn purchases(sandbox: &Sandbox, rows: &[Vec<String>]) {
    let number = |text: &str| text.parse::<i64>().expect("a number");
    let expected: BTreeMap<Vec<String>, (i64, i64)> =
        rows.iter().map(|row| (row[..3].to_vec(), (number(&row[3]), number(&row[4])))).collect();
    let mut found: BTreeMap<Vec<String>, (i64, i64)> = BTreeMap::new();
    for purchase in read::<Purchase>(&sandbox.lines("braze/purchases").await) {
        let key = vec![purchase.external_id, purchase.product_id, microseconds(purchase.time)];
        let sums = found.entry(key).or_default();
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

/// The items of the menu. Rows: id, name, price.
pub(super) async fn items(sandbox: &Sandbox, rows: &[Vec<String>]) {
    let expected: BTreeMap<String, Vec<String>> =
        rows.iter().map(|row| (row[0].clone(), row[1..].to_vec())).collect();
    let items: Vec<Item> = read(&sandbox.lines("braze/catalogs/menu").await);
    let found = (items.into_iter())
        .map(|Item { id, fields }| (id, vec![fields.name, fields.price.to_string()]))
        .collect();
    same("the menu", &expected, &found);
}
