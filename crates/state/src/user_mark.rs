//! Four bytes of a hash of a user: a file without the mark of a user has nothing of that user.

use xxhash_rust::xxh3::xxh3_64;

/// Returns the mark of a user.
pub(crate) fn mark_of(user: &str) -> u32 {
    mark_of_bytes(user.as_bytes())
}

/// Returns the mark of a user whose text was not checked.
pub(crate) fn mark_of_bytes(user: &[u8]) -> u32 {
    (xxh3_64(user) >> 32) as u32
}
