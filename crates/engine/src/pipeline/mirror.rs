//! A run of a mirror: all rows are compared, and what differs is read.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use tidegate_model::store::{BatchCommit, Lookback, RowMemory};
use tidegate_model::{
    Batch, Compared, Comparison, Error, Feed, Idempotency, Mapping, Platform, Progress, Row, RowHash, RunId,
};
use tokio::sync::watch;

use crate::pipeline::batch_size::batch_items;
use crate::pipeline::begins::Begins;
use crate::pipeline::brake::ExceededLimit;
use crate::pipeline::import::Import;
use crate::pipeline::interrupted;
use crate::pipeline::read::by_hash::ByHash;
use crate::pipeline::read::by_source::{AtSource, CertainComparison, SourceComparison};
use crate::pipeline::read::compare::{Comparing, Duplicates};
use crate::pipeline::read::cursor_state::ChangeTracking;
use crate::pipeline::read::mirror_state::Measured;
use crate::pipeline::read::restored::RejectedRows;
use crate::pipeline::removal::{self, Removed};
use crate::pipeline::run::Parts;
use crate::pipeline::sent::SentAttributes;

/// Whether what is sent is written down before, though sending it again does no harm.
pub(crate) fn is_noted(import: &Import, platform: &Arc<dyn Platform>) -> bool {
    import.tracking == ChangeTracking::Mirror && platform.object().idempotency == Idempotency::Idempotent
}

/// Rows to retry, of which no entry at the source says any more what was committed.
pub(crate) fn doubted(rows: Feed<Row>, mapping: &Arc<Mapping>, at_source: &AtSource) -> Feed<Row> {
    let (mapping, bookkeeping) = (Arc::clone(mapping), Arc::clone(&at_source.bookkeeping));
    let doubted = move |batch: Batch<Row>| {
        let mut scratch = Vec::new();
        let keys = batch.items.iter().map(|row| {
            let whole = mapping.version_of(row, &mut scratch);
            mapping.key_of(row, whole, &mut scratch)
        });
        let keys: Vec<RowHash> = keys.collect();
        let bookkeeping = Arc::clone(&bookkeeping);
        async move { bookkeeping.doubt(&keys).await.map(|()| batch) }
    };
    rows.and_then(doubted).boxed()
}

/// Closes the failed rows of what is again as it was delivered.
async fn close_restored(parts: &Parts, run: &RunId, keys: Vec<RowHash>) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let commit = BatchCommit { batch: interrupted::BATCH, solved: keys, ..BatchCommit::default() };
    parts.store.commit_batch(run, commit).await
}

/// Compares all rows of the source, and opens a feed of those that differ, and one of those that are
/// gone if something is done about them.
pub(crate) async fn compared(
    import: &Import,
    parts: &Parts,
    run: &RunId,
    begins: &Begins,
    (duplicates, sent): (&Duplicates, Option<&Arc<SentAttributes>>),
    progress: watch::Sender<Progress>,
) -> Result<(Feed<Row>, Option<Feed<Row>>), Error> {
    let removes = import.removal.is_some();
    let lookback: Arc<dyn Lookback> = Arc::from(parts.store.lookback(&import.sync).await?);
    let mut comparing = comparing(import, parts, begins, progress).await?;
    let mut found = comparing.compare(comparison(import, parts, begins, &lookback).await?).await?;
    if let Some(at_source) = &begins.at_source {
        found.comparison = at_source.take_over(found.comparison, Arc::clone(&lookback)).await?;
    }
    parts.store.note_compared(run, found.differences.compared).await?;
    if let Some((state, row_bytes)) = begins.mirror.as_ref().zip(found.row_bytes.or(begins.row_bytes)) {
        let Compared { added, changed, unchanged, .. } = found.differences.compared;
        let (rows, differing) = (added + changed + unchanged, added + changed);
        state.measured(Measured { row_bytes, rows, differing, by_hash: begins.hashes.is_some() });
    }
    within_limits(import, begins, &found.differences.compared)?;
    close_restored(parts, run, std::mem::take(&mut found.restored)).await?;
    duplicates.add(found.differences.duplicates.drain(..));
    let differing = comparing.differing(&mut found, Arc::clone(&lookback)).await?;
    let differing = match sent {
        Some(sent) => {
            let memory: Arc<dyn RowMemory> = parts.store.clone();
            sent.look_up(differing, &import.mapping, (memory, import.sync.clone()), Arc::clone(&lookback))
        }
        None => differing,
    };
    let unknown = removal::unknown(comparing.about_to_be_sent, lookback.as_ref()).await?;
    if found.unreadable > 0 && found.differences.compared.removed > 0 && removes {
        let (sync, rows) = (&import.sync, found.unreadable);
        tracing::warn!(%sync, rows, "nothing is done about removed rows: rows whose key could not be read may be among them");
    }
    let removed = (removes && found.unreadable == 0).then(|| {
        let removed = Removed {
            store: parts.store.clone(),
            sync: import.sync.clone(),
            comparison: found.comparison,
            columns: import.columns.clone(),
            mapping: import.mapping.clone(),
            batch_rows: batch_items(&import.platform.limits()),
        };
        removed.feed(&unknown)
    });
    Ok((differing, removed))
}

/// Prepares to read the rows of the source.
async fn comparing<'a>(
    import: &'a Import,
    parts: &Parts,
    begins: &Begins,
    progress: watch::Sender<Progress>,
) -> Result<Comparing<'a>, Error> {
    let kind = begins.kind;
    let about_to_be_sent = match is_noted(import, &import.platform) {
        true => HashMap::new(),
        false => removal::about_to_be_sent(parts.store.open_intents(&import.sync).await?),
    };
    let by_hash = match begins.hashes {
        Some(name) => Some(ByHash::new(import, parts.store.hash_memo(&import.sync, name).await?)),
        None => None,
    };
    let rejected = match kind.skips_committed() {
        true => RejectedRows::load(parts.store.as_ref(), &import.sync).await?,
        false => RejectedRows::default(),
    };
    Ok(Comparing {
        import,
        kind,
        at_source: begins.at_source.clone(),
        by_hash,
        batch_rows: batch_items(&import.platform.limits()),
        held: Some(parts.store.held_rows()),
        progress,
        about_to_be_sent,
        rejected,
    })
}

/// Opens what the rows are compared with.
async fn comparison(
    import: &Import,
    parts: &Parts,
    begins: &Begins,
    lookback: &Arc<dyn Lookback>,
) -> Result<Box<dyn Comparison>, Error> {
    Ok(match &begins.at_source {
        Some(at_source) if at_source.continues && begins.kind.skips_committed() => {
            Box::new(SourceComparison::new(at_source, Arc::clone(lookback)))
        }
        Some(_) => {
            let comparison = parts.store.compare(&import.sync).await?;
            Box::new(CertainComparison { comparison, lookback: Arc::clone(lookback) })
        }
        None => parts.store.compare(&import.sync).await?,
    })
}

/// Stops a run that would change more than it may.
fn within_limits(import: &Import, begins: &Begins, compared: &Compared) -> Result<(), Error> {
    let Some(limits) = &import.limits else { return Ok(()) };
    let on_removed = removal::on_removed(import);
    let exceeded = ExceededLimit::by_mirror(limits, on_removed, compared, &begins.vanished, import.confirmed);
    exceeded.map_or(Ok(()), |exceeded| Err(exceeded.error(&import.sync)))
}
