//! Events that are merged into a table, and events inside of a statement: a JSON array of objects as its
//! parameter.

use std::collections::HashSet;

use jiff::Timestamp;
use tidegate_model::event::Cell;
use tidegate_model::{Error, Layout, LoggedEvent, Outcome, Reason, Receipt, SinkTarget, Value, json};

use crate::http::answer::RequestError;

/// The first second of the year 1: calendars of warehouses differ before it, or end there.
const FIRST_SECOND: i64 = -62_135_596_800;

/// Refuses an event whose time no warehouse keeps.
///
/// # Errors
/// Says why.
pub fn validate(item: &LoggedEvent) -> Result<(), Reason> {
    match item.event.at.as_second() >= FIRST_SECOND {
        true => Ok(()),
        false => Err(Reason::new("time_out_of_range", "the event happened before the year 1")),
    }
}

/// Returns the names of the schema and of the table that events of a target go to: those that are set, or the
/// stream's name and `_events`, and a table named after the layout.
pub fn named(schema: Option<&String>, table: Option<&String>, target: &SinkTarget) -> [String; 2] {
    let schema = schema.cloned().unwrap_or_else(|| format!("{}_events", plain(target.stream.as_str())));
    let table = table.cloned().unwrap_or_else(|| match target.layout {
        Layout::Messages => "message_events".to_owned(),
        Layout::Events => "events".to_owned(),
    });
    [schema, table]
}

/// Returns a text with `_` in place of what is neither an ASCII letter nor a digit.
pub fn plain(text: &str) -> String {
    text.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '_' }).collect()
}

/// Returns the events without those whose id an event before them has: a merge inserts each row of its
/// source that is not in the table, and would insert both.
pub fn distinct(items: &[LoggedEvent]) -> Vec<LoggedEvent> {
    let mut seen = HashSet::with_capacity(items.len());
    items.iter().filter(|item| seen.insert(item.event.id.clone())).cloned().collect()
}

/// Merges events inside of statements, some in each. `merge` runs the statement for the rows of
/// [`encode`].
///
/// # Errors
/// The error of the first statement, if it had no effect.
pub async fn merge<F: Future<Output = Result<(), RequestError>>>(
    items: &[LoggedEvent],
    max_bytes: usize,
    encode: impl Fn(&[LoggedEvent]) -> String,
    mut merge: impl FnMut(String) -> F,
) -> Result<Receipt, Error> {
    let mut outcomes = Vec::with_capacity(items.len());
    for chunk in chunks(items, max_bytes) {
        match merge(encode(&distinct(chunk))).await {
            Ok(()) => outcomes.extend(vec![Outcome::Delivered; chunk.len()]),
            Err(RequestError::Unknown(reason)) => {
                outcomes.extend(vec![Outcome::Unknown(reason); chunk.len()]);
            }
            Err(RequestError::NoEffect(error)) if outcomes.is_empty() => return Err(error),
            Err(RequestError::NoEffect(error)) => {
                let reason = Reason::new("statement_failed", error.message());
                outcomes.resize(items.len(), Outcome::Deferred(reason));
                break;
            }
        }
    }
    Ok(Receipt { outcomes, rate_limit: None })
}

/// Returns the events in groups of about this many bytes.
fn chunks(items: &[LoggedEvent], max_bytes: usize) -> Vec<&[LoggedEvent]> {
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
