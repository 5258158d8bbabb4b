//! Names of failed rows, and positions in their list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use tidegate_model::store::{FailedRow, FailedRowCursor};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_position_is_no_position() {
        for text in ["", "x", "%%", &URL_SAFE_NO_PAD.encode("1/2/3"), &URL_SAFE_NO_PAD.encode([0xff, 0xfe])] {
            assert!(position(text).is_none(), "{text}");
        }
        assert!(row_key("+0000000000000000000000000000001").is_none());
        assert_eq!(row_key(&row_id(RowHash(7))), Some(RowHash(7)));
    }
}
