//! Rows as a SQL source hands them over, whatever its wire is.

use jiff::{Timestamp, civil};
use tidegate_model::{MalformedRecord, PartialRow, Reason, Row, Value};

/// A batch ends after the row that fills this many bytes: what is held does not grow with the width of
/// rows.
pub const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// Returns about how many bytes a value holds.
pub fn held_bytes(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Text(text) | Value::Decimal(text) => text.len(),
            Value::Json(json) => json.as_str().len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
}

/// Returns a row of which the cells at these indexes could not be read, each with its reason. `label`
/// names the selection.
pub fn malformed(label: &str, row: Row, unreadable: &[(usize, Reason)]) -> MalformedRecord {
    let columns = std::sync::Arc::clone(&row.columns);
    let name = |at: usize| columns.names().get(at).map_or("", String::as_str);
    let names: Vec<&str> = unreadable.iter().map(|(at, _)| name(*at)).collect();
    let location = format!("{label}, column {}", names.join(", "));
    let reason = unreadable.first().map_or_else(
        || Reason::new("unknown_form", "a value that cannot be read"),
        |(at, reason)| Reason::new(reason.code.clone(), format!("`{}`: {}", name(*at), reason.message)),
    );
    let unreadable = unreadable.iter().map(|(at, _)| *at).collect();
    MalformedRecord::partial(location, reason, PartialRow { row, unreadable, origin: None })
}

/// Returns a value as text that is cast to the column's type; `None` for null and for the beginning of
/// time, before which nothing is.
pub fn parameter(value: &Value) -> Option<String> {
    match value {
        Value::Timestamp(at) if *at == Timestamp::MIN => None,
        Value::DateTime(at) if *at == civil::DateTime::MIN => None,
        Value::Date(day) if *day == civil::Date::MIN => None,
        value => value.to_text().map(|text| text.to_string()),
    }
}
