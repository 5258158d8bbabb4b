//! Rows that an earlier run was about to send, and that the source no longer shows, listed at the end of a run.

use tidegate_model::store::{
    BatchCommit, IntentRow, Known, LookbackChunk, RowResult, RowStatus, RowVersion, RunStore, StatusKind,
};
use tidegate_model::{Counts, Error, RowHash, RunId, SyncId};

use crate::pipeline::commit::committer;
use crate::pipeline::read::cursor_state;
use crate::pipeline::read::resume::ResumeState;
use crate::pipeline::run_kind::Retention;

/// Lists the rows that are left in `resume` with their status, in doubt if it is not known, as batch `batch`. They
/// are remembered: a row that is back is not sent again. Returns what was counted.
///
/// As long as a sync with a cursor has no checkpoint, their intents stay and `None` is returned: the source has shown
/// nothing so far, and what is remembered is remembered up to a cursor value.
///
/// # Errors
/// If the store cannot be read or written.
pub(crate) async fn list(
    store: &dyn RunStore,
    (sync, run): (&SyncId, &RunId),
    retention: &Retention,
    resume: &mut ResumeState,
    batch: u64,
) -> Result<Option<Counts>, Error> {
    let mut high = None;
    if matches!(retention, Retention::Lookback(..)) && resume.has_unfinished() {
        let state = store.sync_state(sync).await?;
        high = state.checkpoint.as_ref().and_then(cursor_state::cursor_of);
        if high.is_none() {
            return Ok(None);
        }
    }
    let results: Vec<RowResult> = resume.unfinished().into_iter().map(result).collect();
    // Whatever read them could not count them any more.
    let mut counts = Counts { read: results.len() as u64, ..Counts::default() };
    results.iter().for_each(|row| committer::count(&mut counts, &row.status));
    if results.is_empty() {
        return Ok(Some(counts));
    }
    let recalled = results.iter().map(|row| RowVersion { key: row.key, row: row.row }).collect();
    let delivered = results.iter().filter(|row| row.status == RowStatus::Delivered);
    let solved = delivered.map(|row| row.key).collect();
    let mut commit = BatchCommit { batch, counts, solved, recalled, ..BatchCommit::default() };
    if matches!(retention, Retention::Lookback(..) | Retention::ByKey) {
        let keys: Vec<RowHash> = results.iter().map(|row| row.key).collect();
        let (before, lookback) = (resume.known(&keys).await?, store.lookback(sync).await?);
        let (before, now) = (before.unwrap_or_default(), lookback.find(&keys).await?);
        let before = before.into_iter().chain(std::iter::repeat(Known::Nothing));
        let known = before.zip(&now);
        let rows = results.iter().zip(known).filter_map(|(row, (before, now))| {
            remembered(row, &before, now).map(|hash| RowVersion { key: row.key, row: hash })
        });
        let seq = lookback.chunks().last().map_or(0, |(seq, _)| seq + 1);
        let chunk = LookbackChunk { seq, high, rows: rows.collect() };
        commit.remember = Some(chunk).filter(|chunk| !chunk.rows.is_empty());
    }
    commit.results = results;
    store.commit_batch(run, commit).await?;
    Ok(Some(counts))
}

/// Returns the result of a row that an earlier run was about to send.
pub(crate) fn result((row, status): (IntentRow, RowStatus)) -> RowResult {
    let IntentRow { key, key_text, row, user, .. } = row;
    RowResult { key, key_text, row, user, status, payload: None }
}

/// Returns what is remembered of a row that was sent before the run committed anything: nothing if the platform has got
/// another row under its key since. `before` is what was known under the key when the run began, `now` what is
/// at its end.
fn remembered(row: &RowResult, before: &Known, now: &Known) -> Option<RowHash> {
    let mut since = now.rows().iter().filter(|row| !before.rows().contains(row)).peekable();
    let was_rejected = since.peek().is_some();
    if since.any(|row| !row.is_rejected() && !row.is_before_rejected()) {
        return None;
    }
    match row.status.kind() {
        StatusKind::Delivered if was_rejected => Some(row.row.before_rejected()),
        StatusKind::Delivered => Some(row.row),
        StatusKind::InDoubt => Some(row.row.in_doubt()),
        // It had no effect. What is known under its key still holds, and it may be sent again.
        StatusKind::Rejected => None,
    }
}
