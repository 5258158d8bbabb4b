//! Documents, and the bodies of bulk requests.

use bytes::Bytes;
use jiff::Timestamp;
use tidegate_model::event::table::PARTITION_COLUMN;
use tidegate_model::event::{Cell, ColumnType, TableColumn};
use tidegate_model::json::{write_on_one_line, write_string};
use tidegate_model::{Layout, LoggedEvent, Value};

use super::target::Indices;

/// The member that holds the time of an event: data streams and dashboards look for it.
pub(super) const TIME: &str = "@timestamp";
/// The member that holds the whole event.
pub(super) const PAYLOAD: &str = "payload";
/// Bytes of a document besides its values: names, times, punctuation, the line of its action.
const AROUND: usize = 640;

/// Returns the name under which a document has a column of tables; `None` if it has none.
///
/// `_id` and `_index` are names of OpenSearch's own; with the other columns of Fivetran and the
/// day they say nothing that a document does not say elsewhere.
pub(super) fn member(column: &TableColumn) -> Option<&'static str> {
    match column.name {
        "event_timestamp" => Some(TIME),
        name if name.starts_with('_') || name == PARTITION_COLUMN => None,
        name => Some(name),
    }
}

/// Returns about how many bytes an event takes in a request.
pub(super) fn estimated_size(logged: &LoggedEvent) -> usize {
    AROUND + logged.event.estimated_size() + logged.event.id.len()
}

/// Returns the body of `_bulk`: each event is created, none is replaced.
///
/// Source: OpenSearch docs, Bulk API.
pub(super) fn bulk(indices: &Indices, layout: Layout, events: &[LoggedEvent]) -> Bytes {
    let mut body = String::with_capacity(events.iter().map(estimated_size).sum());
    let mut cells = Vec::with_capacity(layout.columns().len());
    for logged in events {
        body.push_str("{\"create\":{\"_index\":");
        write_string(&indices.index(logged.logged_at), &mut body);
        body.push_str(",\"_id\":");
        write_string(&logged.event.id, &mut body);
        body.push_str("}}\n");
        layout.cells(logged, logged.logged_at, &mut cells);
        let mut separator = '{';
        for (column, cell) in layout.columns().iter().zip(cells.drain(..)) {
            let Some(name) = member(column).filter(|_| cell != Cell::Null) else { continue };
            body.push(separator);
            separator = ',';
            write_string(name, &mut body);
            body.push(':');
            write(name, &cell, &mut body);
        }
        body.push_str("}\n");
    }
    body.into()
}

fn write(name: &str, cell: &Cell<'_>, out: &mut String) {
    match cell {
        // Text of a table, and an object here.
        Cell::Text(json) if name == PAYLOAD => write_on_one_line(json, out),
        Cell::Text(text) => write_string(text, out),
        Cell::Int(number) => out.push_str(&number.to_string()),
        Cell::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Cell::Timestamp(at) => moment(*at, out),
        Cell::Date(_) | Cell::Null => out.push_str("null"),
    }
}

fn moment(at: Timestamp, out: &mut String) {
    out.push('"');
    Value::Timestamp(at).write_text(out);
    out.push('"');
}

/// Returns the type of a column in a mapping.
pub(super) fn field_type(column: &TableColumn) -> &'static str {
    match column.kind {
        ColumnType::Text => "keyword",
        ColumnType::Int => "long",
        ColumnType::Bool => "boolean",
        ColumnType::Timestamp | ColumnType::Date => "date",
    }
}
