//! Events come in by HTTP, are durable, and go out.

mod arriving;
mod asking;
mod backup;
mod kafka_log;
mod refusing;
mod requested;
mod standing;
mod strangers;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::json;

use crate::outside::table_ids;
use crate::served::{Served, until};
use crate::support::Project;

pub(crate) const TOKEN: &str = "a-token-of-the-shops-own";
const BEARER: (&str, &str) = ("authorization", "Bearer a-token-of-the-shops-own");

/// The stream of a shop's own events, as a project writes it.
pub(crate) const SHOP: &str = "  shop: { type: events, token: a-token-of-the-shops-own }\n";

/// The events with these numbers, one a line: each third one is an order, of ten users.
fn events(numbers: Range<u32>) -> String {
    numbers
        .map(|number| {
            let kind = if number % 3 == 0 { "order.placed" } else { "page.viewed" };
            let (id, user) = (format!("e{number}"), format!("u{}", number % 10));
            json!({ "id": id, "kind": kind, "user_id": user, "app_id": "web", "number": number }).to_string()
                + "\n"
        })
        .collect()
}

/// The ids of these events, once each.
fn ids(numbers: impl IntoIterator<Item = u32>) -> BTreeMap<String, u32> {
    numbers.into_iter().map(|number| (format!("e{number}"), 1)).collect()
}

/// Sends the events with these numbers, which must be taken.
async fn send(served: &Served, numbers: Range<u32>) {
    let count = numbers.len();
    let answer = served.post("/in/events/shop", &[BEARER], events(numbers)).await;
    assert_eq!((answer.status, answer.json()), (202, json!({ "accepted": count })));
}

/// The Delta table that an export writes.
fn table(project: &Project, name: &str) -> PathBuf {
    project.path().join("lake/shop_events").join(name)
}

/// Waits until a Delta table holds exactly these events, once each.
async fn arrived(project: &Project, name: &str, expected: &BTreeMap<String, u32>) {
    let place = table(project, name);
    let mut found = BTreeMap::new();
    until(&format!("{} events in {name}", expected.len()), async || {
        found = table_ids("delta", &place);
        (found.len() >= expected.len()).then_some(())
    })
    .await;
    crate::support::same(name, expected, &found);
}
