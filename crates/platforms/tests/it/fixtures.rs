//! Platforms, in front of their sandboxes.

use serde_json::{Value, json};
use tidegate_model::{Body, Identity, Json, ObjectKind, Purchase, Record, RowHash};
use tidegate_testkit::conforms::{Example, PRIVATE, PlatformExample};

/// The example of a type. A type without one fails the suite.
pub fn of(kind: &str) -> Option<Example> {
    match kind {
        "braze" => Some(braze()),
        "onesignal" => Some(onesignal()),
        _ => None,
    }
}

fn braze() -> Example {
    Example {
        settings: json!({ "endpoint": "sandbox", "api_key": "f00dcafe-beef-4bad-babe-deadbeefcafe" }),
        platform: Some(PlatformExample {
            target: catalog,
            record,
            bad: |kind| {
                let body = match kind {
                    ObjectKind::User => return Some(Record { identity: Identity::None, ..record(kind, 90) }),
                    ObjectKind::Deletion => return Some(about("", kind)),
                    ObjectKind::Event => event("", "{}"),
                    ObjectKind::Purchase => purchase("", "12.50"),
                    ObjectKind::CatalogItem => item("no id", "{}"),
                };
                Some(Record { body, ..record(kind, 90) })
            },
            prepare: &[(
                "POST",
                "/catalogs",
                r#"{"catalogs":[{"name":"shop","fields":[{"name":"id","type":"string"},{"name":"note","type":"string"}]}]}"#,
            )],
            state: |world| Box::pin(world.shown(&["users", "events", "purchases", "catalogs/shop"])),
        }),
        ..Example::default()
    }
}

fn onesignal() -> Example {
    let app_id = "11111111-2222-4333-8444-555555555555";
    Example {
        settings: json!({
            "endpoint": "sandbox",
            "app_id": app_id,
            "api_key": "os_v2_app_deadbeefcafef00dbabe",
            "event_stream": { "token": crate::ingests::SECRET },
        }),
        platform: Some(PlatformExample {
            target: |_| json!({}),
            record,
            bad: |kind| match kind {
                // Without an address, an unknown user cannot be created.
                ObjectKind::User => {
                    let body = Body::User { attributes: Json::trusted(r#"{"plan":"pro"}"#) };
                    Some(Record { body, ..about("nobody", kind) })
                }
                ObjectKind::Event => Some(about("nobody", kind)),
                ObjectKind::Purchase => Some(Record { body: purchase("sku", "free"), ..record(kind, 0) }),
                // Deleting a user that does not exist has the same effect.
                ObjectKind::Deletion | ObjectKind::CatalogItem => None,
            },
            prepare: &[],
            state: |world| Box::pin(world.shown(&["users", "events", "purchases"])),
        }),
        ingest: Some(crate::ingests::onesignal()),
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

/// A record that is good but for its user.
fn about(user: &str, kind: ObjectKind) -> Record {
    Record { identity: Identity::ExternalId(user.to_owned().into()), ..record(kind, 90) }
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
