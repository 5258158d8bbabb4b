//! Events as a file that `COPY` reads: JSON, one object in a line, with gzip.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tidegate_model::event::Cell;
use tidegate_model::{Error, Layout, LoggedEvent, json};

/// Returns the events as a file.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Internal`]: memory takes what is written to it.
pub fn encode(layout: Layout, items: &[LoggedEvent], synced: Timestamp) -> Result<Bytes, Error> {
    let mut file = GzEncoder::new(Vec::new(), Compression::fast());
    let mut line = String::new();
    let fault = |cause| Error::internal("writing a file of events").caused_by(cause);
    for item in items {
        line.clear();
        write_line(layout, item, synced, &mut line);
        file.write_all(line.as_bytes()).map_err(fault)?;
    }
    file.finish().map(Bytes::from).map_err(fault)
}

fn write_line(layout: Layout, item: &LoggedEvent, synced: Timestamp, line: &mut String) {
    let mut cells = Vec::with_capacity(layout.columns().len());
    layout.cells(item, synced, &mut cells);
    line.push('{');
    let mut is_first = true;
    for (column, cell) in layout.columns().iter().zip(cells) {
        if cell == Cell::Null {
            continue;
        }
        if !is_first {
            line.push(',');
        }
        is_first = false;
        json::write_string(column.name, line);
        line.push(':');
        match cell {
            Cell::Null => line.push_str("null"),
            Cell::Text(text) => json::write_string(&text, line),
            Cell::Int(number) => line.push_str(&number.to_string()),
            Cell::Bool(truth) => line.push_str(if truth { "true" } else { "false" }),
            // As `COPY` reads an instant: YYYY-MM-DD HH:MI:SS.SSSSSS and an offset.
            Cell::Timestamp(at) => {
                let at = TimeZone::UTC.to_datetime(at);
                line.push_str(&format!("\"{} {}+00\"", at.date(), at.time()));
            }
            Cell::Date(day) => {
                line.push('"');
                line.push_str(&tidegate_transport::arrow::wide::date(i64::from(day)));
                line.push('"');
            }
        }
    }
    line.push_str("}\n");
}

/// Returns the first column whose text is longer than `max` bytes or holds the character U+0000, and the
/// number of its bytes.
pub fn unfit(layout: Layout, item: &LoggedEvent, max: usize) -> Option<(&'static str, usize)> {
    let mut cells = Vec::with_capacity(layout.columns().len());
    layout.cells(item, Timestamp::UNIX_EPOCH, &mut cells);
    layout.columns().iter().zip(cells).find_map(|(column, cell)| match cell {
        Cell::Text(text) if text.len() > max || text.contains('\0') => Some((column.name, text.len())),
        _ => None,
    })
}
