//! Runs and failed rows, page by page and in groups.

use jiff::SignedDuration;
use tidegate_model::store::{
    FailedRow, FailedRowCursor, FailedRowGroup, FailedRowGroupQuery, FailedRowQuery, RowStatus, RunQuery,
    StatusKind,
};
use tidegate_model::{Clock, Ending, Reason, RunId, Store, SyncId};

use super::steps::{commit_batch, finish, orders, results, start};
use crate::rows::{in_doubt, key, rejected};
use crate::store::backend::Backend;

/// Each run is on one page, whatever starts in between.
pub async fn runs_are_listed_page_by_page(backend: &dyn Backend) {
    let store = backend.open().await;
    let mut names = Vec::new();
    for _ in 0..5 {
        backend.clock().advance(SignedDuration::from_secs(60));
        names.push(start(&*store, &orders(), backend.clock().now()).await.id);
    }
    finish(&*store, &names[4], true, backend.clock().now()).await;
    start(&*store, &SyncId::new("users"), backend.clock().now()).await;
    let of_orders = RunQuery { sync: Some(orders()), limit: 3, ..RunQuery::default() };
    let list = async |query: RunQuery| -> Vec<RunId> {
        store.find_runs(&query).await.expect("runs").into_iter().map(|run| run.id).collect()
    };

    let first = list(of_orders.clone()).await;
    start(&*store, &orders(), backend.clock().now()).await;
    let second = list(RunQuery { before: first.last().cloned(), ..of_orders.clone() }).await;

    let newest_first: Vec<RunId> = names.iter().rev().cloned().collect();
    assert_eq!([first, second].concat(), newest_first);
    let succeeded = RunQuery { ending: Some(Ending::Succeeded), limit: 9, ..RunQuery::default() };
    assert_eq!(list(succeeded).await, [names[4].clone()]);
    let recent = RunQuery { from: Some(backend.clock().now()), limit: 9, ..RunQuery::default() };
    assert_eq!(list(recent).await.len(), 3);
    assert_eq!(store.run(&names[2]).await.expect("a run").map(|run| run.id), Some(names[2].clone()));
    assert_eq!(store.run(&RunId::new("nothing")).await.expect("no run"), None);
}

/// Two rows that failed in one commit are two rows, on either side of the end of a page.
pub async fn failed_rows_are_listed_page_by_page_and_found_by_their_properties(backend: &dyn Backend) {
    let store = backend.open().await;
    let users = SyncId::new("users");
    let run = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &run.id, results([(1, rejected()), (2, rejected()), (3, in_doubt())])).await;
    backend.clock().advance(SignedDuration::from_secs(60));
    let later = backend.clock().now();
    let other = start(&*store, &users, later).await;
    commit_batch(&*store, &other.id, results([(2, rejected()), (4, rejected())])).await;

    let page = FailedRowQuery { limit: 2, ..FailedRowQuery::default() };
    let mut pages = vec![find(&*store, &page).await];
    while let Some(last) = pages.last().and_then(|page| page.last()) {
        let after = FailedRowCursor { at: last.entry.at, sync: last.entry.sync.clone(), key: last.key };
        pages.push(find(&*store, &FailedRowQuery { after: Some(after), ..page.clone() }).await);
    }
    let all: Vec<FailedRow> = pages.concat();
    let mut of_users = [key(2), key(4)];
    of_users.sort_unstable();
    let mut of_orders = [key(1), key(2), key(3)];
    of_orders.sort_unstable();
    let keys: Vec<_> = all.iter().map(|row| row.key).collect();
    assert_eq!(keys, [&of_users[..], &of_orders[..]].concat());
    assert!(all.iter().all(|row| row.attempts == 1 && row.first_at == row.entry.at));

    let everything = FailedRowQuery { limit: 99, ..FailedRowQuery::default() };
    let count = async |query: FailedRowQuery| find(&*store, &query).await.len();
    assert_eq!(count(FailedRowQuery { sync: Some(users), ..everything.clone() }).await, 2);
    assert_eq!(count(FailedRowQuery { run: Some(run.id.clone()), ..everything.clone() }).await, 3);
    assert_eq!(count(FailedRowQuery { user: Some("user-2".to_owned()), ..everything.clone() }).await, 2);
    assert_eq!(count(FailedRowQuery { key: Some(key(4)), ..everything.clone() }).await, 1);
    assert_eq!(count(FailedRowQuery { status: Some(StatusKind::InDoubt), ..everything.clone() }).await, 1);
    let code = rejected().reason().map(|reason| reason.code.to_string());
    assert_eq!(count(FailedRowQuery { reason: code, ..everything.clone() }).await, 4);
    assert_eq!(count(FailedRowQuery { from: Some(later), ..everything.clone() }).await, 2);
    assert_eq!(count(FailedRowQuery { to: Some(later), ..everything }).await, 3);
}

async fn find(store: &dyn Store, query: &FailedRowQuery) -> Vec<FailedRow> {
    store.find_failed_rows(query).await.expect("failed rows")
}

/// With the number of rows, and the times of the first and the last of them.
pub async fn failed_rows_of_one_reason_are_one_group(backend: &dyn Backend) {
    let store = backend.open().await;
    let began = backend.clock().now();
    let run = start(&*store, &orders(), began).await;
    commit_batch(&*store, &run.id, results([(1, rejected()), (2, rejected()), (3, in_doubt())])).await;
    backend.clock().advance(SignedDuration::from_secs(60));
    let retry = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &retry.id, results([(1, rejected())])).await;

    let of = async |query: FailedRowGroupQuery| store.failed_row_groups(&query).await.expect("groups");
    let groups = of(FailedRowGroupQuery::all_of(Some(&orders()))).await;

    assert_eq!(groups.len(), 2);
    assert_eq!((groups[0].status, groups[0].rows, groups[0].users), (StatusKind::Rejected, 2, 2));
    assert_eq!((groups[0].first_at, groups[0].last_at), (began, backend.clock().now()));
    assert_eq!(Some(&groups[0].reason), rejected().reason());
    assert_eq!((groups[1].status, groups[1].rows), (StatusKind::InDoubt, 1));
    assert_eq!(of(FailedRowGroupQuery::all_of(None)).await, groups);
    assert!(of(FailedRowGroupQuery::all_of(Some(&SyncId::new("users")))).await.is_empty());
}

/// Each on one page, in one order, whatever the size of a page; those of one sync without those of others.
pub async fn groups_come_page_by_page(backend: &dyn Backend) {
    let store = backend.open().await;
    let codes = ["a", "b", "c"];
    for round in 0..4_i64 {
        for sync in 0..3_i64 {
            backend.clock().advance(SignedDuration::from_secs(round % 2));
            let run = start(&*store, &SyncId::new(format!("sync-{sync}")), backend.clock().now()).await;
            let rejected = |id: i64| RowStatus::Rejected(Reason::new(codes[(id % 3) as usize], "no"));
            let rows = (0..4).map(|id| (id, rejected(id + round * sync)));
            commit_batch(&*store, &run.id, results(rows)).await;
        }
    }
    let all = store.failed_row_groups(&FailedRowGroupQuery::all_of(None)).await.expect("groups");
    assert_eq!(all.len(), 9);
    assert!(all.is_sorted_by_key(FailedRowGroup::cursor));
    assert_eq!(all.iter().map(|group| group.rows).sum::<u64>(), 12);
    for limit in 1..=10 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let query = FailedRowGroupQuery { after, limit, ..FailedRowGroupQuery::default() };
            let page = store.failed_row_groups(&query).await.expect("groups");
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit);
            after = Some(last.cursor());
            seen.extend(page);
        }
        assert_eq!(seen, all, "{limit} on a page");
    }
    let two = ["sync-0", "sync-2"].map(SyncId::new);
    let query = FailedRowGroupQuery {
        syncs: Some(two.to_vec()),
        without_users: true,
        ..FailedRowGroupQuery::all_of(None)
    };
    let mut expected = all.clone();
    expected.retain(|group| two.contains(&group.sync));
    expected.iter_mut().for_each(|group| group.users = 0);
    assert_eq!(store.failed_row_groups(&query).await.expect("groups"), expected);
}
