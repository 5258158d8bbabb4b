//! A store in memory, for tests of what uses a store.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tidegate_model::alert::AlertBook;
use tidegate_model::answers::AnswerBook;
use tidegate_model::held::HeldRows;
use tidegate_model::people::{Deed, PeopleBook};
use tidegate_model::store::{
    BatchCommit, Delivered, DismissedRow, FailedRow, FailedRowGroup, FailedRowGroupQuery, FailedRowQuery,
    FailedRowTotals, HourCounts, IntendedRequest, Intent, IntentId, KeptUser, KeyRotation, Known, Lookback,
    NextRun, Pause, PauseChange, RowEntry, RowQuery, RowResult, RunEnd, RunQuery, SentUser, StatusKind,
    SyncState, WorkRequest,
};
use tidegate_model::{
    Cause, Claim, Claimed, Clock, Compared, Comparison, Counts, Erasure, ErasureCounts, Error, ErrorKind,
    HashMemo, Holder, KeptRow, ObjectKind, Outcome, RowHash, Run, RunId, Secret, SharedLimits, Store, SyncId,
    Systems, Wait,
};

use super::memory_alerts::MemoryAlerts;
use super::memory_answers::MemoryAnswers;
use super::memory_contents::Memory;
use super::memory_held::MemoryHeld;
use super::memory_lease::MemoryLease;
use super::memory_limits::MemoryLimits;
use super::memory_lookback::MemoryComparison;
use super::memory_memo::MemoryMemo;
use super::memory_people::MemoryPeople;

/// A store in plain memory. Clones share what they remember.
#[derive(Clone)]
pub struct MemoryStore {
    memory: Arc<Mutex<Memory>>,
    alerts: MemoryAlerts,
    people: MemoryPeople,
    answers: MemoryAnswers,
    limits: MemoryLimits,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    /// Creates a store that remembers nothing yet.
    pub fn new(clock: Arc<dyn Clock>) -> MemoryStore {
        MemoryStore {
            memory: Arc::default(),
            alerts: MemoryAlerts::default(),
            people: MemoryPeople::default(),
            answers: MemoryAnswers::default(),
            limits: MemoryLimits::default(),
            clock,
        }
    }

    /// Begins to stand for several processes that share their limits, or for one again.
    pub fn share_limits(&self, shared: bool) {
        self.limits.share(shared);
    }

    /// Returns how often turns of limits were asked for, or closed.
    pub fn asked_for_limits(&self) -> u64 {
        self.limits.asked()
    }

    /// Makes the end of the next complete read fail, as a store does that cannot be reached.
    pub fn lose_the_next_end(&self) {
        self.memory().away = true;
    }

    /// Changes an entry of the audit log, as one would who can write the database.
    pub fn forge_audit(&self, seq: u64, change: impl FnOnce(&mut Deed)) {
        self.people.forge_audit(seq, change);
    }

    /// Returns its clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Returns every result that was committed for a sync, oldest first.
    pub fn results(&self, sync: &SyncId) -> Vec<RowResult> {
        let memory = self.memory();
        memory
            .ledger
            .iter()
            .filter(|(entry, _)| entry.sync == *sync)
            .map(|(_, status)| status.clone())
            .collect()
    }

    /// Limits how many rows are held.
    pub fn hold_at_most(&self, rows: usize) {
        self.memory().held_rows_max = Some(rows);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn claim(&self, sync: &SyncId) -> Result<Claimed, Error> {
        let at = self.clock.now();
        let mut memory = self.memory();
        let (token, held) = memory.leases.entry(sync.clone()).or_default();
        if *held {
            return Ok(Claimed::Held(Holder { process: "another store".to_owned(), until: None }));
        }
        (*token, *held) = (*token + 1, true);
        let token = *token;
        memory.end_runs(sync, at);
        let lease = MemoryLease { memory: Arc::clone(&self.memory), sync: sync.clone(), token };
        Ok(Claimed::Taken(Arc::new(lease)))
    }

    async fn sync_state(&self, sync: &SyncId) -> Result<SyncState, Error> {
        Ok(self.memory().syncs.get(sync).cloned().unwrap_or_default())
    }

    async fn sync_states(&self) -> Result<HashMap<SyncId, SyncState>, Error> {
        Ok(self.memory().syncs.iter().map(|(id, state)| (id.clone(), state.clone())).collect())
    }

    async fn set_paused(&self, sync: &SyncId, paused: Option<Pause>) -> Result<(), Error> {
        self.memory().sync(sync).paused = paused;
        Ok(())
    }

    async fn lift_pause(&self, run: &RunId) -> Result<(), Error> {
        let mut memory = self.memory();
        let sync = memory.open_run(run)?.0.sync.clone();
        memory.change_pause(&sync, PauseChange::Lift, Timestamp::UNIX_EPOCH);
        Ok(())
    }

    async fn note_wait(&self, run: &RunId, wait: Option<Wait>) -> Result<(), Error> {
        let mut memory = self.memory();
        let sync = memory.open_run(run)?.0.sync.clone();
        memory.sync(&sync).wait = wait;
        Ok(())
    }

    async fn reset(&self, claim: &Claim) -> Result<(), Error> {
        let sync = claim.sync();
        let mut memory = self.memory();
        memory.check(claim)?;
        let state = memory.sync(sync);
        state.checkpoint = None;
        state.systems = None;
        state.complete = false;
        memory.lookback.retain(|(of, _), _| of != sync);
        memory.kept_users.retain(|(of, _), _| of != sync);
        memory.sent_users.retain(|(of, _), _| of != sync);
        memory.forget_intents(sync);
        Ok(())
    }

    async fn note_systems(&self, claim: &Claim, systems: &Systems) -> Result<(), Error> {
        let mut memory = self.memory();
        memory.check(claim)?;
        memory.sync(claim.sync()).systems = Some(systems.clone());
        Ok(())
    }

    async fn start_run(
        &self,
        claim: &Claim,
        object: ObjectKind,
        cause: Cause,
        at: Timestamp,
    ) -> Result<Run, Error> {
        let sync = claim.sync();
        let mut memory = self.memory();
        memory.check(claim)?;
        memory.sync(sync).object.get_or_insert(object);
        memory.end_runs(sync, at);
        let run = Run {
            id: RunId::new(format!("run-{:06}", memory.runs.len() + 1)),
            sync: sync.clone(),
            cause,
            started_at: at,
            finished_at: None,
            ending: None,
            counts: Counts::default(),
            compared: None,
            error: None,
        };
        memory.runs.insert(run.id.clone(), (run.clone(), object));
        Ok(run)
    }

    async fn fail_run(
        &self,
        claim: &Claim,
        object: ObjectKind,
        cause: Cause,
        end: RunEnd,
    ) -> Result<Run, Error> {
        let mut memory = self.memory();
        memory.check(claim)?;
        let run = Run {
            id: RunId::new(format!("run-{:06}", memory.runs.len() + 1)),
            sync: claim.sync().clone(),
            cause,
            started_at: end.at,
            finished_at: Some(end.at),
            ending: Some(end.ending),
            counts: Counts::default(),
            compared: None,
            error: end.error,
        };
        memory.change_pause(&run.sync, end.pause, end.at);
        memory.runs.insert(run.id.clone(), (run.clone(), object));
        Ok(run)
    }

    async fn request_work(&self, sync: &SyncId, work: &str) -> Result<String, Error> {
        let mut memory = self.memory();
        memory.asked += 1;
        let id = format!("request-{:06}", memory.asked);
        memory.requests.insert(id.clone(), (sync.clone(), work.to_owned(), None));
        Ok(id)
    }

    async fn requested_work(&self, sync: &SyncId) -> Result<Vec<WorkRequest>, Error> {
        let memory = self.memory();
        let open = memory.requests.iter().filter(|(_, (of, _, answer))| of == sync && answer.is_none());
        Ok(open.map(|(id, (_, work, _))| WorkRequest { id: id.clone(), work: work.clone() }).collect())
    }

    async fn answer_work(&self, claim: &Claim, id: &str, answer: &str) -> Result<(), Error> {
        let mut memory = self.memory();
        memory.check(claim)?;
        if let Some((_, _, known)) = memory.requests.get_mut(id) {
            *known = Some(answer.to_owned());
        }
        Ok(())
    }

    async fn take_answer(&self, id: &str) -> Result<Option<String>, Error> {
        let mut memory = self.memory();
        match memory.requests.get(id) {
            Some((_, _, Some(_))) => Ok(memory.requests.remove(id).and_then(|(_, _, answer)| answer)),
            _ => Ok(None),
        }
    }

    async fn withdraw_work(&self, id: &str) -> Result<bool, Error> {
        let mut memory = self.memory();
        let open = memory.requests.get(id).is_some_and(|(_, _, answer)| answer.is_none());
        if open {
            memory.requests.remove(id);
        }
        Ok(open)
    }

    async fn plan_run(&self, sync: &SyncId, next: NextRun) -> Result<(), Error> {
        self.memory().sync(sync).next_run = Some(next);
        Ok(())
    }

    async fn intend(&self, run: &RunId, batch: u64, request: IntendedRequest) -> Result<IntentId, Error> {
        let mut memory = self.memory();
        memory.open_run(run)?;
        memory.intended += 1;
        let id = IntentId { number: memory.intended, batch };
        let rows = request.rows().collect();
        memory.intents.insert(id, (run.clone(), batch, Intent { rows, outcomes: None }));
        Ok(id)
    }

    async fn answered(&self, run: &RunId, intent: IntentId, outcomes: Vec<Outcome>) -> Result<(), Error> {
        let mut memory = self.memory();
        memory.open_run(run)?;
        if let Some((_, _, intent)) = memory.intents.get_mut(&intent).filter(|(of, ..)| of == run) {
            intent.outcomes = Some(outcomes);
        }
        Ok(())
    }

    async fn open_intents(&self, sync: &SyncId) -> Result<Vec<Intent>, Error> {
        let memory = self.memory();
        let of_sync = |run: &RunId| memory.runs.get(run).is_some_and(|(run, _)| run.sync == *sync);
        let intents = memory.intents.values().filter(|(run, _, _)| of_sync(run));
        Ok(intents.map(|(_, _, intent)| intent.clone()).collect())
    }

    async fn commit_batch(&self, run: &RunId, commit: BatchCommit) -> Result<(), Error> {
        let at = self.clock.now();
        let mut memory = self.memory();
        let (known, object) = memory.open_run(run)?;
        let (sync, object) = (known.sync.clone(), *object);
        // What can fail comes first, so that a failure leaves no trace.
        if let Some(chunk) = &commit.remember
            && memory.lookback.contains_key(&(sync.clone(), chunk.seq))
            && commit.forget_through.is_none_or(|seq| seq < chunk.seq)
        {
            return Err(Error::internal(format!(
                "the lookback of `{sync}` has a chunk {} already",
                chunk.seq
            )));
        }
        memory.run(run)?.0.counts += commit.counts;
        if let Some(checkpoint) = commit.checkpoint.clone() {
            let state = memory.sync(&sync);
            state.checkpoint = Some(checkpoint);
            state.complete = false;
        }
        if commit.partial {
            let decided: Vec<_> = commit.decided().collect();
            memory.keep_undecided(run, commit.batch, &decided);
        } else {
            memory.intents.retain(|_, (of, batch, _)| of != run || *batch > commit.batch);
        }
        memory.recall(&sync, run, &commit.recalled);
        let gone: Vec<RowHash> =
            commit.decided().filter(|row| row.row.is_removed()).map(|row| row.key).collect();
        memory.sent_users.retain(|(of, key), _| *of != sync || !gone.contains(key));
        memory.sent_users.extend(commit.sent.into_iter().map(|sent| ((sync.clone(), sent.key), sent)));
        if let Some(seq) = commit.forget_through {
            memory.lookback.retain(|(of, number), _| *of != sync || *number > seq);
        }
        if let Some(chunk) = commit.remember {
            let of = if commit.is_replaced { RunId::new(format!("{run}~")) } else { run.clone() };
            memory.lookback.insert((sync.clone(), chunk.seq), (of, chunk));
        }
        memory.solve(&sync, &commit.solved);
        let uncertain = commit.uncertain.into_iter().filter(|_| commit.keeps_users);
        memory.kept_users.extend(uncertain.map(|kept| ((sync.clone(), kept.key), kept.user)));
        let delivered = commit.delivered.iter().flat_map(Delivered::results).map(|(_, row)| row);
        for row in delivered.chain(commit.results) {
            let taken = row.status.kind() != StatusKind::Rejected;
            if commit.keeps_users && taken && row.row.changes() == 0 && !row.row.is_removed() {
                memory.kept_users.insert((sync.clone(), row.key), row.user.clone());
            }
            let entry = entry(at, run, &sync, object, &row);
            if row.status.reason().is_some() {
                memory.note_failed_row(&sync, &row, entry.clone());
            } else if commit.solved.contains(&row.key) {
                memory.solve(&sync, &[row.key]);
            }
            memory.ledger.push((entry, row));
        }
        Ok(())
    }

    async fn finish_run(&self, run: &RunId, end: RunEnd) -> Result<Run, Error> {
        let mut memory = self.memory();
        let (run, _) = memory.open_run(run)?;
        run.ending = Some(end.ending);
        run.error = end.error;
        run.finished_at = Some(end.at);
        let run = run.clone();
        memory.change_pause(&run.sync, end.pause, end.at);
        memory.sync(&run.sync).wait = None;
        if end.complete {
            memory.sync(&run.sync).complete = true;
            memory.forget_intents(&run.sync);
        }
        Ok(run)
    }

    async fn lookback(&self, sync: &SyncId) -> Result<Box<dyn Lookback>, Error> {
        let memory = self.memory();
        Ok(Box::new(memory.lookback(sync)))
    }

    async fn compare(&self, sync: &SyncId) -> Result<Box<dyn Comparison>, Error> {
        let known = self.memory().lookback(sync).known.into_iter();
        let known = known.map(|(key, (_, known))| (key, known)).filter(|(_, known)| *known != Known::Nothing);
        Ok(Box::new(MemoryComparison { known: known.collect(), rows: BTreeMap::new(), removed: Vec::new() }))
    }

    async fn kept_users(&self, sync: &SyncId, after: u64) -> Result<Option<(u64, Vec<KeptUser>)>, Error> {
        let memory = self.memory();
        let of_sync = memory.kept_users.iter().filter(|((of, _), _)| of == sync);
        let users = of_sync.map(|((_, key), user)| KeptUser { key: *key, user: user.clone() });
        Ok((after == 0).then(|| (1, users.collect())))
    }

    async fn hash_memo(&self, sync: &SyncId, name: RowHash) -> Result<Box<dyn HashMemo>, Error> {
        let known = self.memory().memos.get(&(sync.clone(), name)).cloned();
        let (memory, of) = (Arc::clone(&self.memory), (sync.clone(), name));
        Ok(Box::new(MemoryMemo { memory, of, known, next: BTreeMap::new() }))
    }

    fn held_rows(&self) -> Box<dyn HeldRows> {
        Box::new(MemoryHeld::new(self.memory().held_rows_max))
    }

    async fn sent_users(&self, sync: &SyncId, keys: &[RowHash]) -> Result<Vec<SentUser>, Error> {
        let memory = self.memory();
        Ok(keys.iter().filter_map(|key| memory.sent_users.get(&(sync.clone(), *key)).cloned()).collect())
    }

    async fn forget_removed_users(&self, run: &RunId) -> Result<(), Error> {
        let mut memory = self.memory();
        let sync = memory.open_run(run)?.0.sync.clone();
        let known = memory.lookback(&sync).known;
        let live = |key: &RowHash| known.get(key).is_some_and(|(_, known)| *known != Known::Nothing);
        memory.kept_users.retain(|(of, key), _| *of != sync || live(key));
        Ok(())
    }

    async fn note_compared(&self, run: &RunId, compared: Compared) -> Result<(), Error> {
        self.memory().open_run(run)?.0.compared = Some(compared);
        Ok(())
    }

    async fn clear_lookback(&self, run: &RunId) -> Result<(), Error> {
        let mut memory = self.memory();
        if std::mem::take(&mut memory.away) {
            return Err(Error::new(ErrorKind::Unavailable, "the store cannot be reached"));
        }
        let sync = memory.open_run(run)?.0.sync.clone();
        memory.lookback.retain(|(of, _), _| *of != sync);
        Ok(())
    }

    async fn runs(&self, sync: Option<&SyncId>, limit: usize) -> Result<Vec<Run>, Error> {
        let memory = self.memory();
        let runs = memory.runs.values().rev().map(|(run, _)| run);
        Ok(runs.filter(|run| sync.is_none_or(|sync| run.sync == *sync)).take(limit).cloned().collect())
    }

    async fn rows(&self, query: &RowQuery) -> Result<Vec<RowEntry>, Error> {
        let memory = self.memory();
        let wanted = |entry: &RowEntry| {
            query.sync.as_ref().is_none_or(|sync| entry.sync == *sync)
                && query.run.as_ref().is_none_or(|run| entry.run == *run)
                && query.user.as_ref().is_none_or(|user| entry.user == *user)
                && query.status.is_none_or(|status| entry.status == status)
                && query.from.is_none_or(|from| entry.at >= from)
                && query.to.is_none_or(|to| entry.at < to)
        };
        let open = |entry: &RowEntry, row: &RowResult| {
            let kept =
                memory.failed_rows.iter().find(|(sync, kept)| *sync == entry.sync && kept.row == row.row);
            let kept = kept.filter(|_| !query.without_payload);
            let payload = kept.and_then(|(_, kept)| kept.entry.payload.clone());
            RowEntry { payload: payload.filter(|_| entry.reason.is_some()), ..entry.clone() }
        };
        let newest = memory.ledger.iter().rev().filter(|(entry, _)| wanted(entry));
        Ok(newest.take(query.limit).map(|(entry, row)| open(entry, row)).collect())
    }

    async fn failed_rows_in_order(
        &self,
        query: &FailedRowQuery,
        after: Option<&FailedRow>,
    ) -> Result<Vec<FailedRow>, Error> {
        let all = FailedRowQuery { limit: usize::MAX, after: None, ..query.clone() };
        let mut rows = super::failed_rows::find(self.memory().failed_rows.iter().map(|(_, row)| row), &all);
        let order = |row: &FailedRow| (row.first_at, row.position, row.key);
        rows.sort_by_key(order);
        rows.retain(|row| after.is_none_or(|after| order(row) > order(after)));
        rows.truncate(query.limit);
        Ok(rows)
    }

    async fn failed_row_counts(&self) -> Result<HashMap<SyncId, u64>, Error> {
        let mut counts = HashMap::new();
        for (sync, _) in &self.memory().failed_rows {
            *counts.entry(sync.clone()).or_default() += 1;
        }
        Ok(counts)
    }

    async fn last_runs(&self) -> Result<HashMap<SyncId, Run>, Error> {
        let runs = self.memory().runs.clone();
        Ok(runs.into_values().map(|(run, _)| (run.sync.clone(), run)).collect())
    }

    async fn failed_row_totals(&self, sync: &SyncId) -> Result<FailedRowTotals, Error> {
        let memory = self.memory();
        let of_sync: Vec<&FailedRow> =
            memory.failed_rows.iter().filter(|(of, _)| of == sync).map(|(_, row)| row).collect();
        let rows = of_sync.len() as u64;
        let bytes = of_sync.iter().filter_map(|row| row.entry.payload.as_ref()).map(KeptRow::bytes).sum();
        let dismissed = memory.dismissed.iter().filter(|(row, _)| row.entry.sync == *sync).count() as u64;
        Ok(FailedRowTotals { rows, bytes, dismissed })
    }

    async fn dismiss_failed_rows(
        &self,
        query: &FailedRowQuery,
        note: &str,
        at: Timestamp,
    ) -> Result<u64, Error> {
        let rows =
            self.failed_rows_in_order(&FailedRowQuery { limit: usize::MAX, ..query.clone() }, None).await?;
        let mut memory = self.memory();
        let count = rows.len() as u64;
        for mut row in rows {
            memory.solve(&row.entry.sync, &[row.key]);
            (row.entry.at, row.entry.payload) = (at, None);
            memory.dismissed.push((row, note.to_owned()));
        }
        Ok(count)
    }

    async fn dismissed_rows(&self, query: &FailedRowQuery) -> Result<Vec<DismissedRow>, Error> {
        let memory = self.memory();
        let query = FailedRowQuery { after: None, ..query.clone() };
        let found = super::failed_rows::find(memory.dismissed.iter().map(|(row, _)| row), &query);
        let dismissed = |row: FailedRow| {
            let note = memory.dismissed.iter().find(|(other, _)| *other == row).map(|(_, note)| note.clone());
            DismissedRow { entry: row.entry, note: note.unwrap_or_default() }
        };
        Ok(found.into_iter().map(dismissed).collect())
    }

    async fn run(&self, id: &RunId) -> Result<Option<Run>, Error> {
        Ok(self.memory().runs.get(id).map(|(run, _)| run.clone()))
    }

    async fn find_runs(&self, query: &RunQuery) -> Result<Vec<Run>, Error> {
        let memory = self.memory();
        let wanted = |run: &&Run| {
            query.sync.as_ref().is_none_or(|sync| run.sync == *sync)
                && query.ending.is_none_or(|ending| run.ending == Some(ending))
                && query.from.is_none_or(|from| run.started_at >= from)
                && query.before.as_ref().is_none_or(|before| run.id < *before)
        };
        let runs = memory.runs.values().rev().map(|(run, _)| run).filter(wanted);
        Ok(runs.take(query.limit).cloned().collect())
    }

    async fn hour_counts(
        &self,
        sync: Option<&SyncId>,
        started: Timestamp,
        ended: Timestamp,
    ) -> Result<Vec<HourCounts>, Error> {
        let mut found: BTreeMap<(SyncId, Option<i64>), HourCounts> = BTreeMap::new();
        for (run, _) in self.memory().runs.values() {
            let is_late = run.started_at >= started && run.finished_at.is_none_or(|at| at > ended);
            if !is_late || sync.is_some_and(|sync| run.sync != *sync) {
                continue;
            }
            let hour = run.finished_at.map(|at| at.as_second().div_euclid(3_600));
            let none = HourCounts { sync: run.sync.clone(), hour, delivered: 0, rejected: 0, in_doubt: 0 };
            let counts = found.entry((run.sync.clone(), hour)).or_insert(none);
            counts.delivered += run.counts.delivered;
            counts.rejected += run.counts.rejected;
            counts.in_doubt += run.counts.in_doubt;
        }
        Ok(found.into_values().collect())
    }

    async fn find_failed_rows(&self, query: &FailedRowQuery) -> Result<Vec<FailedRow>, Error> {
        Ok(super::failed_rows::find(self.memory().failed_rows.iter().map(|(_, row)| row), query))
    }

    async fn failed_row_groups(&self, query: &FailedRowGroupQuery) -> Result<Vec<FailedRowGroup>, Error> {
        Ok(super::failed_rows::groups(self.memory().failed_rows.iter().map(|(_, row)| row), query))
    }

    async fn trim_history(&self, before: Timestamp) -> Result<(), Error> {
        let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        self.memory().ledger.retain(|(entry, _)| day(entry.at) >= day(before));
        Ok(())
    }

    async fn put_secret(&self, name: &str, secret: &Secret) -> Result<(), Error> {
        self.memory().secrets.insert(name.to_owned(), secret.clone());
        Ok(())
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        Ok(self.memory().secrets.get(name).cloned())
    }

    async fn secrets(&self) -> Result<Vec<String>, Error> {
        Ok(self.memory().secrets.keys().cloned().collect())
    }

    async fn remove_secret(&self, name: &str) -> Result<bool, Error> {
        Ok(self.memory().secrets.remove(name).is_some())
    }

    async fn rotate_master_key(&self, _: bool) -> Result<KeyRotation, Error> {
        let sealed = self.memory().secrets.len() as u64;
        Ok(KeyRotation { key: "memory".to_owned(), sealed, discarded: Vec::new() })
    }

    async fn erase_user(&self, user: &str) -> Result<ErasureCounts, Error> {
        let mut memory = self.memory();
        let mut counts = ErasureCounts::default();
        let before = memory.failed_rows.len();
        memory.failed_rows.retain(|(_, row)| row.entry.user != user);
        counts.failed_rows = (before - memory.failed_rows.len()) as u64;
        let before = memory.kept_users.len();
        memory.kept_users.retain(|_, kept| **kept != *user);
        counts.kept_users = (before - memory.kept_users.len()) as u64;
        let before = memory.sent_users.len();
        memory.sent_users.retain(|_, sent| *sent.user != *user);
        counts.sent_users = (before - memory.sent_users.len()) as u64;
        let before = memory.ledger.len();
        memory.ledger.retain(|(entry, _)| entry.user != user);
        counts.history_rows = (before - memory.ledger.len()) as u64;
        for (_, _, intent) in memory.intents.values_mut() {
            let theirs: Vec<bool> = intent.rows.iter().map(|row| *row.user == *user).collect();
            counts.intents += theirs.iter().filter(|theirs| **theirs).count() as u64;
            let mut left = theirs.iter();
            intent.rows.retain(|_| left.next() != Some(&true));
            if let Some(outcomes) = &mut intent.outcomes {
                let mut left = theirs.iter();
                outcomes.retain(|_| left.next() != Some(&true));
            }
        }
        memory.intents.retain(|_, (_, _, intent)| !intent.rows.is_empty());
        Ok(counts)
    }

    async fn note_erasure(&self, user: &str, removed: &ErasureCounts, at: Timestamp) -> Result<(), Error> {
        let erasure = Erasure { at, user: user.to_owned(), removed: removed.clone() };
        self.memory().erasures.insert(0, erasure);
        Ok(())
    }

    async fn erasures(&self, user: Option<&str>) -> Result<Vec<Erasure>, Error> {
        let memory = self.memory();
        let wanted = memory.erasures.iter().filter(|erasure| user.is_none_or(|user| user == erasure.user));
        Ok(wanted.cloned().collect())
    }

    fn alert_book(&self) -> &dyn AlertBook {
        &self.alerts
    }

    fn people_book(&self) -> &dyn PeopleBook {
        &self.people
    }

    fn answer_book(&self) -> &dyn AnswerBook {
        &self.answers
    }

    fn shared_limits(&self) -> &dyn SharedLimits {
        &self.limits
    }
}

fn entry(at: Timestamp, run: &RunId, sync: &SyncId, object: ObjectKind, row: &RowResult) -> RowEntry {
    RowEntry {
        at,
        sync: sync.clone(),
        run: run.clone(),
        object,
        user: row.user.to_string(),
        key: row.key_text.to_string(),
        status: row.status.kind(),
        reason: row.status.reason().cloned(),
        payload: row.payload.clone(),
    }
}
