//! Events that are merged into a table, and events inside of a statement: a JSON array of objects as its
//! parameter.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_model::event::{Cell, ColumnType, TableColumn};
use tidegate_model::{Error, Layout, Limits, LoggedEvent, Outcome, Reason, Receipt, SinkTarget, Value, json};

use crate::http::answer::RequestError;

/// The first second of the year 1: calendars of warehouses differ before it, or end there.
const FIRST_SECOND: i64 = -62_135_596_800;

/// Returns the limits of a sink that merges one file of events after the other.
pub fn limits(bucket: &'static str, max_items: usize, max_bytes: usize, linger: Duration) -> Limits {
    Limits {
        max_items,
        max_bytes,
        linger,
        max_in_flight: 1,
        rate: None,
        bucket,
        single_user: false,
        min_user_interval: Duration::ZERO,
    }
}

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

/// A column that a table of events has.
pub struct FoundColumn {
    /// Its name, as the table has it.
    pub name: String,
    /// Its type, for people.
    pub type_name: String,
    /// Whether it keeps every value of events whole.
    pub fits: bool,
}

/// Returns the columns of a layout that a table lacks. `label` is the table, `find` looks a column of the layout
/// up in it, and `type_name` names the type that events have.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] for a column that would not keep a value whole.
pub fn missing_columns<N: fmt::Display>(
    layout: Layout,
    label: &str,
    find: impl Fn(&TableColumn) -> Option<FoundColumn>,
    type_name: impl Fn(ColumnType) -> N,
) -> Result<Vec<&'static TableColumn>, Error> {
    let mut missing = Vec::new();
    for column in layout.columns() {
        match find(column) {
            None => missing.push(column),
            Some(there) if !there.fits => {
                return Err(Error::settings(format!(
                    "the column `{}` of {label} is {}, and events have {} for it",
                    there.name,
                    there.type_name,
                    type_name(column.kind)
                ))
                .hint("choose another `table`, or change the column"));
            }
            Some(_) => {}
        }
    }
    Ok(missing)
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

/// Returns the rows of events as a JSON array.
pub fn encode(layout: Layout, items: &[LoggedEvent], synced: Timestamp) -> String {
    let instant = |at| {
        let mut text = String::new();
        Value::Timestamp(at).write_text(&mut text);
        text
    };
    let mut out = String::from("[");
    for item in items {
        if out.len() > 1 {
            out.push(',');
        }
        write_object(layout, item, synced, instant, &mut out);
    }
    out.push(']');
    out
}

/// Writes the row of an event as a JSON object, without its nulls. `instant` writes a time as the system reads
/// it.
pub fn write_object(
    layout: Layout,
    item: &LoggedEvent,
    synced: Timestamp,
    instant: impl Fn(Timestamp) -> String,
    out: &mut String,
) {
    let mut cells = Vec::with_capacity(layout.columns().len());
    layout.cells(item, synced, &mut cells);
    out.push('{');
    let mut is_first = true;
    for (column, cell) in layout.columns().iter().zip(&cells) {
        if *cell == Cell::Null {
            continue;
        }
        if !is_first {
            out.push(',');
        }
        is_first = false;
        json::write_string(column.name, out);
        out.push(':');
        match cell {
            Cell::Null => out.push_str("null"),
            Cell::Text(text) => json::write_string(text, out),
            Cell::Int(number) => out.push_str(&number.to_string()),
            Cell::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Cell::Timestamp(at) => json::write_string(&instant(*at), out),
            Cell::Date(day) => json::write_string(&crate::arrow::wide::date(i64::from(*day)), out),
        }
    }
    out.push('}');
}
