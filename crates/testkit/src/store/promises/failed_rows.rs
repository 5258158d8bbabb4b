//! Failed rows, until they are solved.

use std::collections::{BTreeMap, HashMap};

use jiff::SignedDuration;
use tidegate_model::store::{
    BatchCommit, FailedRowGroupQuery, FailedRowQuery, FailedRowTotals, RowEntry, RowResult, RowStatus,
    RowVersion, StatusKind,
};
use tidegate_model::{Clock, KeptRow, ObjectKind, RowPart, SyncId};

use super::steps::{commit_batch, finish, orders, results, start};
use crate::rows::{in_doubt, key, rejected, result, row};
use crate::store::backend::Backend;

/// With all that is needed to send the row again, in the order of the rows.
pub async fn a_failed_row_stays_open_until_it_is_solved(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let mut malformed = result(4, rejected());
    malformed.payload = None;
    let mut commit = results([(3, rejected()), (1, RowStatus::Delivered), (2, in_doubt())]);
    commit.results.push(malformed);
    commit_batch(&*store, &run.id, commit).await;
    finish(&*store, &run.id, true, backend.clock().now()).await;

    let store = backend.open().await;
    let failed_rows = store.failed_rows(&orders()).await.expect("failed rows");
    let entry = |id: i64, status: StatusKind, reason: &RowStatus| RowEntry {
        at: backend.clock().now(),
        sync: orders(),
        run: run.id.clone(),
        object: ObjectKind::Event,
        user: format!("user-{id}"),
        key: id.to_string(),
        status,
        reason: reason.reason().cloned(),
        payload: (id != 4).then(|| row(id).into()),
    };
    let entries: Vec<&RowEntry> = failed_rows.iter().map(|failed_row| &failed_row.entry).collect();
    assert_eq!(
        entries,
        [
            &entry(3, StatusKind::Rejected, &rejected()),
            &entry(2, StatusKind::InDoubt, &in_doubt()),
            &entry(4, StatusKind::Rejected, &rejected())
        ]
    );
    assert_eq!((failed_rows[0].key, failed_rows[0].row), (key(3), result(3, RowStatus::Delivered).row));

    let mut rejected = store.rejected_versions(&orders()).await.expect("versions");
    rejected.sort_unstable();
    let version = |id| RowVersion { key: key(id), row: result(id, RowStatus::Delivered).row };
    let mut expected = vec![version(3), version(4)];
    expected.sort_unstable();
    assert_eq!(rejected, expected, "a row in doubt is none of them");

    let retry = start(&*store, &orders(), backend.clock().now()).await;
    let solved = vec![key(3), key(999)];
    assert_eq!(store.failed_row_totals(&orders()).await.expect("totals").rows, 3);

    commit_batch(&*store, &retry.id, BatchCommit { solved, ..results([(3, RowStatus::Delivered)]) }).await;
    let open = store.failed_rows(&orders()).await.expect("failed rows");
    assert_eq!(open.iter().map(|failed_row| failed_row.key).collect::<Vec<_>>(), [key(2), key(4)]);
    assert!(store.failed_rows(&SyncId::new("users")).await.expect("failed rows").is_empty());
}

/// Page by page, also while they are closed.
pub async fn failed_rows_are_read_in_order_and_counted_without_being_read(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    for from in [0, 700] {
        commit_batch(&*store, &run.id, results((from..from + 700).map(|id| (id, rejected())))).await;
        backend.clock().advance(SignedDuration::from_secs(1));
    }
    // The same rows again: none of them is a new one.
    commit_batch(&*store, &run.id, results((0..700).map(|id| (id, rejected())))).await;
    let before = store.failed_row_totals(&orders()).await.expect("totals");
    assert_eq!((before.rows, before.dismissed), (1_400, 0));

    let query = FailedRowQuery { sync: Some(orders()), limit: 300, ..FailedRowQuery::default() };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.failed_rows_in_order(&query, after.as_ref()).await.expect("a page");
        let Some(last) = page.last().cloned() else { break };
        seen.extend(page.iter().map(|row| row.key));
        let solved = page.iter().map(|row| row.key).collect();
        commit_batch(&*store, &run.id, BatchCommit { solved, ..BatchCommit::default() }).await;
        after = Some(last);
    }
    assert_eq!(seen, (0..1_400).map(key).collect::<Vec<_>>());
    assert_eq!(store.failed_row_totals(&orders()).await.expect("totals"), FailedRowTotals::default());
}

/// Commits of one row and of hundreds, rows that fail again and again, and rows that are closed.
pub async fn failed_rows_are_the_same_however_many_commits_made_them(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    // Each open row, with its place in the order and how often it was tried.
    let mut open: BTreeMap<i64, (usize, u64)> = BTreeMap::new();
    let mut random = 7_u64;
    for number in 0..150 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (from, what) = ((random >> 33) as i64 % 900, (random >> 60) % 16);
        let count = if what == 0 { 400 } else { 1 + what as i64 % 3 };
        let ids: Vec<i64> = (from..from + count).collect();
        if number > 20 && what % 5 == 4 {
            let solved = ids.iter().map(|id| key(*id)).collect();
            commit_batch(&*store, &run.id, BatchCommit { solved, ..BatchCommit::default() }).await;
            ids.iter().for_each(|id| _ = open.remove(id));
        } else {
            commit_batch(&*store, &run.id, results(ids.iter().map(|id| (*id, rejected())))).await;
            for (position, id) in ids.iter().enumerate() {
                open.entry(*id).or_insert((number * 1_000 + position, 0)).1 += 1;
            }
        }
        backend.clock().advance(SignedDuration::from_millis(1));
    }

    let mut expected: Vec<_> = open.iter().map(|(id, (place, attempts))| (*place, *id, *attempts)).collect();
    expected.sort_unstable();
    let all = FailedRowQuery { sync: Some(orders()), limit: 100, ..FailedRowQuery::default() };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.failed_rows_in_order(&all, after.as_ref()).await.expect("a page");
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        seen.extend(page);
    }
    let given: Vec<_> = seen.iter().map(|row| (row.key, row.attempts)).collect();
    let wanted: Vec<_> = expected.iter().map(|(_, id, attempts)| (key(*id), *attempts)).collect();
    assert_eq!(given, wanted);
    assert!(seen.iter().zip(&expected).all(|(seen, (_, id, _))| seen.entry.payload == Some(row(*id).into())));
    let totals = store.failed_row_totals(&orders()).await.expect("totals");
    assert_eq!(totals.rows, expected.len() as u64);
    let groups = store.failed_row_groups(&FailedRowGroupQuery::all_of(None)).await.expect("groups");
    assert_eq!((groups.len(), groups[0].rows, groups[0].users), (1, totals.rows, totals.rows));
    for id in (0..1_300).step_by(50) {
        let user = FailedRowQuery { user: Some(format!("user-{id}")), ..all.clone() };
        let found = store.find_failed_rows(&user).await.expect("rows");
        assert_eq!(found.len(), usize::from(open.contains_key(&id)), "user-{id}");
    }
}

/// They are counted apart, and a note stands with them.
pub async fn failed_rows_that_need_no_delivery_are_dismissed(backend: &dyn Backend) {
    let store = backend.open().await;
    let at = backend.clock().now();
    let run = start(&*store, &orders(), at).await;
    commit_batch(&*store, &run.id, results([(1, rejected()), (2, rejected()), (3, in_doubt())])).await;
    let query = |user: Option<&str>| FailedRowQuery {
        sync: Some(orders()),
        user: user.map(str::to_owned),
        status: Some(StatusKind::Rejected),
        ..FailedRowQuery::default()
    };
    let dismissed = store.dismiss_failed_rows(&query(Some("user-2")), "a test user", at).await;
    assert_eq!(dismissed.expect("dismissed"), 1);
    let totals = store.failed_row_totals(&orders()).await.expect("totals");
    assert_eq!((totals.rows, totals.dismissed), (2, 1));
    let listed = store.dismissed_rows(&FailedRowQuery { limit: 9, ..query(None) }).await.expect("rows");
    let [row] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((row.note.as_str(), row.entry.user.as_str(), row.entry.at), ("a test user", "user-2", at));
    assert_eq!(store.dismiss_failed_rows(&query(None), "the rest", at).await.expect("dismissed"), 1);
    let left = store.failed_rows(&orders()).await.expect("failed rows");
    assert_eq!(left.iter().map(|row| row.key).collect::<Vec<_>>(), [key(3)]);
}

/// It keeps its position in the order and shows the latest attempt.
pub async fn the_same_row_failing_again_is_one_failed_row(backend: &dyn Backend) {
    let store = backend.open().await;
    let first = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &first.id, results([(1, rejected()), (2, rejected())])).await;
    backend.clock().advance(SignedDuration::from_secs(60));
    let second = start(&*store, &orders(), backend.clock().now()).await;

    commit_batch(&*store, &second.id, results([(3, rejected()), (1, in_doubt())])).await;

    let failed_rows = store.failed_rows(&orders()).await.expect("failed rows");
    assert_eq!(
        failed_rows.iter().map(|failed_row| failed_row.key).collect::<Vec<_>>(),
        [key(1), key(2), key(3)]
    );
    let entry = &failed_rows[0].entry;
    assert_eq!((entry.at, &entry.run), (backend.clock().now(), &second.id));
    assert_eq!((entry.status, entry.reason.as_ref()), (StatusKind::InDoubt, in_doubt().reason()));
    assert_eq!(entry.payload, Some(row(1).into()));
}

/// A row that fails again when there is no more room keeps the contents from which it can be retried.
pub async fn a_row_that_is_cut_when_it_fails_again_stays_whole(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let cut = |id| {
        let part = RowPart { cut: vec!["email".to_owned()], ..RowPart::default() };
        RowResult { payload: Some(KeptRow::Part(Box::new(part))), ..result(id, rejected()) }
    };
    let mut first = results([(1, rejected()), (3, rejected())]);
    first.results.push(cut(2));
    commit_batch(&*store, &run.id, first).await;

    let again = results([(2, rejected())]).results.into_iter().chain([cut(1), cut(4)]);
    let again = BatchCommit { results: again.collect(), ..BatchCommit::default() };
    commit_batch(&*store, &run.id, again).await;

    let failed_rows = store.failed_rows(&orders()).await.expect("failed rows");
    let payloads: HashMap<_, _> = failed_rows.into_iter().map(|row| (row.key, row.entry.payload)).collect();
    for id in [1, 2, 3] {
        assert_eq!(payloads[&key(id)], Some(row(id).into()), "{id}");
    }
    assert_eq!(payloads[&key(4)], cut(4).payload);
}

/// What is sent again is what the source had last.
pub async fn another_row_under_the_same_key_takes_its_place(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let mut newer = result(2, rejected());
    newer.key = key(1);
    commit_batch(&*store, &run.id, results([(1, rejected()), (3, rejected())])).await;
    backend.clock().advance(SignedDuration::from_secs(1));

    commit_batch(&*store, &run.id, BatchCommit { results: vec![newer.clone()], ..BatchCommit::default() })
        .await;

    let failed_rows = store.failed_rows(&orders()).await.expect("failed rows");
    assert_eq!(failed_rows.iter().map(|failed_row| failed_row.key).collect::<Vec<_>>(), [key(3), key(1)]);
    assert_eq!(
        (failed_rows[1].row, failed_rows[1].entry.payload.as_ref()),
        (newer.row, Some(&row(2).into()))
    );
}

/// A key that is solved and fails again later in the batch is open; the other way
/// round it is solved.
pub async fn the_last_row_of_a_batch_decides_whether_its_key_is_solved(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let rows = [(1, RowStatus::Delivered), (1, rejected()), (2, rejected()), (2, RowStatus::Delivered)];

    commit_batch(&*store, &run.id, BatchCommit { solved: vec![key(1), key(2)], ..results(rows) }).await;

    let failed_rows = store.failed_rows(&orders()).await.expect("failed rows");
    assert_eq!(failed_rows.iter().map(|failed_row| failed_row.key).collect::<Vec<_>>(), [key(1)]);
}
