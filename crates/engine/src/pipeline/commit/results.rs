//! What became of the rows of a batch.

use std::mem::take;

use tidegate_model::store::{Delivered, KeptUser, RowStatus, StatusKind};
use tidegate_model::{Counts, Origin};

use crate::pipeline::batch_order::BatchOrder;
use crate::pipeline::item::{BatchOpened, IndexedResult, RequestResults};

/// The results of a batch, as the requests left them: usually nothing has to move.
pub(super) struct Results {
    pub(super) delivered: Vec<Delivered>,
    /// All others, with those that needed no request.
    pub(super) others: Vec<Vec<IndexedResult>>,
    /// Users of whom it is not known what the platform has, with the changes of their rows.
    pub(super) uncertain: Vec<(KeptUser, u8)>,
}

impl Results {
    /// Collects those of requests, and those that were `known` without one.
    pub(super) fn of(requests: Vec<RequestResults>, known: Vec<IndexedResult>) -> Results {
        let mut results = Results { delivered: Vec::new(), others: Vec::new(), uncertain: Vec::new() };
        for request in requests {
            results.delivered.extend(request.delivered);
            results.others.push(request.others);
            results.uncertain.extend(request.uncertain);
        }
        results.others.push(known);
        results
    }

    /// Whether a row was rejected or is in doubt.
    pub(super) fn have_failed(&self) -> bool {
        self.others.iter().flatten().any(|(_, row)| row.status.reason().is_some())
    }

    /// Puts all rows in the order of the batch, since the last one with a key decides whether it counts as
    /// failed: delivered ones too, if they are `listed`.
    pub(super) fn put_in_order(&mut self, opened: &BatchOpened, listed: bool) {
        name_by_origin(self.others.iter_mut().flatten(), &opened.order, &opened.origins);
        let mut sorted: Vec<IndexedResult> = take(&mut self.others).into_iter().flatten().collect();
        if listed {
            sorted.extend(take(&mut self.delivered).iter().flat_map(Delivered::results));
        }
        sorted.sort_by_key(|(at, _)| *at);
        self.others = vec![sorted];
    }

    /// Adds the rows by their status.
    pub(super) fn count(&self, counts: &mut Counts) {
        self.others.iter().flatten().for_each(|(_, row)| count(counts, &row.status));
        counts.delivered += self.delivered.iter().map(Delivered::len).sum::<usize>() as u64;
    }
}

/// A row without a key is named by its location.
fn name_by_origin<'a>(
    rows: impl Iterator<Item = &'a mut IndexedResult>,
    order: &BatchOrder,
    origins: &[Origin],
) {
    for (at, row) in rows.filter(|(_, row)| row.key_text.is_empty()) {
        if let Some(origin) = order.item(*at).and_then(|at| origins.get(at)) {
            row.key_text = origin.to_string().into();
        }
    }
}

/// Counts one status.
pub(crate) fn count(counts: &mut Counts, status: &RowStatus) {
    match status.kind() {
        StatusKind::Delivered => counts.delivered += 1,
        StatusKind::Rejected => counts.rejected += 1,
        StatusKind::InDoubt => counts.in_doubt += 1,
    }
}
