//! `tidegate preview`

use jiff::Timestamp;
use schemars::JsonSchema;
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
        Output::Json | Output::Jsonl => {
            let rows = previews.iter().map(Line::of).collect();
            let previewed = Previewed { sync: sync.clone(), rows };
            output::listing(out, &previewed, &previewed.rows);
        }
        Output::Text => {
            for preview in &previews {
                output::line(format!("row     {}", preview.row.to_json().as_str()));
                match &preview.record {
                    Ok(record) => {
                        let shown = serde_json::to_string(&Shown::of(record)).unwrap_or_default();
                        output::line(format!("becomes {shown}"));
                    }
                    Err(reason) => {
                        let word = output::toned("rejected");
                        output::line(format!("{word} {}: {}", reason.code, reason.message));
                    }
                }
            }
            if previews.is_empty() {
                output::note("the source has no rows");
            }
        }
    }
    Ok(DONE)
}

type Raw = Option<Box<RawValue>>;

fn raw(json: &Json) -> Raw {
    output::raw(json.as_str())
}

/// What `preview` shows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Previewed<L> {
    /// The sync.
    sync: SyncId,
    /// The rows: each has `row` (its columns), `record` (what it becomes) and `rejected`
    /// (`code` and `message` of the reason); one of the last two is `null`.
    rows: Vec<L>,
}

#[derive(Serialize)]
struct Line<'a> {
    row: Raw,
    record: Option<Shown<'a>>,
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
