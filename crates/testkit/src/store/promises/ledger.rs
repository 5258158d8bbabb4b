//! The status of every row.

use jiff::SignedDuration;
use tidegate_model::store::{BatchCommit, Delivered, RowQuery, RowStatus, StatusKind};
use tidegate_model::{Clock, SyncId};

use super::steps::{all_of, commit_batch, finish, keys, orders, results, rows, start};
use crate::rows::{in_doubt, key, rejected, result, row};
use crate::store::backend::Backend;

/// While the run is on, after its end, and after a restart: the same rows, once.
pub async fn the_status_of_every_row_is_found_newest_first(backend: &dyn Backend) {
    let store = backend.open().await;
    let users = SyncId::new("users");
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let other = start(&*store, &users, backend.clock().now()).await;
    for (run, rows) in [(&run, [1, 2]), (&other, [3, 4]), (&run, [5, 6])] {
        backend.clock().advance(SignedDuration::from_secs(1));
        commit_batch(&*store, &run.id, results(rows.map(|id| (id, RowStatus::Delivered)))).await;
    }
    let everything = RowQuery { limit: 100, ..RowQuery::default() };

    let while_on = rows(&*store, everything.clone()).await;
    finish(&*store, &run.id, true, backend.clock().now()).await;
    let half_way = rows(&*store, everything.clone()).await;
    finish(&*store, &other.id, true, backend.clock().now()).await;
    let at_the_end = rows(&*store, everything.clone()).await;
    drop(store);
    let store = backend.open().await;
    let reopened = rows(&*store, everything.clone()).await;

    assert_eq!(keys(&while_on), ["6", "5", "4", "3", "2", "1"]);
    assert_eq!(while_on[2].sync, users);
    assert_eq!(while_on[0].at, backend.clock().now());
    assert_eq!(half_way, while_on);
    assert_eq!(at_the_end, while_on);
    assert_eq!(reopened, while_on);
    assert_eq!(keys(&rows(&*store, RowQuery { limit: 3, ..everything }).await), ["6", "5", "4"]);
}

/// In one batch or in several, beside rows that were not delivered.
pub async fn rows_that_come_as_columns_are_listed_like_others(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let columns = |ids: &[i64]| {
        let mut delivered = Delivered::with_capacity(ids.len());
        for row in ids.iter().map(|&id| result(id, RowStatus::Delivered)) {
            delivered.push(0, row.key, row.row, |out| out.push_str(&row.key_text), &row.user);
        }
        delivered
    };
    let commit = BatchCommit {
        delivered: vec![columns(&[1, 2]), Delivered::default(), columns(&[3])],
        ..results([(4, rejected())])
    };

    commit_batch(&*store, &run.id, commit).await;
    let while_on = rows(&*store, RowQuery { limit: 100, ..RowQuery::default() }).await;
    finish(&*store, &run.id, true, backend.clock().now()).await;
    let at_the_end = rows(&*store, RowQuery { limit: 100, ..RowQuery::default() }).await;

    assert_eq!(keys(&while_on), ["4", "3", "2", "1"]);
    assert_eq!(at_the_end, while_on);
    let listed = |at: usize| (while_on[at].user.as_str(), while_on[at].status);
    assert_eq!(listed(0), ("user-4", StatusKind::Rejected));
    assert_eq!(listed(1), ("user-3", StatusKind::Delivered));
}

/// Each alone and together, in tables and in files.
pub async fn rows_are_found_by_run_user_status_and_time(backend: &dyn Backend) {
    let store = backend.open().await;
    let first = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &first.id, results([(1, RowStatus::Delivered), (2, rejected())])).await;
    finish(&*store, &first.id, true, backend.clock().now()).await;
    backend.clock().advance(SignedDuration::from_hours(24));
    let second = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &second.id, results([(1, in_doubt()), (3, RowStatus::Delivered)])).await;

    let by_run = RowQuery { run: Some(first.id.clone()), ..all_of(&orders()) };
    let by_user = RowQuery { user: Some("user-1".into()), ..all_of(&orders()) };
    let by_status = |status| RowQuery { status: Some(status), ..all_of(&orders()) };
    assert_eq!(keys(&rows(&*store, by_run.clone()).await), ["2", "1"]);
    let of_user = rows(&*store, by_user.clone()).await;
    assert_eq!(of_user.iter().map(|entry| &entry.run).collect::<Vec<_>>(), [&second.id, &first.id]);
    assert_eq!(keys(&rows(&*store, by_status(StatusKind::Delivered)).await), ["3", "1"]);
    assert_eq!(keys(&rows(&*store, by_status(StatusKind::Rejected)).await), ["2"]);
    assert_eq!(keys(&rows(&*store, by_status(StatusKind::InDoubt)).await), ["1"]);
    let together = RowQuery { run: by_run.run, status: Some(StatusKind::Delivered), ..by_user };
    assert_eq!(keys(&rows(&*store, together).await), ["1"]);
    let nobody = RowQuery { user: Some("user".into()), ..all_of(&orders()) };
    assert!(rows(&*store, nobody).await.is_empty());
    assert!(rows(&*store, all_of(&SyncId::new("order"))).await.is_empty());
    let now = backend.clock().now();
    let since = RowQuery { from: Some(now), ..all_of(&orders()) };
    let until = RowQuery { to: Some(now), ..all_of(&orders()) };
    assert_eq!(keys(&rows(&*store, since).await), ["3", "1"]);
    assert_eq!(keys(&rows(&*store, until).await), ["2", "1"]);
}

/// The ledger keeps the story; the row's values go when they are no longer needed.
pub async fn a_row_is_shown_with_its_failed_row_and_not_after_it(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &run.id, results([(1, rejected()), (2, RowStatus::Delivered)])).await;
    finish(&*store, &run.id, true, backend.clock().now()).await;
    let payloads = async || {
        let found = rows(&*store, all_of(&orders())).await;
        found.into_iter().map(|entry| entry.payload).collect::<Vec<_>>()
    };
    assert_eq!(payloads().await, [None, Some(row(1).into())]);

    let retry = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &retry.id, BatchCommit { solved: vec![key(1)], ..BatchCommit::default() }).await;

    assert_eq!(payloads().await, [None, None]);
}
