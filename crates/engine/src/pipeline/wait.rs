//! The only place that waits.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first wait of a back-off.
const FIRST: Duration = Duration::from_millis(200);
/// The longest wait of a back-off.
const LONGEST: Duration = Duration::from_secs(20);

/// Waits for a span.
#[expect(clippy::disallowed_methods, reason = "this is the one place that waits")]
pub(crate) async fn span(span: Duration) {
    tokio::time::sleep(span).await;
}

/// Returns how long to wait before attempt number `attempt` (from 1): doubling, with jitter
/// between a half and the whole, so that senders spread out.
pub(crate) fn backoff(attempt: u32) -> Duration {
    let whole = FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST);
    let share = RandomState::new().hash_one(attempt) % 1_000;
    whole / 2 + whole / 2 * u32::try_from(share).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        for attempt in 1..40 {
            let wait = backoff(attempt);
            let whole = FIRST.saturating_mul(1 << (attempt - 1).min(16)).min(LONGEST);
            assert!(wait >= whole / 2 && wait <= whole, "attempt {attempt}: {wait:?}");
        }
    }
}
