//! Times in segments.

use jiff::Timestamp;

/// The second of a moment, as the log remembers it.
pub(super) fn second(at: Timestamp) -> u32 {
    u32::try_from(at.as_second().max(1)).unwrap_or(u32::MAX)
}
