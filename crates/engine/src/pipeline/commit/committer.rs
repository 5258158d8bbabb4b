//! Commits the results of rows, batch by batch, in order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::store::{
    BatchCommit, Delivered, KeptUser, LookbackChunk, RowStatus, RowVersion, RunLedger, StatusKind,
};
use tidegate_model::{Checkpoint, Counts, KeptRow, Origin, Progress, RowHash, RunId, SyncId, Value};
use tokio::sync::{mpsc, watch};

use crate::pipeline::batch_order::BatchOrder;
use crate::pipeline::item::{BatchOpened, CommitEvent, IndexedResult, Kept, RequestResults};
use crate::pipeline::read::cursor_marks::CursorMarks;
use crate::pipeline::read::cursor_state::CursorState;
use crate::pipeline::run_kind::{Retention, RunKind};
use crate::pipeline::shutdown::{Shutdown, Watch};
use crate::pipeline::transform::Transform;

/// Commits the batches of one run.
pub(crate) struct Committer<F> {
    pub(crate) store: Arc<dyn RunLedger>,
    pub(crate) transform: Arc<F>,
    pub(crate) sync: SyncId,
    pub(crate) run: RunId,
    pub(crate) shutdown: Arc<Shutdown>,
    pub(crate) retention: Retention,
    /// Whether keys are known beyond the lookback, so that a row that changes later is recognized; and
    /// how long, if not for good.
    pub(crate) keeps_keys: Option<Option<Duration>>,
    /// Whether the users of delivered rows are kept.
    pub(crate) keeps_users: bool,
    /// Whether items count as read.
    pub(crate) counts_read: bool,
    pub(crate) cursor_state: Option<CursorState>,
    /// The checkpoint of a mirror, until it is committed.
    pub(crate) mirror: Option<Checkpoint>,
    pub(crate) chunks: VecDeque<(u64, Option<Value>)>,
    /// Whether the sync has failed rows that a delivery may close.
    pub(crate) any_failed: bool,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) kind: RunKind,
    /// Whether a delivery has proved that the cause of a pause is fixed. Asked of continuous runs
    /// only: others prove it by their end.
    pub(crate) proved: bool,
    /// The last batch that is committed.
    pub(crate) done: u64,
}

#[derive(Default)]
struct Open {
    opened: Option<BatchOpened>,
    /// What workers reported, one entry per request.
    decided: Vec<RequestResults>,
    items: usize,
}

impl Open {
    fn is_complete(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| self.items == opened.under_way)
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

/// Leaves rows that earlier runs were about to send, and that have no result yet, with these runs.
fn keep_undecided(commit: &mut BatchCommit) {
    let mut decided: HashMap<RowVersion, usize> = HashMap::new();
    commit.decided().for_each(|row| *decided.entry(row).or_default() += 1);
    commit.recalled.retain(|row| match decided.get_mut(row) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    });
}

/// Counts one status.
pub(crate) fn count(counts: &mut Counts, status: &RowStatus) {
    match status.kind() {
        StatusKind::Delivered => counts.delivered += 1,
        StatusKind::Rejected => counts.rejected += 1,
        StatusKind::InDoubt => counts.in_doubt += 1,
    }
}

impl<F: Transform> Committer<F> {
    /// Commits until every sender is gone. Returns the counts of the run.
    pub(crate) async fn commit_all(mut self, mut events: mpsc::Receiver<CommitEvent>) -> Counts {
        let _watch = Watch(self.shutdown.clone());
        let mut open: BTreeMap<u64, Open> = BTreeMap::new();
        let mut total = Counts::default();
        while let Some(event) = events.recv().await {
            match event {
                CommitEvent::Opened(opened) => {
                    let entry = open.entry(opened.batch).or_default();
                    entry.opened = Some(*opened);
                }
                CommitEvent::Decided { batch, results } => {
                    let entry = open.entry(batch).or_default();
                    entry.items += results.len();
                    entry.decided.push(results);
                }
            }
            while open
                .first_key_value()
                .is_some_and(|(batch, first)| *batch == self.done + 1 && first.is_complete())
            {
                let Some((batch, first)) = open.pop_first() else { break };
                self.done = batch;
                if !self.commit(batch, first, true, &mut total).await {
                    // Rows that are not committed are read again; nothing more can be
                    // written.
                    events.close();
                    return total;
                }
            }
        }
        // The run ended early. Rows that have a status keep it; the checkpoint stays before them.
        for (batch, rest) in open {
            if !self.commit(batch, rest, false, &mut total).await {
                break;
            }
        }
        total
    }

    /// Commits one batch. `whole` says that all of its rows have their status.
    async fn commit(&mut self, batch: u64, open: Open, whole: bool, total: &mut Counts) -> bool {
        let Some(opened) = open.opened else { return true };
        let _permit = opened.permit;
        // As the requests left them: usually nothing has to move.
        let (mut delivered, mut rows, mut uncertain) = (Vec::new(), Vec::new(), Vec::new());
        for results in open.decided {
            delivered.extend(results.delivered);
            rows.push(results.others);
            uncertain.extend(results.uncertain);
        }
        rows.push(opened.decided);
        let mut counts = opened.counts;
        (counts.requests, counts.retries) = self.shutdown.take_counts();
        if !self.counts_read {
            counts.read = 0;
        }
        let mut commit = BatchCommit {
            batch,
            partial: !whole,
            counts,
            keeps_users: self.keeps_users,
            ..BatchCommit::default()
        };
        if whole && self.kind.moves_checkpoint() {
            commit.checkpoint = match (&self.retention, &opened.highest) {
                (Retention::Lookback(lookback, origin), Some(highest)) => {
                    let first = || CursorState::at(highest.clone()).over(origin);
                    let cursor_state = self.cursor_state.get_or_insert_with(first);
                    match cursor_state.advance(highest, lookback) {
                        Ok(()) => Some(cursor_state.checkpoint()),
                        Err(error) => {
                            // What became of the rows is written; the checkpoint stays before them.
                            self.shutdown.fail(error);
                            None
                        }
                    }
                }
                (Retention::Lookback(..), None) => None,
                // The same for each batch of the run.
                (Retention::ByKey, _) => self.mirror.take(),
                _ => opened.checkpoint,
            };
        }
        let first = self.first_remembered(&opened.marks);
        let reach = (first, opened.highest);
        commit.remember = self.chunk(&rows, &delivered, &uncertain, opened.kept, reach, whole);
        commit.uncertain = uncertain.into_iter().map(|(kept, _)| kept).collect();
        commit.forget_through = match opened.left.filter(|_| whole) {
            Some(left) => {
                let last = self.chunks.back().map(|(seq, _)| *seq);
                commit.remember = self.replace(left);
                last
            }
            None => self.forget(),
        };
        // A retry commits rows that no run will read again.
        let forgotten = commit.forget_through;
        commit.remember = commit.remember.filter(|chunk| forgotten.is_none_or(|seq| seq < chunk.seq));
        rows.push(opened.without_cursor);
        if rows.iter().flatten().any(|(_, row)| row.status.reason().is_some()) {
            name_by_origin(rows.iter_mut().flatten(), &opened.order, &opened.origins);
            // Of rows with one key the last one decides whether it counts as failed.
            let mut sorted: Vec<IndexedResult> = rows.into_iter().flatten().collect();
            if self.transform.lists_delivered() {
                sorted.extend(std::mem::take(&mut delivered).iter().flat_map(Delivered::results));
            }
            sorted.sort_by_key(|(at, _)| *at);
            rows = vec![sorted];
        }
        commit.solved = self.solved(&rows, &delivered, opened.fixed);
        rows.iter().flatten().for_each(|(_, row)| count(&mut commit.counts, &row.status));
        commit.counts.delivered += delivered.iter().map(Delivered::len).sum::<usize>() as u64;
        if self.transform.lists_delivered() {
            commit.delivered = delivered;
        }
        commit.results.reserve_exact(rows.iter().map(Vec::len).sum());
        commit.results.extend(rows.into_iter().flatten().map(|(_, row)| row));
        commit.recalled = opened.recalled;
        if !whole {
            keep_undecided(&mut commit);
        }
        commit.sent = self.transform.sent_users(&commit);
        let counts = commit.counts;
        let kept = commit.results.iter().filter_map(|row| row.payload.as_ref()).map(KeptRow::bytes).sum();
        let checkpoint = commit.checkpoint.clone();
        let remembered = self.transform.keeps_at_source().then(|| {
            let rows = commit.remember.as_ref().map_or_else(Vec::new, |chunk| chunk.rows.clone());
            let rejected = commit.results.iter().filter(|row| row.status.kind() == StatusKind::Rejected);
            (rows, rejected.map(|row| row.key).collect::<Vec<RowHash>>())
        });
        if let Err(error) = self.store.commit_batch(&self.run, commit).await {
            self.shutdown.fail(error.context("the ledger could not be written"));
            return false;
        }
        self.transform.kept(kept);
        if let Some(checkpoint) = checkpoint
            && let Err(error) = self.transform.committed(&checkpoint).await
        {
            // The checkpoint is stored here; what the source knows of it may lag behind.
            let (sync, error) = (&self.sync, error.chain());
            tracing::warn!(%sync, error, "the source could not be notified of the commit");
        }
        if let Some((rows, rejected)) = remembered
            && let Err(error) = self.transform.remembered(&rows, &rejected).await
        {
            // The source shows these rows once more, and the ledger knows them.
            let (sync, error) = (&self.sync, error.chain());
            tracing::warn!(%sync, error, "the source could not note rows that were committed");
        }
        if self.kind.is_endless() && !self.proved && counts.delivered > 0 {
            self.proved = true;
            self.lift_pause().await;
        }
        self.measure(counts);
        *total += counts;
        self.progress.send_modify(|progress| progress.counts += counts);
        true
    }

    /// The sync is active again, unless a person paused it.
    async fn lift_pause(&self) {
        if let Err(error) = self.store.lift_pause(&self.run).await {
            tracing::warn!(sync = %self.sync, error = error.chain(), "a sync that delivers still counts as paused");
        }
    }

    fn measure(&self, counts: Counts) {
        let sync = self.sync.as_str();
        for (status, rows) in
            [("delivered", counts.delivered), ("rejected", counts.rejected), ("in_doubt", counts.in_doubt)]
        {
            if rows > 0 {
                metrics::counter!("tidegate_rows_total", "sync" => sync.to_owned(), "status" => status)
                    .increment(rows);
            }
        }
        metrics::counter!("tidegate_requests_total", "sync" => sync.to_owned()).increment(counts.requests);
        metrics::counter!("tidegate_retries_total", "sync" => sync.to_owned()).increment(counts.retries);
    }

    /// Returns the number of the first row of a batch that a later run may read again.
    fn first_remembered(&self, marks: &CursorMarks) -> u32 {
        let low = self.low().filter(|_| self.kind.moves_checkpoint());
        low.map_or(0, |low| marks.below(&low))
    }

    /// Returns the committed rows that a later run may read again: those from the number `first` on, up to
    /// the cursor value `high`.
    fn chunk(
        &mut self,
        rows: &[Vec<IndexedResult>],
        delivered: &[Delivered],
        uncertain: &[(KeptUser, u8)],
        kept: Kept,
        (first, high): (u32, Option<Value>),
        whole: bool,
    ) -> Option<LookbackChunk> {
        let by_cursor = matches!(self.retention, Retention::Lookback(..));
        let by_key = self.retention == Retention::ByKey;
        if by_cursor && high.is_none() {
            // Pieces that could not be read: nothing would ever forget them.
            return None;
        }
        let none = rows.iter().all(Vec::is_empty) && delivered.iter().all(Delivered::is_empty);
        if (none && kept.always.is_empty())
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
        let committed = rows
            .iter()
            .flatten()
            .filter(|(at, row)| *at >= first && (!by_key || row.status.kind() != StatusKind::Rejected));
        let committed = committed.map(|(_, row)| RowVersion {
            key: row.key,
            row: match row.status.kind() {
                StatusKind::Delivered => row.row,
                StatusKind::Rejected => row.row.rejected(),
                StatusKind::InDoubt => row.row.in_doubt(),
            },
        });
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

    /// The keys of failed rows that the batch may close: those whose last row was delivered, and
    /// of what can be read now.
    fn solved(
        &mut self,
        rows: &[Vec<IndexedResult>],
        delivered: &[Delivered],
        fixed: Vec<RowHash>,
    ) -> Vec<RowHash> {
        let failing = rows.iter().flatten().any(|(_, row)| row.status.reason().is_some());
        if self.kind == RunKind::Backfill {
            // Only a part of each row was sent.
            return Vec::new();
        }
        if !self.any_failed && !failing {
            return Vec::new();
        }
        self.any_failed |= failing;
        let mut last: HashMap<RowHash, bool> = HashMap::new();
        for (_, row) in rows.iter().flatten() {
            last.insert(row.key, row.status == RowStatus::Delivered);
        }
        let others = delivered.iter().flat_map(Delivered::keys).copied().chain(fixed);
        let mut solved: Vec<RowHash> = others.filter(|key| !last.contains_key(key)).collect();
        solved.extend(last.into_iter().filter(|(_, delivered)| *delivered).map(|(key, _)| key));
        solved
    }
}
