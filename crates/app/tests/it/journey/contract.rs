//! Tables made for cloud ingestion work unchanged: every object, as JSON and as text.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Database, Project, Sandbox};

fn project(database: &Database, sandbox: &Sandbox, syncs: &[(&str, &str, &str)]) -> Project {
    let mut yaml =
        format!("connections:\n  db: {}\n{}syncs:\n", database.connection(), sandbox.connections());
    for (name, table, to) in syncs {
        yaml.push_str(&format!(
            "  {name}:\n    source: {{ connection: db, table: {table} }}\n    \
             destination: {{ connection: braze, {to} }}\n    contract: braze_cdi\n"
        ));
    }
    Project::new(&yaml)
}

#[tokio::test]
async fn journey_cloud_ingestion_tables_of_users_work_unchanged() {
    let database = Database::create().await;
    let sandbox = Sandbox::start(&["--memory"]);
    for (table, payload) in [("as_json", "jsonb"), ("as_text", "text")] {
        database
            .run(&format!(
                r#"CREATE TABLE {table} ("UPDATED_AT" timestamptz NOT NULL, "EXTERNAL_ID" text, "EMAIL" text, "PAYLOAD" {payload});
                   INSERT INTO {table} VALUES
                     (now() - interval '3 hours', '{table}-1', NULL, '{{"plan": "pro", "seats": 12345678901234567890.5}}'),
                     (now() - interval '2 hours', NULL, '{table}@example.com', '{{"plan": "free"}}'),
                     (now() - interval '1 hour', '{table}-2', 'two@example.com', '{{"plan": "both"}}'),
                     (now(), '{table}-3', NULL, '[1]')"#
            ))
            .await;
    }
    let syncs = [("as_json", "as_json", "object: user"), ("as_text", "as_text", "object: user")];
    let project = project(&database, &sandbox, &syncs);
    for table in ["as_json", "as_text"] {
        project.run_to(table, "partial", &[("read", 4), ("delivered", 2), ("rejected", 2)]);
        let rejected = project.rows(&["--rejected", "--sync", table]);
        let codes: BTreeSet<&str> =
            rejected.iter().filter_map(|row| row["reason"]["code"].as_str()).collect();
        assert_eq!(codes, BTreeSet::from(["not_an_object", "two_identifiers"]));
    }
    let users = sandbox.effects("braze/users").await;
    for table in ["as_json", "as_text"] {
        let named = users.iter().find(|user| user["external_id"] == format!("{table}-1"));
        assert_eq!(named.expect("arrived")["attributes"]["plan"], "pro");
        let mailed = users.iter().find(|user| user["email"] == format!("{table}@example.com"));
        assert_eq!(mailed.expect("arrived")["attributes"]["plan"], "free");
    }
    assert_eq!(users.len(), 4, "nothing else arrived");

    // Only what has a new UPDATED_AT goes again.
    database
        .run(
            r#"UPDATE as_json SET "PAYLOAD" = '{"plan": "max"}', "UPDATED_AT" = now()
               WHERE "EXTERNAL_ID" = 'as_json-1'"#,
        )
        .await;
    let run = project.run("as_json");
    assert_eq!(run["counts"]["delivered"], 1, "{run:#}");
    let users = sandbox.effects("braze/users").await;
    let changed = users.iter().find(|user| user["external_id"] == "as_json-1").expect("is there");
    assert_eq!(changed["attributes"]["plan"], "max");
}

#[tokio::test]
async fn journey_cloud_ingestion_tables_of_events_and_purchases_work_unchanged() {
    let database = Database::create().await;
    let sandbox = Sandbox::start(&["--memory"]);
    // Names in small letters are what PostgreSQL makes of the contract's.
    database
        .run(
            r#"CREATE TABLE events (UPDATED_AT timestamptz NOT NULL, EXTERNAL_ID text, EMAIL text, PAYLOAD text);
               INSERT INTO events VALUES
                 (now() - interval '1 hour', 'ada', NULL, '{"name": "opened", "time": "2026-01-02T03:04:05Z", "properties": {"deep": {"list": [1, "é"]}}}'),
                 ('2026-02-03T04:05:06Z', NULL, 'ada@example.com', '{"name": "closed"}');
               CREATE TABLE purchases (UPDATED_AT timestamptz NOT NULL, EXTERNAL_ID text, EMAIL text, PAYLOAD jsonb);
               INSERT INTO purchases VALUES
                 (now(), 'ada', NULL, '{"product_id": "tea", "currency": "EUR", "price": 4.20, "quantity": 3, "properties": {"iced": true}}'),
                 (now(), 'ada', NULL, '{"product_id": "tea", "currency": "EUR"}')"#,
        )
        .await;
    let syncs = [("events", "events", "object: event"), ("purchases", "purchases", "object: purchase")];
    let project = project(&database, &sandbox, &syncs);

    project.run_to("events", "succeeded", &[("delivered", 2)]);
    let events = sandbox.effects("braze/events").await;
    let named = |name: &str| events.iter().find(|event| event["name"] == name).expect("arrived");
    assert_eq!(named("opened")["external_id"], "ada");
    assert_eq!(named("opened")["time"], "2026-01-02T03:04:05Z");
    assert_eq!(named("opened")["properties"], json!({ "deep": { "list": [1, "é"] } }));
    assert_eq!(named("closed")["time"], "2026-02-03T04:05:06Z", "UPDATED_AT where the payload has no time");
    assert_eq!(project.rows(&["--user", "ada@example.com"]).len(), 1);

    project.run_to("purchases", "partial", &[("delivered", 1), ("rejected", 1)]);
    let purchases = sandbox.effects("braze/purchases").await;
    assert_eq!(purchases.len(), 1);
    let (price, quantity) = (purchases[0]["price"].to_string(), &purchases[0]["quantity"]);
    assert_eq!((price.as_str(), quantity), ("4.2", &json!(3)));
    assert_eq!(project.rows(&["--rejected"])[0]["reason"]["code"], "missing_field");
    for sync in ["events", "purchases"] {
        assert_eq!(project.run(sync)["counts"]["delivered"], 0, "{sync} sends nothing twice");
    }
}

#[tokio::test]
async fn journey_cloud_ingestion_tables_remove_catalog_items_and_users() {
    let database = Database::create().await;
    let sandbox = Sandbox::start(&["--memory"]);
    sandbox.make_catalog("menu", &[("name", "string"), ("price", "number")]).await;
    database
        .run(
            r#"CREATE TABLE items (UPDATED_AT timestamptz NOT NULL, ID text, PAYLOAD jsonb, DELETED boolean);
               INSERT INTO items
                 SELECT now() - interval '1 hour', 'item-' || n, jsonb_build_object('name', 'Item ' || n, 'price', n / 4.0), false
                 FROM generate_series(1, 120) n;
               CREATE TABLE users (UPDATED_AT timestamptz NOT NULL, EXTERNAL_ID text, PAYLOAD jsonb);
               INSERT INTO users SELECT now(), 'user-' || n, '{"plan": "free"}' FROM generate_series(1, 60) n;
               CREATE TABLE gone (UPDATED_AT timestamptz NOT NULL, EXTERNAL_ID text);
               INSERT INTO gone SELECT now(), 'user-' || n FROM generate_series(1, 55) n"#,
        )
        .await;
    let syncs = [
        ("items", "items", "object: catalog_item, catalog: menu"),
        ("users", "users", "object: user"),
        ("gone", "gone", "object: deletion"),
    ];
    let project = project(&database, &sandbox, &syncs);

    project.run_to("items", "succeeded", &[("delivered", 120)]);
    database
        .run(
            "UPDATE items SET DELETED = true, UPDATED_AT = now() WHERE ID IN ('item-7', 'item-8');
             UPDATE items SET PAYLOAD = PAYLOAD || '{\"price\": 99}', UPDATED_AT = now() WHERE ID = 'item-9'",
        )
        .await;
    assert_eq!(project.run("items")["counts"]["delivered"], 3);
    let items = sandbox.effects("braze/catalogs/menu").await;
    assert_eq!(items.len(), 118);
    assert!(!items.iter().any(|item| item["id"] == "item-7" || item["id"] == "item-8"));
    let changed = items.iter().find(|item| item["id"] == "item-9").expect("is there");
    assert_eq!(changed["fields"], json!({ "name": "Item 9", "price": 99 }));

    project.run_to("users", "succeeded", &[("delivered", 60)]);
    project.run_to("gone", "succeeded", &[("delivered", 55)]);
    let left: BTreeSet<String> = sandbox.times("braze/users", "/external_id").await.into_keys().collect();
    assert_eq!(left, (56..=60).map(|n| format!("user-{n}")).collect());
}
