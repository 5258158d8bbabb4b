//! The rows of one commit, or of a few small ones, as a blob.

use tidegate_model::Error;
use tidegate_model::store::RowVersion;
use xxhash_rust::xxh3::xxh3_64;

use super::{RECORD_BYTES, damaged, decode, encode};

/// A checksum comes first.
const CHECKSUM_BYTES: usize = 8;

/// Returns the rows as a blob, in the order given.
pub(crate) fn pack(rows: &[RowVersion]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHECKSUM_BYTES + rows.len() * RECORD_BYTES);
    bytes.extend_from_slice(&[0; CHECKSUM_BYTES]);
    rows.iter().for_each(|row| bytes.extend_from_slice(&encode(*row)));
    let checksum = xxh3_64(&bytes[CHECKSUM_BYTES..]);
    bytes[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Returns the rows of a blob.
///
/// # Errors
/// If it is not as it was written.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<RowVersion>, Error> {
    let broken = || damaged("a block in the state database");
    let (checksum, body) = bytes.split_first_chunk::<CHECKSUM_BYTES>().ok_or_else(broken)?;
    let (records, rest) = body.as_chunks::<RECORD_BYTES>();
    if !rest.is_empty() || xxh3_64(body) != u64::from_le_bytes(*checksum) {
        return Err(broken());
    }
    Ok(records.iter().map(decode).collect())
}

#[cfg(test)]
mod tests {
    use tidegate_model::RowHash;

    use super::*;

    #[test]
    fn a_block_comes_back_whole_or_is_damaged() {
        let row = |key, row| RowVersion { key: RowHash(key), row: RowHash(row) };
        let rows = [row(u128::MAX, 0), row(1, 2), row(1, 2)];
        let bytes = pack(&rows);
        assert_eq!(unpack(&bytes).expect("whole"), rows);
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            unpack(&bytes).expect_err("one bit");
            unpack(&bytes[..at]).expect_err("cut");
        }
    }
}
