//! A Snowflake account with one result: partitions of JSON for the SQL API, and chunks of Arrow for the
//! protocol of Snowflake's own drivers, which the Python connector speaks.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use anyhow::Result;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::rows;
use super::server::{Answer, Asked, Double, Part};

/// Returns the connection that reads from the double.
pub(super) fn connection(address: SocketAddr) -> String {
    format!(
        "type: snowflake
    account: bench
    endpoint: http://{address}
    token: bench
    warehouse: BENCH"
    )
}

/// The account.
pub(super) struct Account {
    /// The answer with the first partition, and the others.
    partitions: Vec<Arc<Part>>,
    chunks: Vec<Arc<Part>>,
}

impl Account {
    /// Encodes a number of rows; also for drivers, if one will ask.
    pub(super) fn new(rows: u64, for_drivers: bool) -> Result<Account> {
        let mut partitions = Vec::new();
        for numbers in rows::parts(rows) {
            let data = data(&numbers);
            let (body, is_gzip) = match partitions.is_empty() {
                true => (first(rows, &data), false),
                false => (format!("{{\"data\":{data}}}"), true),
            };
            let bytes = if is_gzip { compressed(body.as_bytes())? } else { body.into_bytes() };
            partitions.push(Arc::new(Part { rows: numbers.end - numbers.start, bytes, is_gzip }));
        }
        let parts = rows::parts(if for_drivers { rows } else { 0 });
        let chunks = parts.map(|numbers| chunk(&numbers).map(Arc::new)).collect::<Result<_>>()?;
        Ok(Account { partitions, chunks })
    }

    fn submitted(&self, asked: &Asked<'_>) -> Answer {
        let text = asked.json()["statement"].as_str().unwrap_or_default().to_ascii_lowercase();
        if text.ends_with("limit 0") {
            return Answer::Json(small(&row_type(), &json!([])));
        }
        match text.contains("count(") || !text.contains("event_data") {
            true => Answer::Json(small(&json!([column("N", "fixed", 18, 0)]), &json!([["0"]]))),
            false => self.partitions.first().map_or(Answer::Missing, |part| Answer::Part(Arc::clone(part))),
        }
    }

    /// What a driver is told of the result: where its chunks are.
    fn queried(&self, address: SocketAddr) -> Value {
        let chunks = self.chunks.iter().enumerate().map(|(at, chunk)| {
            let size = chunk.bytes.len();
            json!({
                "url": format!("http://{address}/chunk/{at}"), "rowCount": chunk.rows,
                "uncompressedSize": size, "compressedSize": size,
            })
        });
        let rows: u64 = self.chunks.iter().map(|chunk| chunk.rows).sum();
        succeeded(&json!({
            "parameters": [], "rowtype": row_type(), "rowsetBase64": "", "total": rows, "returned": rows,
            "queryId": "q", "queryResultFormat": "arrow", "chunks": chunks.collect::<Vec<_>>(),
            "chunkHeaders": {}, "sqlState": null, "statementTypeId": 4096, "finalDatabaseName": "BENCH",
            "finalSchemaName": "PUBLIC", "finalWarehouseName": "BENCH", "finalRoleName": "BENCH",
        }))
    }
}

impl Double for Account {
    fn part(&self, at: usize) -> Option<&Arc<Part>> {
        self.partitions.get(at)
    }

    fn answer(&self, asked: &Asked<'_>) -> Answer {
        if let Some(chunk) =
            asked.path.strip_prefix("/chunk/").and_then(|at| self.chunks.get(at.parse::<usize>().ok()?))
        {
            return Answer::Part(Arc::clone(chunk));
        }
        match (asked.method, asked.path) {
            ("POST", "/api/v2/statements") => self.submitted(asked),
            ("GET", path) if path.starts_with("/api/v2/statements/") => {
                let at = asked.parameter("partition").and_then(|at| at.parse::<usize>().ok()).unwrap_or(0);
                self.partitions.get(at).map_or(Answer::Missing, |part| Answer::Part(Arc::clone(part)))
            }
            ("POST", "/session/v1/login-request") => Answer::Json(succeeded(&json!({
                "token": "t", "masterToken": "m", "validityInSeconds": 3600, "masterValidityInSeconds": 14400,
                "parameters": [{ "name": "TIMEZONE", "value": "UTC" }], "sessionId": 1,
                "sessionInfo": {
                    "databaseName": "BENCH", "schemaName": "PUBLIC", "warehouseName": "BENCH", "roleName": "BENCH",
                },
            }))),
            ("POST", "/queries/v1/query-request") => Answer::Json(self.queried(asked.address)),
            ("POST", _) => Answer::Json(succeeded(&Value::Null)),
            _ => Answer::Missing,
        }
    }
}

fn succeeded(data: &Value) -> Value {
    json!({ "data": data, "code": null, "message": null, "success": true })
}

fn column(name: &str, kind: &str, precision: u32, scale: u32) -> Value {
    json!({
        "name": name, "type": kind, "precision": precision, "scale": scale, "length": null, "byteLength": null,
        "nullable": true, "collation": null, "database": "", "schema": "", "table": "",
    })
}

fn row_type() -> Value {
    let types = [("fixed", 18, 0), ("text", 0, 0), ("text", 0, 0), ("timestamp_ltz", 0, 6), ("text", 0, 0)];
    let columns = rows::COLUMNS.iter().zip(types);
    columns
        .map(|(name, (kind, precision, scale))| column(&name.to_uppercase(), kind, precision, scale))
        .collect()
}

fn small(columns: &Value, data: &Value) -> Value {
    let rows = data.as_array().map_or(0, Vec::len);
    json!({
        "code": "090001", "statementHandle": "s", "data": data,
        "resultSetMetaData": { "numRows": rows, "rowType": columns, "partitionInfo": [{ "rowCount": rows }] },
    })
}

/// Returns the answer to the statement: what the result looks like, and its first partition.
fn first(rows: u64, data: &str) -> String {
    let partitions = rows::parts(rows).map(|numbers| json!({ "rowCount": numbers.end - numbers.start }));
    let described =
        json!({ "numRows": rows, "rowType": row_type(), "partitionInfo": partitions.collect::<Vec<_>>() });
    format!(
        "{{\"code\":\"090001\",\"statementHandle\":\"s\",\"resultSetMetaData\":{described},\"data\":{data}}}"
    )
}

/// Returns rows as the SQL API writes them.
fn data(numbers: &Range<u64>) -> String {
    let mut data = String::from("[");
    for number in numbers.clone() {
        if number > numbers.start {
            data.push(',');
        }
        // All of them are of one day.
        let (second, milli) = (number / 1_000, number % 1_000);
        let _ = write!(
            data,
            "[\"{number}\",\"{}\",\"{}\",\"2026-01-01T{:02}:{:02}:{:02}.{milli:03}000000+00:00\",{}]",
            rows::event_name(number),
            rows::user_id(number),
            second / 3_600,
            second / 60 % 60,
            second % 60,
            Value::from(rows::event_data(number))
        );
    }
    data.push(']');
    data
}

fn compressed(body: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    Ok(encoder.finish()?)
}

/// Returns rows as drivers get them: Arrow whose fields say which type of Snowflake they are.
fn chunk(numbers: &Range<u64>) -> Result<Part> {
    let texts = |text: fn(u64) -> String| -> ArrayRef {
        Arc::new(numbers.clone().map(text).map(Some).collect::<StringArray>())
    };
    let wholes = |whole: fn(u64) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(numbers.clone().map(whole)))
    };
    let types = [
        (DataType::Int64, "FIXED", "0"),
        (DataType::Utf8, "TEXT", "0"),
        (DataType::Utf8, "TEXT", "0"),
        (DataType::Int64, "TIMESTAMP_LTZ", "6"),
        (DataType::Utf8, "TEXT", "0"),
    ];
    let fields = rows::COLUMNS.iter().zip(types).map(|(name, (kind, logical, scale))| {
        let said = [("logicalType", logical), ("scale", scale), ("precision", "18"), ("finalType", "T")];
        let said: HashMap<String, String> =
            said.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Field::new(name.to_uppercase(), kind, true).with_metadata(said)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = vec![
        wholes(|number| number as i64),
        texts(rows::event_name),
        texts(rows::user_id),
        wholes(rows::event_timestamp),
        texts(rows::event_data),
    ];
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    Ok(Part { rows: numbers.end - numbers.start, bytes: writer.into_inner()?, is_gzip: false })
}
