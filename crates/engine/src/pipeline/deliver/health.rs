//! Whether a platform answers, beside the requests that fail.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the answers of a connection that leave nothing open.
///
/// They tell an item that is never answered with certainty from a platform that answers
/// nothing: in the first case the item is listed and the sync continues, in the second the run
/// ends and everything is sent again later.
#[derive(Default)]
pub(crate) struct Health {
    answers: AtomicU64,
    /// How many items were given up without a proof since the last certain answer.
    unproven: AtomicU64,
}

/// How many items may be given up without a proof that the platform is well.
const UNPROVEN_MAX: u64 = 10;

impl Health {
    /// Notes a response that says whether an item took effect.
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.unproven.store(0, Ordering::Relaxed);
    }

    /// Returns the number of such answers.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Whether the platform is taken to be well without a proof: for a few items after each
    /// certain answer. The last items of a run are followed by no others that could prove it.
    pub(super) fn benefit_of_the_doubt(&self) -> bool {
        self.answers() > 0 && self.unproven.fetch_add(1, Ordering::Relaxed) < UNPROVEN_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_the_benefit_of_the_doubt_for_a_few_items_after_each_certain_answer() {
        let health = Health::default();
        assert!(!health.benefit_of_the_doubt(), "it never answered");
        for _ in 0..2 {
            health.answered();
            assert!((0..UNPROVEN_MAX).all(|_| health.benefit_of_the_doubt()));
            assert!(!health.benefit_of_the_doubt());
        }
    }
}
