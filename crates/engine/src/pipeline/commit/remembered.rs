//! What later runs know of the rows of a batch.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::mem::take;

use tidegate_model::store::{Delivered, LookbackChunk, RowResult, RowVersion, StatusKind};
use tidegate_model::{Reason, RowHash, Value};

use crate::pipeline::commit::committer::Committer;
use crate::pipeline::commit::results::Results;
use crate::pipeline::item::BatchOpened;
use crate::pipeline::read::cursor_marks::CursorMarks;
use crate::pipeline::run_kind::Retention;
use crate::pipeline::transform::Transform;

/// Whether a mirror finds a row again that was rejected. A removed row without a known identifier cannot be sent by
/// any run, so it does not count.
fn is_found_again(row: &RowResult) -> bool {
    let is_rejected = row.status.kind() == StatusKind::Rejected;
    let names_nobody = row.status.reason().is_some_and(|reason| reason.code == Reason::IDENTIFIER_NOT_KEPT);
    is_rejected && !(row.row.is_removed() && names_nobody)
}

impl<F: Transform> Committer<F> {
    /// Returns the rows of a batch that a later run may read again, and the last chunk that is no longer needed.
    pub(super) fn remember(
        &mut self,
        results: &Results,
        opened: &mut BatchOpened,
        whole: bool,
    ) -> (Option<LookbackChunk>, Option<u64>) {
        let chunk = self.chunk(results, opened, whole);
        let (chunk, forgotten) = match opened.left.take().filter(|_| whole) {
            Some(left) => {
                let last = self.chunks.back().map(|(seq, _)| *seq);
                (self.replace(left), last)
            }
            None => (chunk, self.forget()),
        };
        // A retry commits rows that no run will read again.
        (chunk.filter(|chunk| forgotten.is_none_or(|seq| seq < chunk.seq)), forgotten)
    }

    /// Returns the number of the first row of a batch that a later run may read again.
    fn first_remembered(&self, marks: &CursorMarks) -> u32 {
        let low = self.low().filter(|_| self.kind.moves_checkpoint());
        low.map_or(0, |low| marks.below(&low))
    }

    /// Returns the committed rows that a later run may read again: those from the first one on that it may, up
    /// to the highest cursor value of the batch.
    fn chunk(&mut self, results: &Results, opened: &mut BatchOpened, whole: bool) -> Option<LookbackChunk> {
        let Results { delivered, others: rows, uncertain } = results;
        let (first, high) = (self.first_remembered(&opened.marks), opened.highest.take());
        let by_cursor = matches!(self.retention, Retention::Lookback(..));
        let by_key = self.retention == Retention::ByKey;
        if by_cursor && high.is_none() {
            // Pieces that could not be read: nothing would ever forget them.
            return None;
        }
        let none = rows.iter().all(Vec::is_empty) && delivered.iter().all(Delivered::is_empty);
        if (none && opened.kept.always.is_empty())
            || (whole && self.retention == Retention::PartialBatches)
            || (!self.kind.moves_checkpoint() && !by_cursor && !by_key)
        {
            return None;
        }
        let rejected: HashSet<u32> = (rows.iter().flatten())
            .filter(|(_, row)| row.status.kind() == StatusKind::Rejected)
            .map(|(at, _)| *at)
            .collect();
        let delivered = delivered.iter().flat_map(|rows| rows.versions_from(first));
        // A mirror finds a rejected row again: what took effect before under its key still holds.
        let committed =
            rows.iter().flatten().filter(|(at, row)| *at >= first && (!by_key || !is_found_again(row)));
        let committed = committed.map(|(_, row)| RowVersion {
            key: row.key,
            row: match row.status.kind() {
                StatusKind::Delivered => row.row,
                StatusKind::Rejected if by_key => row.row,
                StatusKind::Rejected => row.row.rejected(),
                StatusKind::InDoubt => row.row.in_doubt(),
            },
        });
        let kept = take(&mut opened.kept);
        let before = kept.if_rejected.into_iter().filter(|(at, _)| !by_key && rejected.contains(at));
        let kept = kept.always.into_iter().chain(before.map(|(_, row)| row));
        let uncertain = uncertain.iter().filter(|_| by_key).map(|(kept, changes)| RowVersion {
            key: kept.key,
            row: RowHash::UNCERTAIN.with_changes(*changes),
        });
        let rows: Vec<RowVersion> = delivered.chain(committed).chain(uncertain).chain(kept).collect();
        if rows.is_empty() {
            return None;
        }
        let seq = self.chunks.back().map_or(0, |(seq, _)| seq + 1);
        self.chunks.push_back((seq, high.clone()));
        Some(LookbackChunk { seq, high, rows })
    }

    /// Replaces all chunks by these rows. The checkpoint of the sync is after the others
    /// now: a line that looks like one of them is a new one.
    fn replace(&mut self, rows: Vec<RowVersion>) -> Option<LookbackChunk> {
        let seq = self.chunks.back().map_or(0, |(seq, _)| seq + 1);
        self.chunks.clear();
        if rows.is_empty() {
            return None;
        }
        self.chunks.push_back((seq, None));
        Some(LookbackChunk { seq, high: None, rows })
    }

    /// Returns the cursor value below which no row is remembered; `None` if there is none.
    fn low(&self) -> Option<Value> {
        let (Retention::Lookback(lookback, _), Some(cursor_state)) = (&self.retention, &self.cursor_state)
        else {
            return None;
        };
        // Without a lookback nothing is forgotten.
        let low = match self.keeps_keys {
            None => cursor_state.low(lookback),
            Some(span) => lookback.at_least(span?)?.low(&cursor_state.cursor, cursor_state.epoch),
        };
        low.ok().flatten()
    }

    /// The chunks that lie wholly below what the next run reads again.
    fn forget(&mut self) -> Option<u64> {
        let low = self.low()?;
        let mut through = None;
        while let Some((seq, high)) = self.chunks.front()
            && high.as_ref().is_none_or(|high| high.compare(&low) == Some(Ordering::Less))
        {
            through = Some(*seq);
            self.chunks.pop_front();
        }
        through
    }
}
