//! `tidegate preview`

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_engine::service::Preview;
use tidegate_model::{Body, Error, Identity, Json, ObjectKind, Purchase, Reason, Record, SyncId};

use crate::cli::{Output, ProjectArgs};
use crate::{DONE, output};

pub(super) async fn preview(
    args: &ProjectArgs,
    sync: &SyncId,
    rows: usize,
    out: Output,
) -> Result<u8, Error> {
    let engine = args.engine().await?;
    let previews = engine.preview(sync, rows).await?;
    match out {
        Output::Json => output::json(&previews.iter().map(Line::of).collect::<Vec<_>>()),
        Output::Text => {
            for preview in &previews {
                output::line(format!("row     {}", preview.row.to_json().as_str()));
                match &preview.record {
                    Ok(record) => {
                        let shown = serde_json::to_string(&Shown::of(record)).unwrap_or_default();
                        output::line(format!("becomes {shown}"));
                    }
                    Err(reason) => output::line(format!("rejected {}: {}", reason.code, reason.message)),
                }
            }
            if previews.is_empty() {
                eprintln!("the source has no rows");
            }
        }
    }
    Ok(DONE)
}

type Raw = Option<Box<RawValue>>;

fn raw(json: &Json) -> Raw {
    output::raw(json.as_str())
}

#[derive(Serialize)]
struct Line<'a> {
    row: Raw,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<&'a Reason>,
}

impl Line<'_> {
    fn of(preview: &Preview) -> Line<'_> {
        Line {
            row: raw(&preview.row.to_json()),
            record: preview.record.as_ref().ok().map(Shown::of),
            rejected: preview.record.as_ref().err(),
        }
    }
}

/// A record as people read it, before the platform gives it its own shape.
#[derive(Serialize)]
struct Shown<'a> {
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

impl Shown<'_> {
    fn of(record: &Record) -> Shown<'_> {
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
        Shown { object: record.kind(), identity: &record.identity, key: record.id.to_uuid(), body }
    }
}
