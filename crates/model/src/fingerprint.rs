//! What a row looked like, in 128 bits.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::{SyncId, Value};

/// 128 bits of hash over values. Collisions are not expected at any real size:
/// a billion rows meet one with probability 10⁻²¹.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// The hash of `values` in order; `scratch` is reused between rows.
    pub fn of_values<'a>(values: impl IntoIterator<Item = &'a Value>, scratch: &mut Vec<u8>) -> Fingerprint {
        scratch.clear();
        for value in values {
            value.write_canonical(scratch);
        }
        Fingerprint(xxh3_128(scratch))
    }

    /// The hash of bytes.
    pub fn of_bytes(bytes: &[u8]) -> Fingerprint {
        Fingerprint(xxh3_128(bytes))
    }

    /// The name under which one version of one row is sent by one sync.
    ///
    /// It becomes the idempotency key, so it is derived, never random.
    pub fn of_delivery(sync: &SyncId, key: Fingerprint, row: Fingerprint) -> Fingerprint {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(&xxh3_128(sync.as_str().as_bytes()).to_le_bytes());
        bytes[16..32].copy_from_slice(&key.0.to_le_bytes());
        bytes[32..].copy_from_slice(&row.0.to_le_bytes());
        Fingerprint(xxh3_128(&bytes))
    }

    /// The fingerprint in the form of a UUID (RFC 9562 version 8).
    pub fn to_uuid(self) -> String {
        let mut text = String::with_capacity(36);
        self.write_uuid(&mut text);
        text
    }

    /// Appends [`Fingerprint::to_uuid`].
    pub fn write_uuid(self, out: &mut String) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        /// Where each group of digits begins, without the dashes.
        const GROUPS: [(usize, usize); 5] = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
        let mut bytes = self.0.to_be_bytes();
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let mut digits = [0; 32];
        for (two, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            *two = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        }
        let digits = std::str::from_utf8(&digits).expect("hexadecimal digits are ASCII");
        for (from, to) in GROUPS {
            if from > 0 {
                out.push('-');
            }
            out.push_str(&digits[from..to]);
        }
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_has_a_stable_uuid() {
        let key = Fingerprint(1);
        let first = Fingerprint::of_delivery(&SyncId::new("orders"), key, Fingerprint(2));
        assert_eq!(first, Fingerprint::of_delivery(&SyncId::new("orders"), key, Fingerprint(2)));
        assert_ne!(first, Fingerprint::of_delivery(&SyncId::new("order"), key, Fingerprint(2)));
        assert_ne!(first, Fingerprint::of_delivery(&SyncId::new("orders"), key, Fingerprint(3)));
        let uuid = first.to_uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'8');
    }
}
