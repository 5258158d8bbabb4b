//! The budget of one request.

use tidegate_model::Limits;

/// What a request holds so far, against what it may hold.
pub(crate) struct RequestBudget {
    limits: Limits,
    items: usize,
    bytes: usize,
    /// The batch of the last item.
    batch: Option<u64>,
}

impl RequestBudget {
    /// An empty request.
    pub(crate) fn of(limits: Limits) -> RequestBudget {
        RequestBudget { limits, items: 0, bytes: 0, batch: None }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.items >= self.limits.max_items
    }

    /// Adds an item, or returns false if it does not fit. A request that is large enough
    /// ends where its batch ends, so that the batch can be committed; if several are in
    /// flight at once, each is filled.
    #[inline]
    pub(crate) fn add(&mut self, batch: u64, size: usize) -> bool {
        let too_heavy = self.items > 0 && self.bytes + size > self.limits.max_bytes;
        let ends = is_alone(&self.limits) && self.batch.is_some_and(|last| last != batch);
        if self.is_full() || too_heavy || (ends && is_enough(&self.limits, self.items, self.bytes)) {
            return false;
        }
        (self.items, self.bytes, self.batch) = (self.items + 1, self.bytes + size, Some(batch));
        true
    }
}

/// Whether this many items are a request that need not wait for more: a full one,
/// or half of one if no other is sent meanwhile. Waiting for the other half
/// would cost the time in which the first one is written.
pub(crate) fn is_enough(limits: &Limits, items: usize, bytes: usize) -> bool {
    let share = if is_alone(limits) { 2 } else { 1 };
    items >= limits.max_items.div_ceil(share) || bytes >= limits.max_bytes.div_ceil(share)
}

/// Whether a request of this many items is so full that it is not worth waiting for more.
pub(crate) fn is_nearly_enough(limits: &Limits, items: usize) -> bool {
    items.saturating_mul(5) >= limits.max_items.saturating_mul(4)
}

/// Whether a request is the only one under way.
pub(crate) fn is_alone(limits: &Limits) -> bool {
    limits.max_in_flight <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these items, each a batch and a weight, go into one request.
    fn fitting(limits: Limits, items: &[(u64, usize)]) -> usize {
        let mut budget = RequestBudget::of(limits);
        items.iter().take_while(|(batch, size)| budget.add(*batch, *size)).count()
    }

    const FOUR: Limits = Limits { max_items: 4, max_bytes: 100, ..Limits::GENEROUS };

    #[test]
    fn a_request_ends_at_its_items_or_at_its_bytes() {
        assert_eq!(fitting(FOUR, &[(1, 10); 6]), 4);
        assert_eq!(fitting(FOUR, &[(1, 50), (1, 50), (1, 1)]), 2);
        assert_eq!(fitting(FOUR, &[(1, 50), (1, 51)]), 1);
    }

    #[test]
    fn what_is_too_heavy_for_any_request_goes_alone() {
        assert_eq!(fitting(FOUR, &[(1, 500), (1, 1)]), 1);
    }

    #[test]
    fn a_request_that_is_the_only_one_ends_with_its_batch_once_it_is_half_full() {
        let alone = Limits { max_in_flight: 1, ..FOUR };
        assert_eq!(fitting(alone, &[(1, 10), (1, 10), (2, 10), (2, 10)]), 2, "enough items");
        assert_eq!(fitting(alone, &[(1, 50), (2, 10), (2, 10)]), 1, "enough bytes");
        assert_eq!(fitting(alone, &[(1, 10), (2, 10), (2, 10), (3, 10)]), 3, "one item is not enough");
        assert_eq!(fitting(FOUR, &[(1, 10), (1, 10), (2, 10), (2, 10)]), 4, "beside others it is filled");
    }
}
