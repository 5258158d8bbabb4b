//! Events inside of a statement: a JSON array of objects as its parameter.

use jiff::Timestamp;
use tidegate_model::event::Cell;
use tidegate_model::{Layout, LoggedEvent, Value, json};

/// Returns the events in groups of about this many bytes.
pub fn chunks(items: &[LoggedEvent], max_bytes: usize) -> Vec<&[LoggedEvent]> {
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, item) in items.iter().enumerate() {
        let size = item.event.estimated_size();
        if at > start && bytes + size > max_bytes {
            chunks.push(&items[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    chunks.push(&items[start..]);
    chunks
}

/// Returns the rows of events as JSON.
pub fn encode(layout: Layout, items: &[LoggedEvent], synced: Timestamp) -> String {
    let mut out = String::from("[");
    let mut cells = Vec::with_capacity(layout.columns().len());
    for item in items {
        if out.len() > 1 {
            out.push(',');
        }
        out.push('{');
        layout.cells(item, synced, &mut cells);
        let mut is_first = true;
        for (column, cell) in layout.columns().iter().zip(cells.drain(..)) {
            if cell == Cell::Null {
                continue;
            }
            if !is_first {
                out.push(',');
            }
            is_first = false;
            json::write_string(column.name, &mut out);
            out.push(':');
            write(&cell, &mut out);
        }
        out.push('}');
    }
    out.push(']');
    out
}

fn write(cell: &Cell<'_>, out: &mut String) {
    match cell {
        Cell::Null => out.push_str("null"),
        Cell::Text(text) => json::write_string(text, out),
        Cell::Int(number) => out.push_str(&number.to_string()),
        Cell::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Cell::Timestamp(at) => {
            out.push('"');
            Value::Timestamp(*at).write_text(out);
            out.push('"');
        }
        Cell::Date(day) => {
            out.push('"');
            out.push_str(&crate::arrow::wide::date(i64::from(*day)));
            out.push('"');
        }
    }
}
