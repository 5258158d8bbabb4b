//! `tidegate preview`

use serde_json::json;
use serde_json::value::RawValue;
use tidegate_engine::control::Preview;
use tidegate_model::{Body, Error, Record, SyncId};

use crate::cli::{Output, Place};
use crate::{DONE, output};

pub(super) async fn preview(place: &Place, sync: &SyncId, rows: usize, out: Output) -> Result<u8, Error> {
    let engine = place.engine().await?;
    let previews = engine.preview(sync, rows).await?;
    match out {
        Output::Json => output::json(&previews.iter().map(to_json).collect::<Vec<_>>()),
        Output::Text => {
            for preview in &previews {
                output::line(format!("row     {}", preview.row.to_json().as_str()));
                match &preview.record {
                    Ok(record) => output::line(format!("becomes {}", record_json(record))),
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

fn to_json(preview: &Preview) -> serde_json::Value {
    let row = RawValue::from_string(preview.row.to_json().as_str().to_owned()).ok();
    match &preview.record {
        Ok(record) => json!({ "row": row, "record": record_json(record) }),
        Err(reason) => json!({ "row": row, "refused": reason }),
    }
}

/// A record as people read it, before the platform gives it its own shape.
fn record_json(record: &Record) -> serde_json::Value {
    let raw = |json: &tidegate_model::Json| RawValue::from_string(json.as_str().to_owned()).ok();
    let body = match &record.body {
        Body::User { attributes } => json!({ "attributes": raw(attributes) }),
        Body::Event { name, time, properties, app_id } => {
            json!({ "name": name, "time": time, "properties": raw(properties), "app_id": app_id })
        }
        Body::Purchase { product_id, currency, price, quantity, time, properties, app_id } => json!({
            "product_id": product_id, "currency": currency, "price": price, "quantity": quantity,
            "time": time, "properties": raw(properties), "app_id": app_id
        }),
        Body::Deletion => json!({ "delete": true }),
        Body::CatalogItem { id, fields } => json!({ "id": id, "fields": raw(fields) }),
        Body::CatalogRemoval { id } => json!({ "id": id, "remove": true }),
    };
    json!({ "object": record.kind(), "identity": record.identity, "key": record.id.to_uuid(), "body": body })
}
