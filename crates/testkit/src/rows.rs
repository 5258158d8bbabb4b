//! Small rows and statuses.

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_model::store::{IntendedRequest, IntentRow, RowColumns, RowResult, RowStatus, RowVersion};
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

/// [`row`]`(id)` as part of a request that is about to be sent for the first time.
pub fn intent(id: i64) -> IntentRow {
    let RowResult { key, row, key_text, user, .. } = result(id, RowStatus::Delivered);
    IntentRow { key, row, key_text, user, sends: 0, since: Timestamp::UNIX_EPOCH }
}

/// Returns a request with these rows, which were sent as often, and since, as the first of them.
pub fn intended(rows: impl IntoIterator<Item = IntentRow>) -> IntendedRequest {
    let (mut columns, mut sent) = (RowColumns::default(), None);
    for IntentRow { key, row, key_text, user, sends, since } in rows {
        columns.push(RowVersion { key, row }, |text| text.push_str(&key_text), &user);
        sent.get_or_insert((sends, since));
    }
    let (sends, since) = sent.unwrap_or((0, Timestamp::UNIX_EPOCH));
    IntendedRequest { columns: Arc::new(columns), sends, since }
}

/// Rejected for a missing name.
pub fn rejected() -> RowStatus {
    RowStatus::Rejected(Reason::new("missing_name", "an event needs a name"))
}

/// In doubt for want of an answer.
pub fn in_doubt() -> RowStatus {
    RowStatus::InDoubt(Reason::new("no_answer", "the answer did not come"))
}
