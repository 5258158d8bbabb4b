//! Small rows and statuses.

use tidegate_model::store::{IntentRow, RowResult, RowStatus, RowVersion};
use tidegate_model::{Columns, Reason, Row, RowHash, Value};

/// Returns a row with two columns: `id`, and `email` made from it.
pub fn row(id: i64) -> Row {
    let columns = Columns::new(["id", "email"]);
    Row { columns, values: vec![Value::Int(id), Value::Text(format!("{id}@example.com").into())] }
}

/// What became of [`row`]`(id)`: its key is the id, its user `user-<id>`, and the
/// row itself is kept if it was not delivered.
pub fn result(id: i64, status: RowStatus) -> RowResult {
    let row = row(id);
    let mut scratch = Vec::new();
    RowResult {
        key: key(id),
        key_text: id.to_string().into(),
        row: row.hash(&mut scratch),
        user: format!("user-{id}").into(),
        payload: status.reason().is_some().then(|| row.into()),
        status,
    }
}

/// Returns the key of [`row`]`(id)`.
pub fn key(id: i64) -> RowHash {
    RowHash::of_values(&[Value::Int(id)], &mut Vec::new())
}

/// [`row`]`(id)` as part of a request that is about to be sent.
pub fn intent(id: i64) -> IntentRow {
    let RowResult { key, row, key_text, user, .. } = result(id, RowStatus::Delivered);
    IntentRow::first(RowVersion { key, row }, key_text, user)
}

/// Rejected for a missing name.
pub fn rejected() -> RowStatus {
    RowStatus::Rejected(Reason::new("missing_name", "an event needs a name"))
}

/// In doubt for want of an answer.
pub fn in_doubt() -> RowStatus {
    RowStatus::InDoubt(Reason::new("no_answer", "the answer did not come"))
}
