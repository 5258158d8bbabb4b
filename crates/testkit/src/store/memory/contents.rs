//! What a store in memory holds.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use tidegate_model::store::{
    FailedRow, Intent, IntentId, Known, LookbackChunk, Pause, PauseChange, PausedBy, RowEntry, RowResult,
    RowVersion, SentUser, SyncState,
};
use tidegate_model::{
    Claim, Ending, Erasure, Error, ErrorKind, KeptRow, ObjectKind, RowHash, Run, RunFailure, RunId, Secret,
    SyncId, Text,
};

use super::lookback::MemoryLookback;
use super::requests::MemoryRequest;

#[derive(Default)]
pub(super) struct Memory {
    /// The last token of each sync, and whether its lease is held.
    pub(super) leases: BTreeMap<SyncId, (u64, bool)>,
    pub(super) syncs: BTreeMap<SyncId, SyncState>,
    pub(super) runs: BTreeMap<RunId, (Run, ObjectKind)>,
    pub(super) intents: BTreeMap<IntentId, (RunId, u64, Intent)>,
    pub(super) lookback: BTreeMap<(SyncId, u64), (RunId, LookbackChunk)>,
    pub(super) kept_users: BTreeMap<(SyncId, RowHash), Text>,
    pub(super) sent_users: BTreeMap<(SyncId, RowHash), SentUser>,
    pub(super) memos: BTreeMap<(SyncId, RowHash), BTreeMap<RowHash, RowHash>>,
    /// In the order in which they were committed.
    pub(super) ledger: Vec<(RowEntry, RowResult)>,
    /// In the order in which they came up.
    pub(super) failed_rows: Vec<(SyncId, FailedRow)>,
    /// By the name of the request.
    pub(super) requests: BTreeMap<String, MemoryRequest>,
    pub(super) asked: u64,
    /// Whether the next lookback is not cleared.
    pub(super) away: bool,
    /// How long it takes to end a run, after that is written.
    pub(super) end_takes: Duration,
    /// How many failed rows came up.
    pub(super) came_up: u64,
    /// Failed rows that were dismissed, with the time as that of their entry, and the note.
    pub(super) dismissed: Vec<(FailedRow, String)>,
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) erasures: Vec<Erasure>,
    pub(super) intended: u64,
    /// How many rows are held at most; all if it is not said.
    pub(super) held_rows_max: Option<usize>,
}

impl Memory {
    pub(super) fn sync(&mut self, sync: &SyncId) -> &mut SyncState {
        self.syncs.entry(sync.clone()).or_default()
    }

    pub(super) fn run(&mut self, run: &RunId) -> Result<&mut (Run, ObjectKind), Error> {
        self.runs.get_mut(run).ok_or_else(|| Error::internal(format!("there is no run `{run}`")))
    }

    /// A run that is open.
    pub(super) fn open_run(&mut self, run: &RunId) -> Result<&mut (Run, ObjectKind), Error> {
        let known = self.run(run)?;
        match known.0.ending {
            None => Ok(known),
            Some(_) => Err(lost(&known.0.sync)),
        }
    }

    /// Whether a lease is the last one of its sync; those that are not shared always are.
    pub(super) fn check(&self, claim: &Claim) -> Result<(), Error> {
        let last = self.leases.get(claim.sync()).map_or(0, |(token, _)| *token);
        if claim.token() == 0 || claim.token() == last { Ok(()) } else { Err(lost(claim.sync())) }
    }

    pub(super) fn end_runs(&mut self, sync: &SyncId, at: Timestamp) {
        let open = self.runs.values_mut().filter(|(run, _)| run.sync == *sync && run.ending.is_none());
        for (run, _) in open {
            run.ending = Some(Ending::Interrupted);
            run.finished_at = Some(at);
        }
    }

    pub(super) fn change_pause(
        &mut self,
        sync: &SyncId,
        change: PauseChange,
        failure: Option<RunFailure>,
        at: Timestamp,
    ) {
        let state = self.sync(sync);
        if state.paused.as_ref().is_some_and(|pause| pause.by != PausedBy::System) {
            return;
        }
        match change {
            PauseChange::Keep => {}
            PauseChange::Explain(_) if state.paused.is_none() => {}
            PauseChange::Set(why) | PauseChange::Explain(why) => {
                state.paused = Some(Pause { by: PausedBy::System, why, at, failure });
            }
            PauseChange::Lift => state.paused = None,
        }
    }

    pub(super) fn lookback(&self, sync: &SyncId) -> MemoryLookback {
        let mut view = MemoryLookback::default();
        for ((_, seq), (run, chunk)) in self.lookback.iter().filter(|((of, _), _)| of == sync) {
            view.chunks.push((*seq, chunk.high.clone()));
            for row in &chunk.rows {
                let (last, known) =
                    view.known.entry(row.key).or_insert_with(|| (run.clone(), Known::Nothing));
                if last != run {
                    (*last, *known) = (run.clone(), Known::Nothing);
                }
                known.add(row.row);
                view.all.push(*row);
            }
        }
        for (_, known) in view.known.values_mut() {
            *known = std::mem::take(known).live();
        }
        view
    }

    pub(super) fn forget_intents(&mut self, sync: &SyncId) {
        let runs = &self.runs;
        self.intents.retain(|_, (run, _, _)| runs.get(run).is_none_or(|(run, _)| run.sync != *sync));
    }

    /// Takes rows off the intents of other runs of the sync, oldest first.
    pub(super) fn recall(&mut self, sync: &SyncId, run: &RunId, recalled: &[RowVersion]) {
        for row in recalled {
            let of_sync = |run: &RunId| self.runs.get(run).is_some_and(|(run, _)| run.sync == *sync);
            let earlier = self.intents.values_mut().filter(|(of, _, _)| of != run && of_sync(of));
            let mut sends = HashSet::new();
            earlier.for_each(|(_, _, intent)| take_off(intent, *row, &mut sends));
        }
        self.intents.retain(|_, (_, _, intent)| !intent.rows.is_empty());
    }

    /// Takes rows that have a result, or had no effect, off the intents of an unfinished batch.
    pub(super) fn keep_undecided(&mut self, run: &RunId, batch: u64, decided: &[RowVersion]) {
        let own = |of: &RunId, number: u64| of == run && number == batch;
        for row in decided {
            let intents = self.intents.values_mut().filter(|(of, number, _)| own(of, *number));
            let mut sends = HashSet::new();
            intents.for_each(|(_, _, intent)| take_off(intent, *row, &mut sends));
        }
        self.intents.retain(|_, (of, number, intent)| {
            !own(of, *number) || (0..intent.rows.len()).any(|at| !intent.had_no_effect(at))
        });
    }

    pub(super) fn note_failed_row(&mut self, sync: &SyncId, row: &RowResult, entry: RowEntry) {
        let first_at = entry.at;
        self.came_up += 1;
        let position = self.came_up;
        let failed_row = FailedRow { key: row.key, row: row.row, entry, first_at, attempts: 1, position };
        let known = self.failed_rows.iter().position(|(of, old)| of == sync && old.key == row.key);
        match known {
            Some(at) if self.failed_rows[at].1.row == row.row => {
                let old = &self.failed_rows[at].1;
                let (first_at, attempts) = (old.first_at, old.attempts + 1);
                let position = old.position;
                let whole = |row: &FailedRow| row.entry.payload.as_ref().is_some_and(KeptRow::is_whole);
                let older = old.entry.payload.clone().filter(|_| whole(old) && !whole(&failed_row));
                let mut failed_row = FailedRow { first_at, attempts, position, ..failed_row };
                failed_row.entry.payload = older.or(failed_row.entry.payload);
                self.failed_rows[at].1 = failed_row;
            }
            Some(at) => {
                self.failed_rows.remove(at);
                self.failed_rows.push((sync.clone(), failed_row));
            }
            None => self.failed_rows.push((sync.clone(), failed_row)),
        }
    }

    pub(super) fn solve(&mut self, sync: &SyncId, solved: &[RowHash]) {
        let solved: HashSet<&RowHash> = solved.iter().collect();
        self.failed_rows.retain(|(of, failed_row)| of != sync || !solved.contains(&failed_row.key));
    }
}

pub(super) fn lost(sync: &SyncId) -> Error {
    Error::new(ErrorKind::Held, format!("another process has taken over the sync `{sync}`"))
}

/// Takes a row off an intent that may have had an effect on it, unless it was taken off an
/// earlier one that sent it for the same time.
fn take_off(intent: &mut Intent, row: RowVersion, sends: &mut HashSet<u32>) {
    let mut entries = intent.rows.iter().enumerate();
    let found = entries.find(|(at, intended)| {
        (intended.key, intended.row) == (row.key, row.row)
            && !intent.had_no_effect(*at)
            && sends.insert(intended.sends)
    });
    let Some((at, _)) = found else { return };
    intent.rows.remove(at);
    if let Some(outcomes) = &mut intent.outcomes
        && at < outcomes.len()
    {
        outcomes.remove(at);
    }
}
