//! Events as the content of files.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use arrow_array::RecordBatch;
use bytes::Bytes;
use tidegate_model::event::table::PARTITION_COLUMN;
use tidegate_model::event::{Cell, TableColumn};
use tidegate_model::{Error, LoggedEvent, json};

use crate::batch::Day;
use crate::parquet::{Codec, Contents};
use crate::stream::{Arriving, Shape};

/// The member of a line that is JSON itself.
const PAYLOAD: &str = "payload";

/// Events after which other tasks have their turn.
const TURN: usize = 1024;

/// The Parquet file of each day; `split` says that each day has a folder of its
/// own. Blocks until all rows are there.
pub(super) fn parquet(rows: Arriving, codec: Codec, split: bool) -> Result<Vec<(Day, Bytes)>, Error> {
    let mut contents = Contents::new(codec);
    for step in rows {
        for (day, mut rows) in step? {
            if split {
                leave_out_the_day(&mut rows);
            }
            contents.write(day, rows)?;
        }
    }
    contents.finish().collect()
}

/// The file of JSON lines of each day.
pub(super) async fn lines(events: &[&LoggedEvent], shape: Shape) -> Vec<(Day, Bytes)> {
    let columns = shape.layout.columns();
    let mut days: BTreeMap<Day, String> = BTreeMap::new();
    let mut cells = Vec::with_capacity(columns.len());
    for turn in events.chunks(TURN) {
        for event in turn {
            let day = if shape.split { Day::of(event.event.at) } else { Day(0) };
            cells.clear();
            shape.layout.cells(event, shape.synced, &mut cells);
            line(columns, &cells, days.entry(day).or_default());
        }
        tokio::task::yield_now().await;
    }
    days.into_iter().map(|(day, lines)| (day, Bytes::from(lines))).collect()
}

/// The folder says it. Where a file said it too, pyarrow and pandas would find
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
            Cell::Text(text) if column.name == PAYLOAD => out.write_str(text),
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
    use tidegate_model::Layout;

    use super::*;
    use crate::batch::tests::logged;

    #[tokio::test]
    async fn a_line_is_an_object_with_the_payload_inside() {
        let event = logged(7, "2026-03-01T23:59:59.5Z");

        let shape = Shape { layout: Layout::Events, synced: event.logged_at, split: true };
        let files = lines(&[&event], shape).await;

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
