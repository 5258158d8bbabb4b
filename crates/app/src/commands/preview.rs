//! `tidegate preview`

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_engine::control::Preview;
use tidegate_model::{Body, Error, Identity, ObjectKind, Reason, Record, SyncId};

use crate::cli::{Output, Place};
use crate::{DONE, output};

pub(super) async fn preview(place: &Place, sync: &SyncId, rows: usize, out: Output) -> Result<u8, Error> {
    let engine = place.engine().await?;
    let previews = engine.preview(sync, rows).await?;
    match out {
        Output::Json => output::json(&previews.iter().map(shown).collect::<Vec<_>>()),
        Output::Text => {
            for preview in &previews {
                output::line(format!("row     {}", preview.row.to_json().as_str()));
                match &preview.record {
                    Ok(record) => {
                        let text = serde_json::to_string(&becomes(record));
                        output::line(format!("becomes {}", text.unwrap_or_default()));
                    }
                    Err(reason) => output::line(format!("refused {}: {}", reason.code, reason.message)),
                }
            }
            if previews.is_empty() {
                eprintln!("the source has no rows");
            }
        }
    }
    Ok(DONE)
}

/// A row and its record for programs. What comes from the source stays the text
/// it is: `serde_json::Value` would make floats of its decimals.
#[derive(Serialize)]
struct Shown<'a> {
    row: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Becomes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a Reason>,
}

/// A record as people read it, before the platform gives it its own shape.
#[derive(Serialize)]
struct Becomes<'a> {
    object: ObjectKind,
    identity: &'a Identity,
    key: String,
    body: Shape<'a>,
}

/// What is in a record, by its kind.
#[derive(Serialize)]
#[serde(untagged)]
enum Shape<'a> {
    User {
        attributes: Option<Box<RawValue>>,
    },
    Event {
        name: &'a str,
        time: Option<Timestamp>,
        properties: Option<Box<RawValue>>,
        app_id: Option<&'a str>,
    },
    Purchase {
        product_id: &'a str,
        currency: &'a str,
        price: Option<Box<RawValue>>,
        quantity: u32,
        time: Option<Timestamp>,
        properties: Option<Box<RawValue>>,
        app_id: Option<&'a str>,
    },
    Deletion {
        delete: bool,
    },
    CatalogItem {
        id: &'a str,
        fields: Option<Box<RawValue>>,
    },
    CatalogRemoval {
        id: &'a str,
        remove: bool,
    },
}

fn shown(preview: &Preview) -> Shown<'_> {
    Shown {
        row: raw(preview.row.to_json().as_str()),
        record: preview.record.as_ref().ok().map(becomes),
        refused: preview.record.as_ref().err(),
    }
}

fn becomes(record: &Record) -> Becomes<'_> {
    let body = match &record.body {
        Body::User { attributes } => Shape::User { attributes: raw(attributes.as_str()) },
        Body::Event { name, time, properties, app_id } => Shape::Event {
            name,
            time: *time,
            properties: raw(properties.as_str()),
            app_id: app_id.as_deref(),
        },
        Body::Purchase { product_id, currency, price, quantity, time, properties, app_id } => {
            Shape::Purchase {
                product_id,
                currency,
                price: raw(price),
                quantity: *quantity,
                time: *time,
                properties: raw(properties.as_str()),
                app_id: app_id.as_deref(),
            }
        }
        Body::Deletion => Shape::Deletion { delete: true },
        Body::CatalogItem { id, fields } => Shape::CatalogItem { id, fields: raw(fields.as_str()) },
        Body::CatalogRemoval { id } => Shape::CatalogRemoval { id, remove: true },
    };
    Becomes { object: record.kind(), identity: &record.identity, key: record.id.to_uuid().to_string(), body }
}

fn raw(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).ok()
}
