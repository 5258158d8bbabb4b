//! Commits the results of rows, batch by batch, in order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::store::{BatchCommit, Delivered, RowStatus, RowVersion, RunLedger, StatusKind};
use tidegate_model::{Checkpoint, Counts, KeptRow, Progress, RowHash, RunId, SyncId, Value};
use tokio::sync::{mpsc, watch};

use crate::pipeline::commit::results::Results;
pub(crate) use crate::pipeline::commit::results::count;
use crate::pipeline::item::{BatchOpened, CommitEvent, IndexedResult, RequestResults};
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

/// What others are told of a commit.
struct News {
    /// Bytes of rows that are kept because they failed.
    kept_bytes: u64,
    checkpoint: Option<Checkpoint>,
    /// Rows that are remembered, and the keys of rejected ones, for a source that keeps them too.
    remembered: Option<(Vec<RowVersion>, Vec<RowHash>)>,
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
                if !self.commit(first, true, &mut total).await {
                    // Rows that are not committed are read again; nothing more can be
                    // written.
                    events.close();
                    return total;
                }
            }
        }
        // The run ended early. Rows that have a status keep it; the checkpoint stays before them.
        for rest in open.into_values() {
            if !self.commit(rest, false, &mut total).await {
                break;
            }
        }
        total
    }

    /// Commits one batch. `whole` says that all of its rows have their status. Returns whether it was written.
    async fn commit(&mut self, open: Open, whole: bool, total: &mut Counts) -> bool {
        let Some(mut opened) = open.opened else { return true };
        let commit = self.commit_of(&mut opened, open.decided, whole);
        let (counts, news) = (commit.counts, self.news_of(&commit));
        if let Err(error) = self.store.commit_batch(&self.run, commit).await {
            self.shutdown.fail(error.context("the ledger could not be written"));
            return false;
        }
        self.tell(news).await;
        if self.kind.is_endless() && !self.proved && counts.delivered > 0 {
            self.proved = true;
            self.lift_pause().await;
        }
        self.measure(counts);
        *total += counts;
        self.progress.send_modify(|progress| progress.counts += counts);
        // The reader may read the next batch.
        drop(opened.permit);
        true
    }

    /// Makes of the results of a batch what is written.
    fn commit_of(
        &mut self,
        opened: &mut BatchOpened,
        decided: Vec<RequestResults>,
        whole: bool,
    ) -> BatchCommit {
        let mut results = Results::of(decided, take(&mut opened.decided));
        let mut counts = opened.counts;
        (counts.requests, counts.retries) = self.shutdown.take_counts();
        if !self.counts_read {
            counts.read = 0;
        }
        let mut commit = BatchCommit {
            batch: opened.batch,
            partial: !whole,
            keeps_users: self.keeps_users,
            ..BatchCommit::default()
        };
        if whole && self.kind.moves_checkpoint() {
            commit.checkpoint = self.checkpoint(opened);
        }
        (commit.remember, commit.forget_through) = self.remember(&results, opened, whole);
        commit.uncertain = take(&mut results.uncertain).into_iter().map(|(kept, _)| kept).collect();
        let lists_delivered = self.transform.lists_delivered();
        results.others.push(take(&mut opened.without_cursor));
        // Before all others, also once they are sorted.
        results.others.insert(0, take(&mut opened.earlier));
        if results.have_failed() {
            results.put_in_order(opened, lists_delivered);
        }
        commit.solved = self.solved(&results, take(&mut opened.fixed));
        results.count(&mut counts);
        commit.counts = counts;
        if lists_delivered {
            commit.delivered = results.delivered;
        }
        commit.results.reserve_exact(results.others.iter().map(Vec::len).sum());
        commit.results.extend(results.others.into_iter().flatten().map(|(_, row)| row));
        commit.recalled = take(&mut opened.recalled);
        if !whole {
            keep_undecided(&mut commit);
        }
        commit.sent = self.transform.sent_users(&commit);
        commit
    }

    /// Returns the checkpoint after a batch whose rows all have their status.
    fn checkpoint(&mut self, opened: &mut BatchOpened) -> Option<Checkpoint> {
        match (&self.retention, &opened.highest) {
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
            _ => opened.checkpoint.take(),
        }
    }

    /// Returns what others are told of a commit once it is written.
    fn news_of(&self, commit: &BatchCommit) -> News {
        let rejected = commit.results.iter().filter(|row| row.status.kind() == StatusKind::Rejected);
        News {
            kept_bytes: commit
                .results
                .iter()
                .filter_map(|row| row.payload.as_ref())
                .map(KeptRow::bytes)
                .sum(),
            checkpoint: commit.checkpoint.clone(),
            remembered: self.transform.keeps_at_source().then(|| {
                let rows = commit.remember.as_ref().map_or_else(Vec::new, |chunk| chunk.rows.clone());
                (rows, rejected.map(|row| row.key).collect())
            }),
        }
    }

    async fn tell(&self, News { kept_bytes, checkpoint, remembered }: News) {
        let sync = &self.sync;
        self.transform.kept(kept_bytes);
        if let Some(checkpoint) = checkpoint
            && let Err(error) = self.transform.committed(&checkpoint).await
        {
            // The checkpoint is stored here; what the source knows of it may lag behind.
            let error = error.chain();
            tracing::warn!(%sync, error, "the source could not be notified of the commit");
        }
        if let Some((rows, rejected)) = remembered
            && let Err(error) = self.transform.remembered(&rows, &rejected).await
        {
            // The source shows these rows once more, and the ledger knows them.
            let error = error.chain();
            tracing::warn!(%sync, error, "the source could not note rows that were committed");
        }
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

    /// The keys of failed rows that the batch may close: those whose last row was delivered, and
    /// of what can be read now.
    fn solved(&mut self, results: &Results, fixed: Vec<RowHash>) -> Vec<RowHash> {
        let failing = results.have_failed();
        if self.kind == RunKind::Backfill {
            // Only a part of each row was sent.
            return Vec::new();
        }
        if !self.any_failed && !failing {
            return Vec::new();
        }
        self.any_failed |= failing;
        let is_delivered = |(_, row): &IndexedResult| row.status == RowStatus::Delivered;
        if results.delivered.is_empty()
            && fixed.is_empty()
            && !results.others.iter().flatten().any(is_delivered)
        {
            return Vec::new();
        }
        let mut last: HashMap<RowHash, bool> = HashMap::new();
        for (_, row) in results.others.iter().flatten() {
            last.insert(row.key, row.status == RowStatus::Delivered);
        }
        let others = results.delivered.iter().flat_map(Delivered::keys).copied().chain(fixed);
        let mut solved: Vec<RowHash> = others.filter(|key| !last.contains_key(key)).collect();
        solved.extend(last.into_iter().filter(|(_, delivered)| *delivered).map(|(key, _)| key));
        solved
    }
}
