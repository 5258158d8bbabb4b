//! A Databricks workspace with one result: parts of Arrow in LZ4 frames, behind external links.

use std::io::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use anyhow::Result;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde_json::{Value, json};

use super::rows;
use super::server::{Answer, Asked, Double, Part};

/// The id of the warehouse.
const WAREHOUSE: &str = "bench";

/// Returns the connection that reads from the double.
pub(super) fn connection(address: SocketAddr) -> String {
    format!(
        "type: databricks
    host: bench.example.com
    endpoint: http://{address}
    warehouse_id: {WAREHOUSE}
    client_id: bench
    client_secret: bench"
    )
}

/// The workspace.
pub(super) struct Workspace(Vec<Arc<Part>>);

impl Workspace {
    /// Encodes a number of rows.
    pub(super) fn new(rows: u64) -> Result<Workspace> {
        rows::parts(rows).map(|numbers| part(&numbers).map(Arc::new)).collect::<Result<_>>().map(Workspace)
    }

    fn result(&self, statement: &Value, address: SocketAddr) -> Value {
        let text = statement["statement"].as_str().unwrap_or_default();
        let linked = statement["disposition"] == "EXTERNAL_LINKS";
        let rows: u64 = self.0.iter().map(|part| part.rows).sum();
        let (columns, total, result) = if linked {
            (columns(), rows, json!({ "external_links": [self.link(0, address)] }))
        } else if text.contains("count(*)") {
            (json!([{ "name": "n", "type_text": "BIGINT" }]), 1, json!({ "data_array": [["0"]] }))
        } else {
            (columns(), 0, json!({}))
        };
        json!({
            "statement_id": "s",
            "status": { "state": "SUCCEEDED" },
            "manifest": {
                "format": "ARROW_STREAM", "schema": { "columns": columns }, "truncated": false,
                "total_chunk_count": if linked { self.0.len() } else { 0 },
                "total_row_count": total, "result_compression": "LZ4_FRAME",
            },
            "result": result,
        })
    }

    fn link(&self, at: usize, address: SocketAddr) -> Value {
        let next = (at + 1 < self.0.len()).then_some(at + 1);
        json!({
            "chunk_index": at, "row_count": self.0[at].rows, "byte_count": self.0[at].bytes.len(),
            "next_chunk_index": next, "external_link": format!("http://{address}/page/{at}"),
            "expiration": "2099-01-01T00:00:00Z",
        })
    }
}

impl Double for Workspace {
    fn part(&self, at: usize) -> Option<&Arc<Part>> {
        self.0.get(at)
    }

    fn answer(&self, asked: &Asked<'_>) -> Answer {
        Answer::Json(match (asked.method, asked.path) {
            ("POST", "/oidc/v1/token") => {
                json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 3600 })
            }
            ("POST", "/api/2.0/sql/statements" | "/api/2.0/sql/statements/") => {
                self.result(&asked.json(), asked.address)
            }
            ("DELETE", _) => json!({}),
            ("GET", path) => match path.rsplit_once("/result/chunks/") {
                Some((_, at)) => {
                    json!({ "external_links": [self.link(at.parse().unwrap_or(0), asked.address)] })
                }
                None => return Answer::Missing,
            },
            _ => return Answer::Missing,
        })
    }
}

/// Returns the columns as a manifest lists them.
fn columns() -> Value {
    let types = ["BIGINT", "STRING", "STRING", "TIMESTAMP", "STRING"];
    let columns = rows::COLUMNS.iter().zip(types);
    columns.map(|(name, kind)| json!({ "name": name, "type_name": kind, "type_text": kind })).collect()
}

fn part(numbers: &Range<u64>) -> Result<Part> {
    let texts = |text: fn(u64) -> String| -> ArrayRef {
        Arc::new(numbers.clone().map(text).map(Some).collect::<StringArray>())
    };
    let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let times = numbers.clone().map(rows::event_timestamp);
    let types = [DataType::Int64, DataType::Utf8, DataType::Utf8, zone, DataType::Utf8];
    let fields = rows::COLUMNS.iter().zip(types).map(|(name, kind)| Field::new(*name, kind, true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(numbers.clone().map(|number| number as i64))),
        texts(rows::event_name),
        texts(rows::user_id),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        texts(rows::event_data),
    ];
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
    frame.write_all(&writer.into_inner()?)?;
    Ok(Part { rows: numbers.end - numbers.start, bytes: frame.finish()?, is_gzip: false })
}
