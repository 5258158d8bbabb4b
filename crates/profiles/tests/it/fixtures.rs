//! The built-in platform, in a folder of the test.

use serde_json::{Value, json};
use tidegate_model::{Body, Identity, Json, ObjectKind, Purchase, Record, RowHash};
use tidegate_testkit::conforms::{Example, PRIVATE, PlatformExample, World};

/// The example of a type. A type without one fails the suite.
pub fn of(kind: &str) -> Option<Example> {
    (kind == "profiles").then(profiles)
}

fn profiles() -> Example {
    Example {
        settings: json!({ "file": "profiles.db" }),
        platform: Some(PlatformExample {
            target: catalog,
            record,
            bad: |kind| match kind {
                ObjectKind::User => {
                    Some(Record { body: Body::User { attributes: Json::trusted("[]") }, ..record(kind, 90) })
                }
                ObjectKind::Event | ObjectKind::Purchase => {
                    Some(Record { identity: Identity::PlatformId("nobody".into()), ..record(kind, 90) })
                }
                ObjectKind::CatalogItem => Some(Record { body: item("a", "[]"), ..record(kind, 90) }),
                // Deleting a user that does not exist has the same effect.
                ObjectKind::Deletion => None,
            },
            prepare: &[],
            state: |world| Box::pin(async { contents(world) }),
        }),
        ..Example::default()
    }
}

fn catalog(kind: ObjectKind) -> Value {
    match kind {
        ObjectKind::CatalogItem => json!({ "catalog": "shop" }),
        _ => json!({}),
    }
}

/// A record of a user or an item with [`PRIVATE`] in its name. Events
/// and purchases are about users `0..8`.
fn record(kind: ObjectKind, number: usize) -> Record {
    let user = match kind {
        ObjectKind::Event | ObjectKind::Purchase => number % 8,
        _ => number,
    };
    let body = match kind {
        ObjectKind::User => {
            let attributes =
                format!(r#"{{"email":"{PRIVATE}-{number}@example.com","note":"{PRIVATE} \"é\""}}"#);
            Body::User { attributes: Json::trusted(attributes) }
        }
        ObjectKind::Event => event("order_placed", &format!(r#"{{"note":"{PRIVATE}","total":{number}.50}}"#)),
        ObjectKind::Purchase => purchase(&format!("{PRIVATE}-{number}"), "12.50"),
        ObjectKind::Deletion => Body::Deletion,
        ObjectKind::CatalogItem => {
            item(&format!("{PRIVATE}-{number}"), &format!(r#"{{"note":"{PRIVATE}"}}"#))
        }
    };
    let identity = match kind {
        ObjectKind::CatalogItem => Identity::None,
        _ => Identity::ExternalId(format!("{PRIVATE}-{user}").into()),
    };
    Record { id: RowHash(1 + number as u128), identity, body }
}

fn event(name: &str, properties: &str) -> Body {
    let time = Some("2026-02-28T08:30:00.5Z".parse().expect("a time"));
    Body::Event {
        name: name.to_owned().into(),
        time,
        properties: Json::trusted(properties.to_owned()),
        app_id: None,
    }
}

fn purchase(product_id: &str, price: &str) -> Body {
    Body::Purchase(Box::new(Purchase {
        product_id: product_id.to_owned().into(),
        currency: "EUR".into(),
        price: price.to_owned().into(),
        quantity: 2,
        time: Some("2026-02-28T08:30:00Z".parse().expect("a time")),
        properties: Json::empty_object(),
        app_id: None,
    }))
}

fn item(id: &str, fields: &str) -> Body {
    Body::CatalogItem { id: id.to_owned().into(), fields: Json::trusted(fields.to_owned()) }
}

/// The tables of the built-in platform, row by row.
fn contents(world: &World) -> Vec<Value> {
    let file = world.folder().join("profiles.db");
    if !file.exists() {
        return Vec::new();
    }
    let db = rusqlite::Connection::open(file).expect("the built-in platform's file");
    let mut entries = Vec::new();
    for table in ["users", "aliases", "events", "purchases", "catalogs", "items"] {
        let mut statement = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).expect(table);
        let width = statement.column_count();
        let mut rows = statement.query([]).expect(table);
        while let Some(row) = rows.next().expect(table) {
            entries.push((0..width).map(|at| format!("{:?}", row.get_ref(at).expect(table))).collect());
        }
    }
    entries
}
