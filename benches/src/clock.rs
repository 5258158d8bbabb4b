//! Time inside the bench: one clock for what sends and what receives, so that a
//! message can carry when it was sent.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds since the bench looked at its clock for the first time.
pub(crate) fn micros() -> u64 {
    u64::try_from(BEGAN.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Blocks this thread until a moment; a moment that is over passes at once.
pub(crate) fn wait_until(moment: Instant) {
    let left = moment.saturating_duration_since(Instant::now());
    if left > Duration::ZERO {
        #[expect(
            clippy::disallowed_methods,
            reason = "an even load is made by waiting; nothing of the product runs here"
        )]
        std::thread::sleep(left);
    }
}
