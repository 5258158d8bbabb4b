//! A record as people read it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_model::{Body, Identity, Json, ObjectKind, Purchase, Record};

type Raw = Option<Box<RawValue>>;

/// JSON as it is; text that is none as a string.
fn raw(json: &Json) -> Raw {
    let text = json.as_str();
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_) => RawValue::from_string(text.to_owned()).ok(),
        Err(_) => serde_json::value::to_raw_value(text).ok(),
    }
}

/// A record as people read it, before the platform gives it its own shape.
#[derive(Serialize)]
pub struct ShownRecord<'a> {
    object: ObjectKind,
    identity: &'a Identity,
    key: String,
    body: ShownBody<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownBody<'a> {
    User {
        attributes: Raw,
    },
    Event {
        name: &'a str,
        time: Option<Timestamp>,
        properties: Raw,
        app_id: Option<&'a str>,
    },
    Purchase {
        product_id: &'a str,
        currency: &'a str,
        price: &'a str,
        quantity: u32,
        time: Option<Timestamp>,
        properties: Raw,
        app_id: Option<&'a str>,
    },
    Deletion {
        delete: bool,
    },
    CatalogItem {
        id: &'a str,
        fields: Raw,
    },
    CatalogRemoval {
        id: &'a str,
        remove: bool,
    },
}

impl ShownRecord<'_> {
    /// Returns a record as people read it.
    pub fn of(record: &Record) -> ShownRecord<'_> {
        let body = match &record.body {
            Body::User { attributes } => ShownBody::User { attributes: raw(attributes) },
            Body::Event { name, time, properties, app_id } => {
                ShownBody::Event { name, time: *time, properties: raw(properties), app_id: app_id.as_deref() }
            }
            Body::Purchase(bought) => {
                let Purchase { product_id, currency, price, quantity, time, properties, app_id } = &**bought;
                ShownBody::Purchase {
                    product_id,
                    currency,
                    price,
                    quantity: *quantity,
                    time: *time,
                    properties: raw(properties),
                    app_id: app_id.as_deref(),
                }
            }
            Body::Deletion => ShownBody::Deletion { delete: true },
            Body::CatalogItem { id, fields } => ShownBody::CatalogItem { id, fields: raw(fields) },
            Body::CatalogRemoval { id } => ShownBody::CatalogRemoval { id, remove: true },
        };
        ShownRecord { object: record.kind(), identity: &record.identity, key: record.id.to_uuid(), body }
    }
}
