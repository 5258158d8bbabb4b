//! The rows of the bench, as pages of Arrow in LZ4 frames.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Result;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde_json::{Value, json};

/// Rows of a page: about 4 MiB before they are compressed, as a warehouse cuts them.
const ROWS: u64 = 40_000;
/// 2026-01-01T00:00:00Z, in microseconds.
const BEGINNING: i64 = 1_767_225_600_000_000;

/// A part of the result.
pub(super) struct Page {
    /// How many rows it has.
    pub(super) rows: u64,
    /// Its Arrow stream in an LZ4 frame.
    pub(super) bytes: Vec<u8>,
}

/// Returns the columns as a manifest lists them.
pub(super) fn columns() -> Value {
    let types = ["BIGINT", "STRING", "STRING", "TIMESTAMP", "STRING"];
    let names = ["id", "event_name", "user_id", "event_timestamp", "event_data"];
    names
        .iter()
        .zip(types)
        .map(|(name, kind)| json!({ "name": name, "type_name": kind, "type_text": kind }))
        .collect()
}

/// Encodes a number of rows.
pub(super) fn encode(rows: u64) -> Result<Vec<Page>> {
    (0..rows).step_by(ROWS as usize).map(|first| page(first..rows.min(first + ROWS))).collect()
}

fn page(numbers: std::ops::Range<u64>) -> Result<Page> {
    let rows = numbers.end - numbers.start;
    let texts = |text: fn(u64) -> String| -> ArrayRef {
        Arc::new(numbers.clone().map(text).map(Some).collect::<StringArray>())
    };
    let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let times = numbers.clone().map(|number| BEGINNING + number as i64 * 1_000);
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("event_name", DataType::Utf8, true),
        Field::new("user_id", DataType::Utf8, true),
        Field::new("event_timestamp", zone, true),
        Field::new("event_data", DataType::Utf8, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(numbers.clone().map(|number| number as i64))),
        texts(|number| format!("event_{}", number % 20)),
        texts(|number| format!("user-{}", number % 100_003)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        texts(|number| {
            format!(
                "{{\"order\": {number}, \"total\": {}.{:02}, \"city\": \"Lyon\", \"new\": true}}",
                number % 900,
                number % 100
            )
        }),
    ];
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
    frame.write_all(&writer.into_inner()?)?;
    Ok(Page { rows, bytes: frame.finish()? })
}
