//! Events as a file that `COPY` reads: JSON, one object in a line, with gzip.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tidegate_model::event::Cell;
use tidegate_model::{Error, Layout, LoggedEvent};
use tidegate_transport::sql::events;

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
        events::write_object(layout, item, synced, instant, &mut line);
        line.push('\n');
        file.write_all(line.as_bytes()).map_err(fault)?;
    }
    file.finish().map(Bytes::from).map_err(fault)
}

/// Returns an instant as `COPY` reads it: `YYYY-MM-DD HH:MI:SS.SSSSSS` and an offset.
fn instant(at: Timestamp) -> String {
    let at = TimeZone::UTC.to_datetime(at);
    format!("{} {}+00", at.date(), at.time())
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
