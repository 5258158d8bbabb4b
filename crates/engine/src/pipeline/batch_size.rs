//! How many items a batch has, and how many batches are in flight.

use tidegate_model::Limits;

/// Batches in flight at once: enough to read, deliver and commit concurrently and to give
/// every worker a request while another is filled; few enough to keep memory small when a
/// batch is one large request.
pub(crate) fn batches_under_way(limits: &Limits) -> usize {
    match limits.max_in_flight {
        0..=1 => 4,
        2..=255 => 8,
        // Half of them may wait for answers, or for an earlier row of their user: with 3,000 users in
        // turns, answers after 150 ms and 75,000 rows a second, 12 give 0.9 of the rate, 16 all of it.
        256.. => 16,
    }
}

/// Items of a batch if no request holds more: those of the batches in flight should
/// still be in the processor's caches when their results are written.
const BATCH_ITEMS_MAX: usize = 2_400;

/// Items of a batch: a few requests for each worker.
pub(crate) fn batch_items(limits: &Limits) -> usize {
    let wanted = limits.max_items.saturating_mul(limits.max_in_flight).saturating_mul(4);
    wanted.clamp(500, limits.max_items.max(BATCH_ITEMS_MAX))
}
