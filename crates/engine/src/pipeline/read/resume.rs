//! What a run resumes from: the state that earlier runs left.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem::take;

use tidegate_model::store::{Intent, IntentRow, Known, Lookback, RowStatus, RowVersion, RunStore};
use tidegate_model::{Error, Outcome, Reason, RowHash, SyncId, Value};

use crate::pipeline::read::restored::RejectedRows;
use crate::pipeline::repeat::Doubt;
use crate::pipeline::run_kind::{Retention, RunKind};
use crate::pipeline::transform::ItemKeys;

/// Rows that earlier runs committed, or were about to send.
#[derive(Default)]
pub(crate) struct ResumeState {
    /// Committed rows that this run may read again.
    committed: Committed,
    /// The chunks that they come from: number and highest cursor.
    pub(crate) chunks: Vec<(u64, Option<Value>)>,
    /// Rows that were about to be sent, by key and version, oldest first. None of them was committed.
    intended: HashMap<RowHash, Vec<(RowHash, VecDeque<Intended>)>>,
    /// The keys under which a row was taken for another version of it, which had been sent.
    changed_since: HashSet<RowHash>,
    /// Whether rows that were rejected or in doubt are still open.
    pub(crate) any_failed: bool,
    /// The rejected ones of them, for a retry.
    pub(crate) rejected: RejectedRows,
}

/// Committed rows, by what is asked of them.
#[derive(Default)]
enum Committed {
    /// There are none.
    #[default]
    Nothing,
    /// Those of a batch that was not committed whole: how often each.
    Rows(HashMap<RowVersion, u32>),
    /// The last one of each key.
    ByKey(Box<dyn Lookback>),
}

/// A row that was about to be sent.
struct Intended {
    row: IntentRow,
    /// What the response said of it; if it came and did not say, why.
    response: Result<RowStatus, Option<Reason>>,
}

impl Intended {
    fn prior(self) -> PriorState {
        let IntentRow { sends, since, .. } = self.row;
        match self.response {
            Ok(status) => PriorState::Sent(Box::new(status)),
            Err(reason) => {
                let reason = reason.unwrap_or_else(crashed);
                PriorState::InDoubt(Box::new(Doubt { sends: sends + 1, since, reason }))
            }
        }
    }

    /// Returns whether the platform may have it.
    fn may_have_effect(&self) -> bool {
        !matches!(self.response, Ok(RowStatus::Rejected(_)))
    }

    fn into_status(self) -> (IntentRow, RowStatus) {
        let status =
            self.response.unwrap_or_else(|reason| RowStatus::InDoubt(reason.unwrap_or_else(crashed)));
        (self.row, status)
    }
}

/// What is known of a row before it is sent.
#[derive(Debug, PartialEq)]
pub(crate) enum PriorState {
    /// Nothing: it is new, or changed.
    New,
    /// It was committed before.
    Committed,
    /// Another row was committed under its key, and changed rows are ignored.
    Ignored,
    /// It was delivered, and a change of it was rejected that the source no longer has.
    Restored,
    /// It was sent by a run that died before it could commit it.
    Sent(Box<RowStatus>),
    /// It was about to be sent; whether it took effect is not known.
    InDoubt(Box<Doubt>),
}

impl PriorState {
    /// Returns whether nothing is to be done about the row.
    pub(crate) fn is_skipped(&self) -> bool {
        matches!(self, PriorState::Committed | PriorState::Ignored | PriorState::Restored)
    }
}

impl ResumeState {
    pub(crate) async fn load(
        store: &dyn RunStore,
        sync: &SyncId,
        retention: &Retention,
        kind: RunKind,
    ) -> Result<ResumeState, Error> {
        let mut resume = ResumeState::default();
        let lookback = store.lookback(sync).await?;
        resume.chunks = lookback.chunks().to_vec();
        resume.committed = match retention {
            _ if resume.chunks.is_empty() => Committed::Nothing,
            Retention::PartialBatches => {
                let mut rows: HashMap<RowVersion, u32> = HashMap::new();
                for row in lookback.all().await? {
                    *rows.entry(unmarked(row)).or_default() += 1;
                }
                Committed::Rows(rows)
            }
            Retention::Lookback(..) | Retention::UntilComplete | Retention::ByKey => {
                Committed::ByKey(lookback)
            }
        };
        for Intent { rows, outcomes } in store.open_intents(sync).await? {
            let responded = outcomes.is_some();
            let mut outcomes = outcomes.unwrap_or_default().into_iter();
            for row in rows {
                let response = match outcomes.next() {
                    Some(Outcome::Delivered) => Ok(RowStatus::Delivered),
                    Some(Outcome::Rejected(reason)) => Ok(RowStatus::Rejected(reason)),
                    Some(Outcome::Unknown(reason) | Outcome::Unnamed(reason)) => Err(Some(reason)),
                    // It had no effect: nothing is known of the row.
                    Some(Outcome::Deferred(_)) => continue,
                    None if responded => continue,
                    None => Err(None),
                };
                resume.intends(Intended { row, response });
            }
        }
        resume.any_failed = store.failed_row_totals(sync).await?.rows > 0;
        if resume.any_failed && kind == RunKind::Retry {
            resume.rejected = RejectedRows::load(store, sync).await?;
        }
        Ok(resume)
    }

    /// Notes a row that was about to be sent, in place of the last time that it was.
    fn intends(&mut self, intended: Intended) {
        let versions = self.intended.entry(intended.row.key).or_default();
        let at = versions.iter().position(|(row, _)| *row == intended.row.row).unwrap_or(versions.len());
        if at == versions.len() {
            versions.push((intended.row.row, VecDeque::new()));
        }
        let waiting = &mut versions[at].1;
        match waiting.iter_mut().find(|earlier| earlier.row.sends < intended.row.sends) {
            Some(earlier) => *earlier = intended,
            None => waiting.push_back(intended),
        }
    }

    /// Returns what was committed last under each key; `None` if nothing is remembered by key.
    pub(crate) async fn known(&self, keys: &[RowHash]) -> Result<Option<Vec<Known>>, Error> {
        match &self.committed {
            Committed::ByKey(lookback) => lookback.find(keys).await.map(Some),
            Committed::Nothing | Committed::Rows(_) => Ok(None),
        }
    }

    /// Whether a batch that was not committed whole has this row. The entry is consumed: an
    /// identical second row counts as new.
    #[inline]
    pub(crate) fn take_committed(&mut self, keys: ItemKeys) -> bool {
        let Committed::Rows(rows) = &mut self.committed else { return false };
        let version = unmarked(keys.into());
        let Some(count) = rows.get_mut(&version) else { return false };
        *count -= 1;
        if *count == 0 {
            rows.remove(&version);
        }
        true
    }

    /// Returns the rows of unfinished batches that were not read again.
    pub(crate) fn unmatched(&self) -> Vec<RowVersion> {
        let Committed::Rows(rows) = &self.committed else { return Vec::new() };
        rows.iter().flat_map(|(row, count)| std::iter::repeat_n(*row, *count as usize)).collect()
    }

    /// Returns what is known of a row that was not committed, and consumes the entry. With `by_key`, another
    /// version of the row counts too, if the platform may have it: `keys` become those of what was sent, and
    /// further rows under the key are ignored.
    #[inline]
    pub(crate) fn lookup_sent(&mut self, keys: &mut ItemKeys, by_key: bool) -> PriorState {
        if by_key && self.changed_since.contains(&keys.key) {
            return PriorState::Ignored;
        }
        let Some(versions) = self.intended.get_mut(&keys.key) else { return PriorState::New };
        let same = versions.iter_mut().find(|(row, _)| *row == keys.version);
        let mut sent = same.and_then(|(_, waiting)| waiting.pop_front());
        if sent.is_none() && by_key {
            sent = take_newest(versions);
            if let Some(other) = &sent {
                keys.version = other.row.row;
                self.changed_since.insert(keys.key);
            }
        }
        versions.retain(|(_, waiting)| !waiting.is_empty());
        if versions.is_empty() {
            self.intended.remove(&keys.key);
        }
        sent.map_or(PriorState::New, Intended::prior)
    }

    /// Takes every row under a key that was sent or about to be.
    pub(crate) fn take_intended(&mut self, key: RowHash) -> Vec<RowVersion> {
        let taken = self.intended.remove(&key).unwrap_or_default().into_iter();
        taken.flat_map(|(row, times)| std::iter::repeat_n(RowVersion { key, row }, times.len())).collect()
    }

    /// Takes the rows under a key that were rejected, and that are not this version: they had no effect, and the
    /// source has this one now.
    pub(crate) fn take_rejected(&mut self, keys: ItemKeys) -> Vec<(IntentRow, RowStatus)> {
        let Some(versions) = self.intended.get_mut(&keys.key) else { return Vec::new() };
        let mut taken = Vec::new();
        for (_, waiting) in versions.iter_mut().filter(|(row, _)| !row.is_row(keys.version)) {
            let (open, rejected) = take(waiting).into_iter().partition(Intended::may_have_effect);
            *waiting = open;
            taken.extend(VecDeque::into_iter(rejected).map(Intended::into_status));
        }
        versions.retain(|(_, waiting)| !waiting.is_empty());
        if versions.is_empty() {
            self.intended.remove(&keys.key);
        }
        taken
    }

    /// Whether rows that were sent or about to be were not shown by the source.
    pub(crate) fn has_unfinished(&self) -> bool {
        !self.intended.is_empty()
    }

    /// Takes the rows that were sent or about to be, and that the source no longer showed.
    pub(crate) fn unfinished(&mut self) -> Vec<(IntentRow, RowStatus)> {
        let rows = self.intended.drain().flat_map(|(_, versions)| versions).flat_map(|(_, rows)| rows);
        rows.map(Intended::into_status).collect()
    }
}

/// Takes the newest row under a key that the platform may have.
fn take_newest(versions: &mut [(RowHash, VecDeque<Intended>)]) -> Option<Intended> {
    versions.iter_mut().rev().find_map(|(_, waiting)| {
        let at = waiting.iter().position(Intended::may_have_effect)?;
        waiting.remove(at)
    })
}

/// The same row whatever is noted of it.
fn unmarked(row: RowVersion) -> RowVersion {
    RowVersion { row: row.row.unmarked(), ..row }
}

/// The reason of a row in doubt after a crash.
fn crashed() -> Reason {
    Reason::new(
        "response_lost",
        "the process ended while this row was being sent; whether it took effect is not known",
    )
}
