//! What interrupted runs of a mirror were about to send, taken over by the next run.
//!
//! A row whose delivery was answered is known as delivered. Any other is known as uncertain
//! ([`RowHash::UNCERTAIN`]) until a row is delivered under its key, or deleted: it differs from every row
//! of the source, and it is gone if the source has none.

use std::collections::HashMap;

use tidegate_model::store::{
    BatchCommit, Intent, IntentRow, KeptUser, LookbackChunk, RowResult, RowStatus, RowVersion, RunStore,
};
use tidegate_model::{Counts, Error, Outcome, RowHash, RunId};

use crate::pipeline::import::Import;

/// The number of the batch that takes them over: before those of the run.
pub(crate) const BATCH: u64 = 0;

/// Commits what interrupted runs were about to send, before a run reads anything.
///
/// # Errors
/// If the store cannot be read or written; nothing was changed then.
pub(crate) async fn take_over(import: &Import, store: &dyn RunStore, run: &RunId) -> Result<(), Error> {
    let Left { rows, recalled } = Left::of(&store.open_intents(&import.sync).await?);
    if recalled.is_empty() {
        return Ok(());
    }
    let lookback = store.lookback(&import.sync).await?;
    let seq = lookback.chunks().last().map_or(0, |(seq, _)| seq + 1);
    let mut commit = BatchCommit {
        batch: BATCH,
        keeps_users: import.removal.is_some(),
        is_replaced: true,
        recalled,
        ..BatchCommit::default()
    };
    let mut known = Vec::with_capacity(rows.len());
    for (key, (intended, delivered)) in rows {
        let IntentRow { row, key_text, user, .. } = intended;
        if delivered {
            known.push(RowVersion { key, row });
            commit.solved.push(key);
            let status = RowStatus::Delivered;
            commit.results.push(RowResult { key, key_text, row, user, status, payload: None });
        } else {
            known.push(RowVersion { key, row: RowHash::UNCERTAIN.with_changes(row.changes()) });
            commit.uncertain.push(KeptUser { key, user });
        }
    }
    let delivered = commit.results.len() as u64;
    commit.counts = Counts { read: delivered, delivered, ..Counts::default() };
    commit.remember = Some(LookbackChunk { seq, high: None, rows: known });
    store.commit_batch(run, commit).await.map_err(|error| error.context("the ledger could not be written"))
}

/// What open intents say.
#[derive(Default)]
struct Left {
    /// The last row under each key that may have taken effect, and whether it certainly has.
    rows: HashMap<RowHash, (IntentRow, bool)>,
    /// The rows to take off the intents.
    recalled: Vec<RowVersion>,
}

impl Left {
    fn of(intents: &[Intent]) -> Left {
        let mut left = Left::default();
        for intent in intents {
            for (at, row) in intent.rows.iter().enumerate() {
                let outcome = intent.outcomes.as_ref().and_then(|outcomes| outcomes.get(at));
                if intent.had_no_effect(at) || matches!(outcome, Some(Outcome::Rejected(_))) {
                    continue;
                }
                left.recalled.push(RowVersion { key: row.key, row: row.row });
                left.rows.insert(row.key, (row.clone(), matches!(outcome, Some(Outcome::Delivered))));
            }
        }
        left
    }
}
