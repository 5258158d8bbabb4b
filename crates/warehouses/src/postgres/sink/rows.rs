//! Events as PostgreSQL copies rows: its binary format.
//!
//! Source: PostgreSQL handbook, COPY, "Binary Format".

use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use tidegate_model::event::Cell;
use tidegate_model::{Layout, LoggedEvent};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
/// Days between the same two.
const EPOCH_DAY: i32 = 10_957;
/// The first moment that is safe in any time zone of the server's.
const FIRST_YEAR: i16 = -4711;

/// Returns whether PostgreSQL has a name for this moment.
pub fn in_range(at: Timestamp) -> bool {
    jiff::tz::Offset::UTC.to_datetime(at).year() >= FIRST_YEAR
}

/// Returns all rows of one request.
pub fn encode(layout: Layout, items: &[LoggedEvent], synced: Timestamp) -> Bytes {
    let weight: usize = items.iter().map(|item| item.event.estimated_size() + super::ROW_OVERHEAD).sum();
    let mut out = BytesMut::with_capacity(weight);
    out.put_slice(SIGNATURE);
    // No flags, no further header.
    out.put_i32(0);
    out.put_i32(0);
    let mut cells = Vec::with_capacity(layout.columns().len());
    let fields = layout.columns().len() as i16;
    for item in items {
        out.put_i16(fields);
        layout.cells(item, synced, &mut cells);
        for cell in cells.drain(..) {
            field(&cell, &mut out);
        }
    }
    out.put_i16(-1);
    out.freeze()
}

fn field(cell: &Cell<'_>, out: &mut BytesMut) {
    match cell {
        Cell::Null => out.put_i32(-1),
        Cell::Text(text) => {
            // The sink admits nothing of such a length; a wrong one is refused by the server.
            out.put_i32(i32::try_from(text.len()).unwrap_or(i32::MAX));
            out.put_slice(text.as_bytes());
        }
        Cell::Int(number) => {
            out.put_i32(8);
            out.put_i64(*number);
        }
        Cell::Bool(value) => {
            out.put_i32(1);
            out.put_u8(u8::from(*value));
        }
        Cell::Timestamp(at) => {
            out.put_i32(8);
            out.put_i64(at.as_microsecond() - EPOCH_MICROSECONDS);
        }
        Cell::Date(day) => {
            out.put_i32(4);
            out.put_i32(day - EPOCH_DAY);
        }
    }
}
