//! A request, or the rest of one.

use jiff::Timestamp;
use tidegate_model::Reason;
use tokio::time::Instant;

use crate::pipeline::item::Item;
use crate::pipeline::repeat::Sent;
use crate::pipeline::transform::Transform;

/// Since when the sending of a part fails.
#[derive(Clone, Copy)]
pub(super) struct Failing {
    /// When it first failed, for the retry budget.
    pub(super) since: Instant,
    /// How many certain answers the connection had given by then.
    pub(super) answers: u64,
}

/// A request, or the rest of one.
pub(super) struct Part<F: Transform> {
    pub(super) records: Vec<F::Sent>,
    pub(super) items: Vec<Item<F>>,
    /// When an answer to it was lost first, for the deduplication window.
    pub(super) unsure_since: Option<Sent>,
    pub(super) failing: Option<Failing>,
    /// How often it failed in a row.
    pub(super) attempts: u32,
    /// How often its items were sent without a certain response.
    pub(super) doubts: u32,
    /// What the last such answer said.
    pub(super) doubt: Option<Reason>,
    /// Whether a response to it was lost: it may have taken effect, whatever is answered later.
    pub(super) response_lost: bool,
    /// Whether it is a piece of a request that was split because of such an answer.
    pub(super) is_piece: bool,
    /// Whether it has been sent after the other pieces.
    pub(super) was_put_aside: bool,
}

impl<F: Transform> Part<F> {
    pub(super) fn new(records: Vec<F::Sent>, items: Vec<Item<F>>) -> Part<F> {
        Part {
            records,
            items,
            unsure_since: None,
            failing: None,
            attempts: 0,
            doubts: 0,
            doubt: None,
            response_lost: false,
            is_piece: false,
            was_put_aside: false,
        }
    }

    /// An empty part that remembers what this one went through.
    pub(super) fn emptied(&self) -> Part<F> {
        let (records, items) = (Vec::new(), Vec::new());
        Part { records, items, doubt: self.doubt.clone(), ..*self }
    }

    /// Notes that it was sent and that the response is not certain.
    pub(super) fn is_in_doubt(&mut self, reason: &Reason) {
        self.doubts += 1;
        self.doubt = Some(reason.clone());
    }

    /// Notes what an earlier run left of one of its items.
    pub(super) fn resumes(&mut self, item: &Item<F>, now: Timestamp) {
        let Some(doubt) = &item.doubt else { return };
        let sent = Sent::before(doubt.age(now), now);
        if self.unsure_since.is_none_or(|since| since.age(now) < sent.age(now)) {
            self.unsure_since = Some(sent);
        }
        self.doubts = self.doubts.max(doubt.sends);
        self.doubt.get_or_insert_with(|| doubt.reason.clone());
    }

    /// Returns its items by batch, with the records of each.
    pub(super) fn batches(&self) -> impl Iterator<Item = (&[Item<F>], &[F::Sent])> {
        let mut records = self.records.as_slice();
        self.items.chunk_by(|a, b| a.batch == b.batch).map(move |items| {
            let (these, others) = records.split_at(items.len());
            records = others;
            (items, these)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Halves it, in order. Both halves start from the beginning: nothing of it took effect.
    pub(super) fn halve(mut self) -> [Part<F>; 2] {
        let middle = self.records.len() / 2;
        let (records, items) = (self.records.split_off(middle), self.items.split_off(middle));
        (self.failing, self.attempts) = (None, 0);
        let second = Part { records, items, ..self.emptied() };
        [self, second]
    }

    /// Splits it, in order, into pieces of at most `len` items. They have failed as often as
    /// it has, so that the one with the bad item is not tried for long.
    pub(super) fn split(mut self, len: usize) -> Vec<Part<F>> {
        let mut pieces = Vec::with_capacity(self.len().div_ceil(len.max(1)));
        self.is_piece = true;
        while self.len() > len.max(1) {
            let mut rest = self.emptied();
            rest.records = self.records.split_off(len.max(1));
            rest.items = self.items.split_off(len.max(1));
            pieces.push(std::mem::replace(&mut self, rest));
        }
        pieces.push(self);
        pieces
    }
}
