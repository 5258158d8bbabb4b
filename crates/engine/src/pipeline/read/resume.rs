//! What a run resumes from: the state that earlier runs left.

use std::collections::{HashMap, HashSet, VecDeque};

use tidegate_model::store::{Intent, IntentRow, RowStatus};
use tidegate_model::{Error, Outcome, Reason, RowHash, Store, SyncId, Value};

/// Rows that earlier runs committed, or were about to send.
#[derive(Default)]
pub(crate) struct ResumeState {
    /// Committed rows that this run may read again: how often each.
    committed: HashMap<RowHash, u32>,
    /// The chunks that they come from: number and highest cursor.
    pub(crate) chunks: Vec<(u64, Option<Value>)>,
    /// Rows that were about to be sent, oldest first, with their status if the response
    /// came. None of them was committed.
    intended: HashMap<RowHash, VecDeque<(IntentRow, Option<RowStatus>)>>,
    /// Keys of rows that were rejected or in doubt and are still open.
    pub(crate) failed_rows: HashSet<RowHash>,
}

/// What is known of a row before it is sent.
#[derive(Debug, PartialEq)]
pub(crate) enum PriorState {
    /// Nothing: it is new, or changed.
    New,
    /// It was committed before.
    Committed,
    /// It was sent by a run that died before it could commit it.
    Sent(Box<RowStatus>),
    /// It was about to be sent; whether it was is not known.
    InDoubt,
}

impl ResumeState {
    pub(crate) async fn load(store: &dyn Store, sync: &SyncId) -> Result<ResumeState, Error> {
        let mut resume = ResumeState::default();
        for chunk in store.lookback(sync).await? {
            for row in chunk.rows {
                *resume.committed.entry(row).or_default() += 1;
            }
            resume.chunks.push((chunk.seq, chunk.high));
        }
        for Intent { rows, outcomes } in store.open_intents(sync).await? {
            let responded = outcomes.is_some();
            let mut outcomes = outcomes.unwrap_or_default().into_iter();
            for row in rows {
                let status = match outcomes.next() {
                    Some(Outcome::Delivered) => Some(RowStatus::Delivered),
                    Some(Outcome::Rejected(reason)) => Some(RowStatus::Rejected(reason)),
                    Some(Outcome::Unknown(reason)) => Some(RowStatus::InDoubt(reason)),
                    // It had no effect: nothing is known of the row.
                    Some(Outcome::Deferred(_)) => continue,
                    None if responded => continue,
                    None => None,
                };
                resume.intended.entry(row.row).or_default().push_back((row, status));
            }
        }
        resume.failed_rows = store.failed_row_keys(sync).await?.into_iter().collect();
        Ok(resume)
    }

    /// Looks a row up and consumes the entry: an identical second row counts as new.
    #[inline]
    pub(crate) fn lookup(&mut self, row: RowHash) -> PriorState {
        if !self.committed.is_empty()
            && let Some(count) = self.committed.get_mut(&row)
        {
            *count -= 1;
            if *count == 0 {
                self.committed.remove(&row);
            }
            return PriorState::Committed;
        }
        self.lookup_sent(row)
    }

    /// Returns the committed rows that no lookup found.
    pub(crate) fn unmatched(&self) -> Vec<RowHash> {
        let rows = self.committed.iter();
        rows.flat_map(|(row, count)| std::iter::repeat_n(*row, *count as usize)).collect()
    }

    /// Like [`ResumeState::lookup`], for rows that are sent although they were committed.
    #[inline]
    pub(crate) fn lookup_sent(&mut self, row: RowHash) -> PriorState {
        if self.intended.is_empty() {
            return PriorState::New;
        }
        let Some(waiting) = self.intended.get_mut(&row) else { return PriorState::New };
        let first = waiting.pop_front();
        if waiting.is_empty() {
            self.intended.remove(&row);
        }
        match first {
            None => PriorState::New,
            Some((_, Some(status))) => PriorState::Sent(Box::new(status)),
            Some((_, None)) => PriorState::InDoubt,
        }
    }

    /// Takes the rows that were sent or about to be, and that the source no longer showed.
    pub(crate) fn unfinished(&mut self) -> Vec<(IntentRow, RowStatus)> {
        let rows = self.intended.drain().flat_map(|(_, rows)| rows);
        rows.map(|(row, status)| (row, status.unwrap_or_else(|| RowStatus::InDoubt(crashed())))).collect()
    }
}

/// The reason that stands with a row in doubt after a crash.
pub(crate) fn crashed() -> Reason {
    Reason::new(
        "response_lost",
        "the process ended while this row was being sent; whether it took effect is not known",
    )
}
