//! Steps that the promises have in common.

use jiff::Timestamp;
use tidegate_model::store::{BatchCommit, RowEntry, RowQuery, RowStatus, RowVersion, RunEnd};
use tidegate_model::{Cause, Claim, Ending, ObjectKind, RowHash, Run, RunId, Store, SyncId};

use crate::rows::result;

pub(super) fn orders() -> SyncId {
    SyncId::new("orders")
}

pub(super) async fn start(store: &dyn Store, sync: &SyncId, at: Timestamp) -> Run {
    start_as(store, sync, ObjectKind::Event, Cause::Manual, at).await
}

/// Starts a run and lets its lease go: the run stays open until the next one.
pub(super) async fn start_as(
    store: &dyn Store,
    sync: &SyncId,
    object: ObjectKind,
    cause: Cause,
    at: Timestamp,
) -> Run {
    let claim = take(store, sync).await;
    let run = store.start_run(&claim, object, cause, at).await.expect("run started");
    claim.release().await;
    run
}

pub(super) async fn take(store: &dyn Store, sync: &SyncId) -> Claim {
    store.claim(sync).await.expect("asked").taken().expect("free")
}

pub(super) async fn finish(store: &dyn Store, run: &RunId, complete: bool, at: Timestamp) -> Run {
    let end = RunEnd { complete, ..RunEnd::new(Ending::Succeeded, at) };
    store.finish_run(run, end).await.expect("run finished")
}

pub(super) async fn commit_batch(store: &dyn Store, run: &RunId, commit: BatchCommit) {
    store.commit_batch(run, commit).await.expect("committed");
}

pub(super) fn results(rows: impl IntoIterator<Item = (i64, RowStatus)>) -> BatchCommit {
    BatchCommit {
        results: rows.into_iter().map(|(id, what)| result(id, what)).collect(),
        ..BatchCommit::default()
    }
}

pub(super) async fn rows(store: &dyn Store, query: RowQuery) -> Vec<RowEntry> {
    store.rows(&query).await.expect("rows")
}

/// Everything that is remembered of a sync, sorted.
pub(super) async fn remembered(store: &dyn Store, sync: &SyncId) -> Vec<RowVersion> {
    let mut rows = store.lookback(sync).await.expect("lookback").all().await.expect("rows");
    rows.sort_unstable();
    rows
}

pub(super) fn version(key: u128, row: u128) -> RowVersion {
    RowVersion { key: RowHash(key), row: RowHash(row) }
}

pub(super) fn all_of(sync: &SyncId) -> RowQuery {
    RowQuery { sync: Some(sync.clone()), limit: 100, ..RowQuery::default() }
}

pub(super) fn keys(entries: &[RowEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.as_str()).collect()
}
