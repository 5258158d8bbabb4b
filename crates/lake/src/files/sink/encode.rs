//! Events as the content of files.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use arrow_array::RecordBatch;
use bytes::Bytes;
use jiff::Timestamp;
use tidegate_model::event::table::PARTITION_COLUMN;
use tidegate_model::event::{Cell, TableColumn};
use tidegate_model::{Error, Layout, LoggedEvent, json};

use super::settings::Format;
use crate::batch::{Day, Shape, steps};
use crate::parquet::{Codec, Contents};

/// The member of a line that is JSON itself.
const PAYLOAD: &str = "payload";

/// The files of some days.
pub(super) type Files = Vec<(Day, Bytes)>;

/// How files are encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileEncoding {
    pub(super) layout: Layout,
    pub(super) format: Format,
    pub(super) codec: Codec,
    /// Whether each day has files of its own.
    pub(super) split: bool,
}

impl FileEncoding {
    /// Makes files of events.
    pub(super) fn encode(self, events: &[&LoggedEvent], synced: Timestamp) -> Result<Files, Error> {
        let shape = Shape { layout: self.layout, synced, split: self.split };
        match self.format {
            Format::Jsonl => Ok(lines(events, shape)),
            Format::Parquet => parquet(events, shape, self.codec),
        }
    }
}

/// The Parquet file of each day. Where days are split, each has a folder of its own.
fn parquet(events: &[&LoggedEvent], shape: Shape, codec: Codec) -> Result<Files, Error> {
    let mut contents = Contents::new(codec);
    for step in steps(events, shape) {
        for (day, mut rows) in step? {
            if shape.split {
                leave_out_the_day(&mut rows);
            }
            contents.write(day, rows)?;
        }
    }
    contents.finish().collect()
}

/// The file of JSON lines of each day.
fn lines(events: &[&LoggedEvent], shape: Shape) -> Files {
    let columns = shape.layout.columns();
    let mut days: BTreeMap<Day, String> = BTreeMap::new();
    let mut cells = Vec::with_capacity(columns.len());
    for event in events {
        let day = if shape.split { Day::of(event.event.at) } else { Day(0) };
        cells.clear();
        shape.layout.cells(event, shape.synced, &mut cells);
        line(columns, &cells, days.entry(day).or_default());
    }
    days.into_iter().map(|(day, lines)| (day, Bytes::from(lines))).collect()
}

/// The folder says it. If a file said it too, pyarrow and pandas would find
/// two types for one column and refuse the whole folder.
fn leave_out_the_day(rows: &mut RecordBatch) {
    if let Ok(at) = rows.schema().index_of(PARTITION_COLUMN) {
        rows.remove_column(at);
    }
}

/// Appends one line; columns without a value are left out.
fn line(columns: &[TableColumn], cells: &[Cell<'_>], out: &mut String) {
    let mut separator = '{';
    for (column, cell) in columns.iter().zip(cells) {
        if *cell == Cell::Null {
            continue;
        }
        out.push(separator);
        separator = ',';
        json::write_string(column.name, out);
        out.push(':');
        // Writing to a string does not fail.
        let _ = match cell {
            Cell::Null => Ok(()),
            Cell::Text(text) if column.name == PAYLOAD => {
                json::write_on_one_line(text, out);
                Ok(())
            }
            Cell::Text(text) => {
                json::write_string(text, out);
                Ok(())
            }
            Cell::Int(number) => write!(out, "{number}"),
            Cell::Bool(truth) => write!(out, "{truth}"),
            Cell::Timestamp(moment) => write!(out, "\"{moment}\""),
            Cell::Date(day) => write!(out, "\"{}\"", Day(*day).date()),
        };
    }
    out.push_str("}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::logged;

    #[test]
    fn a_line_is_an_object_with_the_payload_inside() {
        let event = logged(7, "2026-03-01T23:59:59.5Z");

        let shape = Shape { layout: Layout::Events, synced: event.logged_at, split: true };
        let files = lines(&[&event], shape);

        let lines = std::str::from_utf8(&files[0].1).expect("UTF-8");
        let line: serde_json::Value = serde_json::from_str(lines.trim_end()).expect("JSON");
        assert_eq!(
            line,
            serde_json::json!({
                "event_id": "e7", "event_timestamp": "2026-03-01T23:59:59.5Z", "event_kind": "message.push.clicked",
                "user_id": "u1", "app_id": "a1", "payload": { "device_type": 1, "language": "en" },
                "logged_at": "2026-03-01T23:59:59.5Z", "event_date": "2026-03-01",
            })
        );
    }
}
