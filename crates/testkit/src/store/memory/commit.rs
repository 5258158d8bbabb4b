//! A batch that is committed in memory.

use jiff::Timestamp;
use tidegate_model::store::{BatchCommit, Delivered, RowEntry, RowResult, StatusKind};
use tidegate_model::{Error, ObjectKind, RowHash, RunId, SyncId};

use super::contents::Memory;

impl Memory {
    /// Writes a batch of a run that is open: all or nothing.
    pub(super) fn commit(&mut self, run: &RunId, commit: BatchCommit, at: Timestamp) -> Result<(), Error> {
        let (known, object) = self.open_run(run)?;
        let (sync, object) = (known.sync.clone(), *object);
        // What can fail comes first, so that a failure leaves no trace.
        if let Some(chunk) = &commit.remember
            && self.lookback.contains_key(&(sync.clone(), chunk.seq))
            && commit.forget_through.is_none_or(|seq| seq < chunk.seq)
        {
            return Err(Error::internal(format!(
                "the lookback of `{sync}` has a chunk {} already",
                chunk.seq
            )));
        }
        self.run(run)?.0.counts += commit.counts;
        if let Some(checkpoint) = commit.checkpoint.clone() {
            let state = self.sync(&sync);
            state.checkpoint = Some(checkpoint);
            state.complete = false;
        }
        if commit.partial {
            let decided: Vec<_> = commit.decided().collect();
            self.keep_undecided(run, commit.batch, &decided);
        } else {
            self.intents.retain(|_, (of, batch, _)| of != run || *batch > commit.batch);
        }
        self.recall(&sync, run, &commit.recalled);
        let gone: Vec<RowHash> =
            commit.decided().filter(|row| row.row.is_removed()).map(|row| row.key).collect();
        self.sent_users.retain(|(of, key), _| *of != sync || !gone.contains(key));
        self.sent_users.extend(commit.sent.into_iter().map(|sent| ((sync.clone(), sent.key), sent)));
        if let Some(seq) = commit.forget_through {
            self.lookback.retain(|(of, number), _| *of != sync || *number > seq);
        }
        if let Some(chunk) = commit.remember {
            let of = if commit.is_replaced { RunId::new(format!("{run}~")) } else { run.clone() };
            self.lookback.insert((sync.clone(), chunk.seq), (of, chunk));
        }
        self.solve(&sync, &commit.solved);
        let uncertain = commit.uncertain.into_iter().filter(|_| commit.keeps_users);
        self.kept_users.extend(uncertain.map(|kept| ((sync.clone(), kept.key), kept.user)));
        let delivered = commit.delivered.iter().flat_map(Delivered::results).map(|(_, row)| row);
        for row in delivered.chain(commit.results) {
            let taken = row.status.kind() != StatusKind::Rejected;
            if commit.keeps_users && taken && row.row.changes() == 0 && !row.row.is_removed() {
                self.kept_users.insert((sync.clone(), row.key), row.user.clone());
            }
            let entry = entry(at, run, &sync, object, &row);
            if row.status.reason().is_some() {
                self.note_failed_row(&sync, &row, entry.clone());
            } else if commit.solved.contains(&row.key) {
                self.solve(&sync, &[row.key]);
            }
            self.ledger.push((entry, row));
        }
        Ok(())
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
