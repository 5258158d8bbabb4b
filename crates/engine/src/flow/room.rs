//! What fits into one request.

use tidegate_model::Limits;

/// What a request holds so far, against what it may hold.
pub(super) struct Room {
    limits: Limits,
    items: usize,
    bytes: usize,
    /// The batch of the last item.
    batch: Option<u64>,
}

impl Room {
    /// An empty request.
    pub(super) fn of(limits: Limits) -> Room {
        Room { limits, items: 0, bytes: 0, batch: None }
    }

    pub(super) fn is_full(&self) -> bool {
        self.items >= self.limits.items_max
    }

    /// Makes room for an item, or says that there is none. A request that is enough
    /// ends where its batch ends, so that the batch can be settled; where several
    /// are sent at once, each is filled.
    #[inline]
    pub(super) fn add(&mut self, batch: u64, weight: usize) -> bool {
        let too_heavy = self.items > 0 && self.bytes + weight > self.limits.bytes_max;
        let ends = is_alone(&self.limits) && self.batch.is_some_and(|last| last != batch);
        if self.is_full() || too_heavy || (ends && is_enough(&self.limits, self.items, self.bytes)) {
            return false;
        }
        (self.items, self.bytes, self.batch) = (self.items + 1, self.bytes + weight, Some(batch));
        true
    }
}

/// Whether so many items are a request that need not wait for more: a full one,
/// or half of one where no other is sent meanwhile. Waiting for the other half
/// would cost the time in which the first one is written.
pub(super) fn is_enough(limits: &Limits, items: usize, bytes: usize) -> bool {
    let share = if is_alone(limits) { 2 } else { 1 };
    items >= limits.items_max.div_ceil(share) || bytes >= limits.bytes_max.div_ceil(share)
}

/// Whether a request is the only one under way.
pub(super) fn is_alone(limits: &Limits) -> bool {
    limits.requests_at_once <= 1
}
