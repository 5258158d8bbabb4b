//! Events as the content of files.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use arrow_array::RecordBatch;
use bytes::Bytes;
use jiff::Timestamp;
use tidegate_model::event::table::PARTITION_COLUMN;
use tidegate_model::event::{Cell, TableColumn};
use tidegate_model::{Error, Layout, LoggedEvent, json};

use super::settings::{FilesTarget, Format};
use crate::batch::{self, Day};
use crate::parquet;

/// The member of a line that is JSON itself.
const PAYLOAD: &str = "payload";

/// The content of one file for each day.
pub(super) fn encode(
    target: &FilesTarget,
    layout: Layout,
    events: &[&LoggedEvent],
    now: Timestamp,
) -> Result<Vec<(Day, Bytes)>, Error> {
    match target.format {
        Format::Parquet => batch::batches(layout, events.iter().copied(), now, target.partition_by_date)?
            .into_iter()
            .map(|(day, mut rows)| {
                if target.partition_by_date {
                    leave_out_the_day(&mut rows);
                }
                Ok((day, parquet::encode(&rows, target.compression)?))
            })
            .collect(),
        Format::Jsonl => {
            let mut days: BTreeMap<Day, String> = BTreeMap::new();
            let mut cells = Vec::new();
            for event in events {
                let day = if target.partition_by_date { Day::of(event.event.at) } else { Day(0) };
                cells.clear();
                layout.cells(event, now, &mut cells);
                line(layout.columns(), &cells, days.entry(day).or_default());
            }
            Ok(days.into_iter().map(|(day, lines)| (day, Bytes::from(lines))).collect())
        }
    }
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
            Cell::Date(date) => write!(out, "\"{date}\""),
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
        let target = FilesTarget { format: Format::Jsonl, ..FilesTarget::default() };
        let event = logged(7, "2026-03-01T23:59:59.5Z");

        let files = encode(&target, Layout::Events, &[&event], event.logged_at).expect("files");

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
