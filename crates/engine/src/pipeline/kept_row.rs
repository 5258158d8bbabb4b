//! How much the ledger keeps of rows that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_model::store::RunLedger;
use tidegate_model::{Columns, Error, KeptRow, Row, RowPart, SyncId, Text, value_bytes};

/// Bytes of one row that are kept, about.
const ROW_BYTES_MAX: u64 = 64 << 10;
/// Bytes of all failed rows of a sync that are kept, about.
const SYNC_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a value that is kept of a row that is too large.
const VALUE_BYTES_MAX: u64 = 1 << 10;

/// What is kept of the failed rows of a sync.
pub(crate) struct KeptRows {
    store: Arc<dyn RunLedger>,
    sync: SyncId,
    bytes: KeptBytes,
}

impl KeptRows {
    /// Looks at what the store keeps already.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn of(store: Arc<dyn RunLedger>, sync: &SyncId) -> Result<KeptRows, Error> {
        let bytes = KeptBytes::new(store.failed_row_totals(sync).await?.bytes);
        Ok(KeptRows { store, sync: sync.clone(), bytes })
    }

    /// Looks again if there is little room: rows that are retried or dismissed while a run continues
    /// make some.
    pub(crate) async fn look_again(&self) {
        if self.bytes.is_short()
            && let Ok(totals) = self.store.failed_row_totals(&self.sync).await
        {
            self.bytes.stores(totals.bytes);
        }
    }

    /// Returns what is kept of a row. The columns of its key are, unless they are large.
    pub(crate) fn kept<'a>(&self, row: impl Into<KeptRow>, key: impl FnOnce() -> Vec<&'a str>) -> KeptRow {
        self.bytes.kept(row, key)
    }

    /// Notes that rows of this size were committed.
    pub(crate) fn committed(&self, bytes: u64) {
        self.bytes.committed(bytes);
    }
}

/// Counts what is kept of the failed rows of a sync.
struct KeptBytes {
    /// Bytes in the store, as far as this run knows.
    stored: AtomicU64,
    /// Bytes of rows that are not committed yet.
    in_flight: AtomicU64,
}

impl KeptBytes {
    /// Starts with what the store keeps already.
    fn new(stored: u64) -> KeptBytes {
        KeptBytes { stored: AtomicU64::new(stored), in_flight: AtomicU64::new(0) }
    }

    /// Returns whether so much is stored that it has to be known exactly: rows that are delivered or
    /// dismissed make room.
    fn is_short(&self) -> bool {
        self.stored.load(Ordering::Relaxed) > SYNC_BYTES_MAX / 2
    }

    /// Notes how much the store keeps now.
    fn stores(&self, bytes: u64) {
        self.stored.store(bytes, Ordering::Relaxed);
    }

    /// Notes that rows of this size were committed.
    fn committed(&self, bytes: u64) {
        let less = |in_flight: u64| Some(in_flight.saturating_sub(bytes));
        let _ = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.stored.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns what is kept of a row, of which `key` names the columns of the key: see [`KeptRows::kept`].
    fn kept<'a>(&self, row: impl Into<KeptRow>, key: impl FnOnce() -> Vec<&'a str>) -> KeptRow {
        let row = row.into();
        let size = row.bytes();
        let before = self.stored.load(Ordering::Relaxed) + self.in_flight.load(Ordering::Relaxed);
        let room = before + size.min(ROW_BYTES_MAX) <= SYNC_BYTES_MAX;
        let kept = match size <= ROW_BYTES_MAX && room {
            true => row,
            false => cut(row, &key(), if room { ROW_BYTES_MAX } else { 0 }),
        };
        self.in_flight.fetch_add(kept.bytes(), Ordering::Relaxed);
        kept
    }
}

/// Leaves out what is beyond this many bytes, and large values.
fn cut(row: KeptRow, key: &[&str], mut left: u64) -> KeptRow {
    let mut part = match row {
        KeptRow::Whole(row) => RowPart { row, ..RowPart::default() },
        KeptRow::Part(part) => *part,
    };
    let names = part.row.columns.names();
    let keep = |(name, value): (&String, _)| {
        let bytes = value_bytes(value);
        let fits = bytes <= VALUE_BYTES_MAX && (bytes <= left || key.contains(&name.as_str()));
        left = if fits { left.saturating_sub(bytes) } else { left };
        fits
    };
    let keep: Vec<bool> = names.iter().zip(&part.row.values).map(keep).collect();
    part.cut.extend(names.iter().zip(&keep).filter(|(_, keep)| !**keep).map(|(name, _)| name.clone()));
    part.row = filtered(&part.row, &keep);
    if let Some(text) = part.input.take_if(|text| text.len() as u64 > left) {
        let end = text.floor_char_boundary(usize::try_from(left).unwrap_or(usize::MAX));
        part.input = (end > 0).then(|| Text::from(&text[..end]));
        part.cut.push("input".to_owned());
    }
    KeptRow::Part(Box::new(part))
}

/// Returns a row of which some values could not be read.
pub(crate) fn readable(
    row: &Row,
    unreadable: &[usize],
    input: Option<Text>,
    location: Option<Text>,
) -> RowPart {
    let names = row.columns.names();
    let keep: Vec<bool> = (0..names.len()).map(|at| !unreadable.contains(&at)).collect();
    RowPart {
        row: filtered(row, &keep),
        cut: Vec::new(),
        unreadable: unreadable.iter().filter_map(|&at| names.get(at).cloned()).collect(),
        input,
        location,
    }
}

/// The columns of a row that are to be kept.
fn filtered(row: &Row, keep: &[bool]) -> Row {
    let columns = row.columns.names().iter().zip(&row.values).zip(keep).filter(|(_, keep)| **keep);
    let (names, values) =
        columns.map(|((name, value), _)| (name.as_str(), value.clone())).unzip::<_, _, Vec<_>, _>();
    Row { columns: Columns::new(names), values }
}

#[cfg(test)]
mod tests {
    use tidegate_model::Value;

    use super::*;

    fn id() -> Vec<&'static str> {
        vec!["id"]
    }

    fn row(key: &str, payload: usize) -> Row {
        let text = |text: String| Value::Text(text.into());
        Row {
            columns: Columns::new(["id", "payload"]),
            values: vec![text(key.into()), text("x".repeat(payload))],
        }
    }

    #[test]
    fn a_large_row_keeps_its_key_and_says_what_was_cut() {
        let kept = KeptBytes::new(0);
        assert_eq!(kept.kept(row("7", 1_000), id), row("7", 1_000).into());
        let cut = kept.kept(row("7", 1 << 20), id);
        assert_eq!(cut.to_json().as_str(), r#"{"cut":"payload","id":"7"}"#);
    }

    #[test]
    fn a_row_that_could_not_be_read_keeps_its_location_when_it_is_cut() {
        let part = readable(&row("7", 1 << 20), &[0], None, Some("orders/3/17".into()));
        let cut = KeptBytes::new(0).kept(KeptRow::Part(Box::new(part)), Vec::new);
        assert_eq!(cut.to_json().as_str(), r#"{"cut":"payload","unreadable":"id","location":"orders/3/17"}"#);
    }

    #[test]
    fn of_a_large_broken_message_the_beginning_is_kept() {
        let input = RowPart { input: Some("é".repeat(1 << 20).into()), ..RowPart::default() };
        let input = KeptRow::Part(Box::new(input));
        let KeptRow::Part(part) = KeptBytes::new(0).kept(input.clone(), Vec::new) else { panic!("a part") };
        assert_eq!(part.cut, ["input"]);
        assert_eq!(part.input.expect("its beginning").len() as u64, ROW_BYTES_MAX);
        let cut = KeptBytes::new(SYNC_BYTES_MAX).kept(input, Vec::new);
        assert_eq!(cut.to_json().as_str(), r#"{"cut":"input"}"#);
    }

    #[test]
    fn a_sync_that_keeps_much_keeps_only_keys_of_further_rows() {
        let kept = KeptBytes::new(SYNC_BYTES_MAX);
        let cut = kept.kept(row("7", 10), id);
        assert_eq!(cut.to_json().as_str(), r#"{"cut":"payload","id":"7"}"#);
        let cut = KeptBytes::new(SYNC_BYTES_MAX).kept(row("7", 10), Vec::new);
        assert_eq!(cut.to_json().as_str(), r#"{"cut":"id, payload"}"#);
    }

    #[test]
    fn rows_that_are_closed_make_room_and_rows_in_flight_take_it() {
        let kept = KeptBytes::new(SYNC_BYTES_MAX - 100);
        assert!(kept.is_short());
        let is_cut = |row| !kept.kept(row, id).is_whole();
        assert!(!is_cut(row("7", 90)), "there is room for one");
        assert!(is_cut(row("8", 90)), "the first one is in flight");
        kept.committed(91);
        kept.stores(0);
        assert!(!is_cut(row("9", 90)), "the store has room again");
    }
}
