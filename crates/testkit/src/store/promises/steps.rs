//! Steps that the promises have in common.

use jiff::Timestamp;
use tidegate_model::store::{BatchCommit, RowEntry, RowQuery, RowStatus};
use tidegate_model::{Cause, Ending, ObjectKind, Run, RunId, Store, SyncId};

use crate::rows::result;

pub(super) fn orders() -> SyncId {
    SyncId::new("orders")
}

pub(super) async fn start(store: &dyn Store, sync: &SyncId, at: Timestamp) -> Run {
    store.start_run(sync, ObjectKind::Event, Cause::Manual, at).await.expect("run started")
}

pub(super) async fn finish(store: &dyn Store, run: &RunId, complete: bool, at: Timestamp) -> Run {
    store.finish_run(run, Ending::Succeeded, None, complete, at).await.expect("run finished")
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

pub(super) fn all_of(sync: &SyncId) -> RowQuery {
    RowQuery { sync: Some(sync.clone()), limit: 100, ..RowQuery::default() }
}

pub(super) fn keys(entries: &[RowEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.as_str()).collect()
}
