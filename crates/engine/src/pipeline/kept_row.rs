//! What the ledger keeps of a row that failed.

use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_model::{Columns, Row, Value};

/// Bytes of one row that are kept, about.
const ROW_BYTES_MAX: u64 = 64 << 10;
/// Bytes of all failed rows of a sync that are kept, about.
const SYNC_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a value that is kept of a row that is too large.
const VALUE_BYTES_MAX: u64 = 1 << 10;

/// The first column of a kept row of which some values could not be read: their names.
const UNREADABLE: &str = "unreadable";
/// The first column of a kept row that was cut: the names of what is missing.
const CUT: &str = "cut";
/// The last column of a kept row of which some values could not be read: where it stands in its
/// source.
const LOCATION: &str = "location";

/// Counts what is kept of a sync.
pub(crate) struct KeptBytes(AtomicU64);

impl KeptBytes {
    /// Starts with what is kept already.
    pub(crate) fn new(bytes: u64) -> KeptBytes {
        KeptBytes(AtomicU64::new(bytes))
    }

    /// Returns what is kept of a row. The columns of its key are, unless they are large.
    pub(crate) fn kept(&self, row: Row, key: &[usize]) -> Row {
        let size: u64 = row.values.iter().map(bytes_of).sum();
        let room = self.0.load(Ordering::Relaxed) + size.min(ROW_BYTES_MAX) <= SYNC_BYTES_MAX;
        if size <= ROW_BYTES_MAX && room {
            self.0.fetch_add(size, Ordering::Relaxed);
            return row;
        }
        let mut left = if room { ROW_BYTES_MAX } else { 0 };
        let mut cut = Vec::new();
        for (at, value) in row.values.iter().enumerate() {
            let bytes = bytes_of(value);
            let fits = bytes <= VALUE_BYTES_MAX && (bytes <= left || key.contains(&at));
            if fits { left = left.saturating_sub(bytes) } else { cut.push(at) }
        }
        let kept = without(&row, &cut, CUT);
        self.0.fetch_add(kept.values.iter().map(bytes_of).sum(), Ordering::Relaxed);
        kept
    }
}

/// Returns a row without the values that could not be read, behind their names and before its
/// location, if it has one; and the index of the location.
pub(crate) fn readable(row: &Row, unreadable: &[usize], location: Option<String>) -> (Row, Vec<usize>) {
    let mut kept = without(row, unreadable, UNREADABLE);
    let Some(location) = location else { return (kept, Vec::new()) };
    let at = kept.values.len();
    let names = kept.columns.names().iter().map(String::as_str).chain([LOCATION]);
    kept.columns = Columns::new(names);
    kept.values.push(Value::Text(location.into()));
    (kept, vec![at])
}

/// Returns the location of a kept row of which some values could not be read, if it has one.
pub(crate) fn location_of(row: &Row) -> Option<&str> {
    match (row.columns.names(), row.values.last()) {
        ([first, .., last], Some(Value::Text(location)))
            if (first == UNREADABLE || first == CUT) && last == LOCATION =>
        {
            Some(location)
        }
        _ => None,
    }
}

/// The row without some columns, behind their names.
fn without(row: &Row, missing: &[usize], marker: &str) -> Row {
    let names = row.columns.names();
    let told: Vec<&str> = missing.iter().filter_map(|&at| names.get(at).map(String::as_str)).collect();
    let left = || (0..names.len()).filter(|at| !missing.contains(at));
    let columns = [marker].into_iter().chain(left().map(|at| names[at].as_str()));
    let values = left().map(|at| row.values.get(at).cloned().unwrap_or_default());
    Row {
        columns: Columns::new(columns),
        values: [Value::Text(told.join(", ").into())].into_iter().chain(values).collect(),
    }
}

/// Returns about how many bytes a value takes as text.
pub(crate) fn bytes_of(value: &Value) -> u64 {
    let bytes = match value {
        Value::Text(text) | Value::Decimal(text) => text.len(),
        Value::Json(json) => json.as_str().len(),
        Value::Bytes(bytes) => bytes.len() * 4 / 3,
        _ => 16,
    };
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(kept.kept(row("7", 1_000), &[0]), row("7", 1_000));
        let cut = kept.kept(row("7", 1 << 20), &[0]);
        assert_eq!(cut.to_json().as_str(), r#"{"cut":"payload","id":"7"}"#);
    }

    #[test]
    fn a_row_that_could_not_be_read_keeps_its_location_when_it_is_cut() {
        let (row, key) = readable(&row("7", 1 << 20), &[0], Some("orders/3/17".to_owned()));
        let cut = KeptBytes::new(0).kept(row, &key);
        assert_eq!(cut.to_json().as_str(), r#"{"cut":"payload","unreadable":"id","location":"orders/3/17"}"#);
        assert_eq!(location_of(&cut), Some("orders/3/17"));
    }

    #[test]
    fn a_sync_that_keeps_much_keeps_only_keys_of_further_rows() {
        let kept = KeptBytes::new(SYNC_BYTES_MAX);
        let cut = kept.kept(row("7", 10), &[0]);
        assert_eq!(cut.to_json().as_str(), r#"{"cut":"payload","id":"7"}"#);
        let cut = KeptBytes::new(SYNC_BYTES_MAX).kept(row("7", 10), &[]);
        assert_eq!(cut.to_json().as_str(), r#"{"cut":"id, payload"}"#);
    }
}
