//! Names of failed rows, and positions in lists, which are opaque to clients.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_engine::service::{Health, SyncOverview};
use tidegate_model::alert::{Alert, AlertCursor};
use tidegate_model::store::{FailedRow, FailedRowCursor, FailedRowGroup, FailedRowGroupCursor};
use tidegate_model::{RowHash, SyncId};

/// Returns the id of a failed row in its sync: the hash of its key.
pub(crate) fn row_id(key: RowHash) -> String {
    format!("{:032x}", key.0)
}

/// Reads the id of a failed row.
pub(crate) fn row_key(id: &str) -> Option<RowHash> {
    let is_hash = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| u128::from_str_radix(id, 16).ok().map(RowHash)).flatten()
}

/// Returns the position after a failed row, opaque to clients.
pub(crate) fn after(row: &FailedRow) -> String {
    let text = format!("{}/{}/{}", row.entry.at.as_microsecond(), row_id(row.key), row.entry.sync);
    URL_SAFE_NO_PAD.encode(text)
}

/// Reads a position that [`after`] gave.
pub(crate) fn position(text: &str) -> Option<FailedRowCursor> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let mut parts = text.splitn(3, '/');
    let at = Timestamp::from_microsecond(parts.next()?.parse().ok()?).ok()?;
    let key = row_key(parts.next()?)?;
    Some(FailedRowCursor { at, key, sync: SyncId::new(parts.next()?) })
}

/// Returns the position after a group of failed rows.
pub(crate) fn after_group(group: &FailedRowGroup) -> String {
    let FailedRowGroupCursor { at, sync, code, status, object } = group.cursor();
    encoded(&(at.as_microsecond(), status, object, code, sync.as_str()))
}

/// Reads a position that [`after_group`] gave.
pub(crate) fn group_position(text: &str) -> Option<FailedRowGroupCursor> {
    let (at, status, object, code, sync): (i64, _, _, String, String) = decoded(text)?;
    let at = Timestamp::from_microsecond(at).ok()?;
    Some(FailedRowGroupCursor { at, sync: SyncId::new(sync), code, status, object })
}

/// Returns the position after an alert.
pub(crate) fn after_alert(alert: &Alert) -> String {
    let AlertCursor { is_resolved, opened_at, id } = alert.cursor();
    encoded(&(is_resolved, opened_at.as_microsecond(), id))
}

/// Reads a position that [`after_alert`] gave.
pub(crate) fn alert_position(text: &str) -> Option<AlertCursor> {
    let (is_resolved, opened_at, id) = decoded(text)?;
    Some(AlertCursor { is_resolved, opened_at: Timestamp::from_microsecond(opened_at).ok()?, id })
}

/// Returns the position after a sync in the list of syncs.
pub(crate) fn after_sync(sync: &SyncOverview) -> String {
    encoded(&(sync.health.as_str(), sync.status.sync.as_str()))
}

/// Reads a position that [`after_sync`] gave.
pub(crate) fn sync_position(text: &str) -> Option<(Health, SyncId)> {
    let (word, sync): (String, String) = decoded(text)?;
    let health = Health::ALL.into_iter().find(|health| health.as_str() == word)?;
    Some((health, SyncId::new(sync)))
}

fn encoded(position: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(position).unwrap_or_default())
}

fn decoded<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_position_is_no_position() {
        for text in ["", "x", "%%", &URL_SAFE_NO_PAD.encode("1/2/3"), &URL_SAFE_NO_PAD.encode([0xff, 0xfe])] {
            assert!(position(text).is_none(), "{text}");
            assert!(group_position(text).is_none() && alert_position(text).is_none(), "{text}");
            assert!(sync_position(text).is_none(), "{text}");
        }
        assert!(row_key("+0000000000000000000000000000001").is_none());
        assert_eq!(row_key(&row_id(RowHash(7))), Some(RowHash(7)));
    }
}
