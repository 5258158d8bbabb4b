//! Hashes of rows, keys and deliveries, in 128 bits.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Builder;
use uuid::fmt::Hyphenated;
use xxhash_rust::xxh3::xxh3_128;

use crate::{SyncId, Value};

/// A 128-bit hash of values. In the ledger the low 8 bits carry marks; the other 120 bits tell rows
/// apart: among 10⁹ rows a collision has probability 4·10⁻¹⁹.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowHash(pub u128);

impl RowHash {
    /// Returns the hash of `values` in order; `scratch` is reused between rows.
    pub fn of_values<'a>(values: impl IntoIterator<Item = &'a Value>, scratch: &mut Vec<u8>) -> RowHash {
        scratch.clear();
        for value in values {
            value.write_canonical(scratch);
        }
        RowHash(xxh3_128(scratch))
    }

    /// Returns the hash of bytes.
    pub fn of_bytes(bytes: &[u8]) -> RowHash {
        RowHash(xxh3_128(bytes))
    }

    /// The bits that say how often the row under a key has changed.
    const CHANGES: u128 = 0x3f;
    /// The bits that say what became of the row: none of them if it was delivered.
    const STATUS: u128 = 0xc0;
    /// The row was rejected.
    const REJECTED: u128 = 0x80;
    /// The row is in doubt.
    const IN_DOUBT: u128 = 0x40;
    /// The row was delivered, and a later row under its key was rejected.
    const BEFORE_REJECTED: u128 = 0xc0;

    /// The version of a row that the source no longer has.
    pub const REMOVED: RowHash = RowHash(0x5f72_656d_6f76_6564_5f72_6f77_5f74_6700);

    /// The version of a row of which it is not known what the platform has. It is no row of a source, so
    /// the next one under its key differs.
    pub const UNCERTAIN: RowHash = RowHash(0x5f75_6e63_6572_7461_696e_5f72_6f77_5f00);

    /// Returns whether this is the version of a row that the source no longer has.
    pub fn is_removed(self) -> bool {
        self.unmarked() == RowHash::REMOVED
    }

    /// Returns the hash without its marks, in 120 bits.
    #[must_use]
    pub fn unmarked(self) -> RowHash {
        RowHash(self.0 & !(Self::CHANGES | Self::STATUS))
    }

    /// Returns whether both are hashes of one row, whatever their marks are.
    pub fn is_row(self, other: RowHash) -> bool {
        self.unmarked() == other.unmarked()
    }

    /// Returns how often the row under its key had changed, modulo 64.
    pub fn changes(self) -> u8 {
        (self.0 & Self::CHANGES) as u8
    }

    /// Returns the hash with this number of changes: a row that changes back has another one,
    /// so that it is sent under another name.
    #[must_use]
    pub fn with_changes(self, changes: u8) -> RowHash {
        RowHash((self.0 & !Self::CHANGES) | (u128::from(changes) & Self::CHANGES))
    }

    /// Returns whether the row was rejected when it was committed.
    pub fn is_rejected(self) -> bool {
        self.0 & Self::STATUS == Self::REJECTED
    }

    /// Returns whether the row was in doubt when it was committed.
    pub fn is_in_doubt(self) -> bool {
        self.0 & Self::STATUS == Self::IN_DOUBT
    }

    /// Returns whether the row was delivered, and a later row under its key was rejected: the platform
    /// has it still.
    pub fn is_before_rejected(self) -> bool {
        self.0 & Self::STATUS == Self::BEFORE_REJECTED
    }

    /// Returns whether the row was delivered, and none under its key was rejected since.
    pub fn is_delivered(self) -> bool {
        self.0 & Self::STATUS == 0
    }

    /// Returns the hash of a row that was delivered.
    #[must_use]
    pub fn delivered(self) -> RowHash {
        RowHash(self.0 & !Self::STATUS)
    }

    /// Returns the hash of a row that was rejected.
    #[must_use]
    pub fn rejected(self) -> RowHash {
        RowHash(self.delivered().0 | Self::REJECTED)
    }

    /// Returns the hash of a row that is in doubt.
    #[must_use]
    pub fn in_doubt(self) -> RowHash {
        RowHash(self.delivered().0 | Self::IN_DOUBT)
    }

    /// Returns the hash of a row that was committed before another one under its key was rejected. A row
    /// in doubt stays so.
    #[must_use]
    pub fn before_rejected(self) -> RowHash {
        if self.is_delivered() { RowHash(self.0 | Self::BEFORE_REJECTED) } else { self }
    }

    /// Returns the key of the row after `number` equal ones: its own hash for the first.
    #[must_use]
    pub fn numbered(self, number: u64) -> RowHash {
        if number == 0 {
            return self;
        }
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.0.to_le_bytes());
        bytes[16..].copy_from_slice(&number.to_le_bytes());
        RowHash(xxh3_128(&bytes))
    }

    /// Returns the name under which a sync sends one version of one row.
    ///
    /// It becomes the idempotency key, so it is derived and never random.
    pub fn of_delivery(sync: &SyncId, key: RowHash, row: RowHash) -> RowHash {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(&xxh3_128(sync.as_str().as_bytes()).to_le_bytes());
        bytes[16..32].copy_from_slice(&key.0.to_le_bytes());
        bytes[32..].copy_from_slice(&row.0.to_le_bytes());
        RowHash(xxh3_128(&bytes))
    }

    /// Returns the hash in the form of a UUID (RFC 9562 version 8).
    pub fn to_uuid(self) -> String {
        Builder::from_custom_bytes(self.0.to_be_bytes()).into_uuid().to_string()
    }

    /// Returns the bytes of [`RowHash::to_uuid`].
    pub fn uuid(self) -> [u8; 36] {
        let mut text = [0; Hyphenated::LENGTH];
        Builder::from_custom_bytes(self.0.to_be_bytes()).into_uuid().hyphenated().encode_lower(&mut text);
        text
    }
}

impl fmt::Debug for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_change_the_name_and_not_the_row() {
        let row = RowHash(u128::MAX).unmarked();
        for changes in [0, 1, 63] {
            let delivered = row.with_changes(changes);
            let (rejected, doubted, before) =
                (delivered.rejected(), delivered.in_doubt(), delivered.before_rejected());
            for marked in [delivered, rejected, doubted, before] {
                assert_eq!(marked.changes(), changes);
                assert!(marked.is_row(row) && !marked.is_row(RowHash(0)));
                assert_eq!(marked.delivered().with_changes(0), row);
                let is = [
                    marked.is_delivered(),
                    marked.is_rejected(),
                    marked.is_in_doubt(),
                    marked.is_before_rejected(),
                ];
                let expected = [delivered, rejected, doubted, before].map(|other| other == marked);
                assert_eq!(is, expected, "a row has one status");
            }
            assert_eq!(doubted.before_rejected(), doubted, "a row in doubt stays so");
        }
        assert_eq!(row.with_changes(64), row, "the number comes round");
    }

    #[test]
    fn equal_rows_are_numbered() {
        let numbers: std::collections::HashSet<_> = (0..100).map(|at| RowHash(7).numbered(at)).collect();
        assert_eq!(numbers.len(), 100);
        assert_eq!(RowHash(7).numbered(0), RowHash(7));
    }

    #[test]
    fn a_delivery_has_a_stable_uuid() {
        let key = RowHash(1);
        let first = RowHash::of_delivery(&SyncId::new("orders"), key, RowHash(2));
        assert_eq!(first, RowHash::of_delivery(&SyncId::new("orders"), key, RowHash(2)));
        assert_ne!(first, RowHash::of_delivery(&SyncId::new("order"), key, RowHash(2)));
        assert_ne!(first, RowHash::of_delivery(&SyncId::new("orders"), key, RowHash(3)));
        let uuid = first.to_uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'8');
        let shown = RowHash(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef).to_uuid();
        assert_eq!(shown, "01234567-89ab-8def-8123-456789abcdef");
    }
}
