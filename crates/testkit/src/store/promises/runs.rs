//! Runs, from their start to the end of their history.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use tidegate_model::store::{BatchCommit, PauseChange, RowQuery, RowStatus, RunEnd};
use tidegate_model::{
    Cause, Clock, ConnectionId, Counts, Ending, ErrorKind, ObjectKind, Run, RunFailure, RunId, SyncId,
};

use super::steps::{all_of, commit_batch, finish, keys, orders, results, rows, start, start_as};
use crate::rows::{intended, intent, rejected, result};
use crate::store::backend::Backend;

/// Even where several start in the same instant; runs are listed newest first.
pub async fn names_of_runs_sort_by_their_start(backend: &dyn Backend) {
    let store = backend.open().await;
    let users = SyncId::new("users");
    let mut names = Vec::new();
    for at in 0..12 {
        let sync = if at % 2 == 0 { orders() } else { users.clone() };
        names.push(start(&*store, &sync, backend.clock().now()).await.id);
        if at % 4 == 3 {
            backend.clock().advance(SignedDuration::from_millis(700));
        }
    }

    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    let listed = store.runs(None, 5).await.expect("runs");
    let listed: Vec<&RunId> = listed.iter().map(|run| &run.id).collect();
    assert_eq!(listed, names.iter().rev().take(5).collect::<Vec<_>>());
    assert_eq!(store.runs(Some(&users), 100).await.expect("runs").len(), 6);
}

/// After a crash the next run closes it, with its time; other syncs are left alone.
pub async fn a_run_that_never_ended_is_interrupted_by_the_next(backend: &dyn Backend) {
    let store = backend.open().await;
    let users = SyncId::new("users");
    let dead = start(&*store, &orders(), backend.clock().now()).await;
    let ended = start(&*store, &users, backend.clock().now()).await;
    finish(&*store, &ended.id, true, backend.clock().now()).await;
    let alive = start(&*store, &users, backend.clock().now()).await;
    commit_batch(&*store, &dead.id, results([(1, RowStatus::Delivered)])).await;
    drop(store);

    backend.clock().advance(SignedDuration::from_secs(60));
    let store = backend.open().await;
    let next = start(&*store, &orders(), backend.clock().now()).await;

    let runs = store.runs(None, 10).await.expect("runs");
    let find = |id: &RunId| runs.iter().find(|run| run.id == *id).expect("listed");
    assert_eq!(find(&dead.id).ending, Some(Ending::Interrupted));
    assert_eq!(find(&dead.id).finished_at, Some(backend.clock().now()));
    assert_eq!(find(&next.id).ending, None);
    assert_eq!(find(&alive.id).ending, None);
    assert_eq!(find(&ended.id).ending, Some(Ending::Succeeded));
    assert_eq!(keys(&rows(&*store, all_of(&orders())).await), ["1"]);
}

/// It is noted when a sync first runs.
pub async fn the_object_of_the_first_run_stays(backend: &dyn Backend) {
    let store = backend.open().await;
    let at = backend.clock().now();
    for object in [ObjectKind::CatalogItem, ObjectKind::User] {
        start_as(&*store, &orders(), object, Cause::Schedule, at).await;
        let state = store.sync_state(&orders()).await.expect("state");
        assert_eq!(state.object, Some(ObjectKind::CatalogItem));
    }
}

/// Each commit adds its own; the ending, its time and its sentence are kept.
pub async fn counts_add_up_until_the_run_ends(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let counts = Counts {
        read: 1,
        skipped: 2,
        delivered: 3,
        rejected: 4,
        in_doubt: 5,
        not_due: 6,
        ignored: 9,
        requests: 7,
        retries: 8,
    };
    commit_batch(&*store, &run.id, BatchCommit { batch: 1, counts, ..BatchCommit::default() }).await;
    commit_batch(&*store, &run.id, BatchCommit { batch: 2, counts, ..BatchCommit::default() }).await;
    backend.clock().advance(SignedDuration::from_secs(5));
    let at = backend.clock().now();

    let error = Some("the disk is full".to_owned());
    let failure = Some(RunFailure { kind: ErrorKind::Storage, connection: Some(ConnectionId::new("lake")) });
    let pause = PauseChange::Set("the disk is full".to_owned());
    let end =
        RunEnd { error: error.clone(), failure: failure.clone(), pause, ..RunEnd::new(Ending::Failed, at) };
    let finished = store.finish_run(&run.id, end).await.expect("finished");
    let paused = store.sync_state(&orders()).await.expect("state").paused.expect("paused");
    assert_eq!(paused.failure, failure);

    let mut twice = counts;
    twice += counts;
    let expected =
        Run { counts: twice, finished_at: Some(at), ending: Some(Ending::Failed), error, failure, ..run };
    assert_eq!(finished, expected);
    assert_eq!(backend.open().await.runs(Some(&orders()), 1).await.expect("runs"), [expected]);
}

/// And an error of its own: what others write at the same time is written.
pub async fn what_concerns_an_unknown_run_is_an_error(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let nobody = RunId::new("nobody");

    let (wrong, right) = tokio::join!(
        store.intend(&nobody, 1, intended([intent(1)])),
        store.intend(&run.id, 1, intended([intent(2)]))
    );

    wrong.expect_err("no such run");
    right.expect("written");
    store.commit_batch(&nobody, results([(1, RowStatus::Delivered)])).await.expect_err("no such run");
    let end = RunEnd::new(Ending::Failed, backend.clock().now());
    store.finish_run(&nobody, end).await.expect_err("no such run");
    assert_eq!(store.open_intents(&orders()).await.expect("intents").len(), 1);
    assert!(rows(&*store, RowQuery { limit: 10, ..RowQuery::default() }).await.is_empty());
}

/// The day of the given moment stays whole; failed rows are not history.
pub async fn old_history_goes_by_whole_days(backend: &dyn Backend) {
    let store = backend.open().await;
    for id in 1..=3 {
        let run = start(&*store, &orders(), backend.clock().now()).await;
        commit_batch(&*store, &run.id, results([(id, rejected())])).await;
        if id != 2 {
            finish(&*store, &run.id, true, backend.clock().now()).await;
        }
        backend.clock().advance(SignedDuration::from_hours(24));
    }
    backend.clock().advance(SignedDuration::from_hours(-24));

    store.trim_history(backend.clock().now()).await.expect("trimmed");

    assert_eq!(keys(&rows(&*store, all_of(&orders())).await), ["3"]);
    assert_eq!(store.failed_rows(&orders()).await.expect("failed rows").len(), 3);
    assert_eq!(store.runs(Some(&orders()), 10).await.expect("runs").len(), 3);
}

/// A list of a thousand syncs asks the store as often as one of two.
pub async fn the_last_run_and_the_failed_rows_of_all_syncs_come_in_one_question(backend: &dyn Backend) {
    let store = backend.open().await;
    let customers = SyncId::new("customers");
    let mut last = HashMap::new();
    for (sync, failed) in [(orders(), 2), (customers.clone(), 1), (orders(), 0)] {
        let run = start(&*store, &sync, backend.clock().now()).await;
        let results = (0..failed).map(|id| result(id, rejected())).collect();
        commit_batch(&*store, &run.id, BatchCommit { results, ..BatchCommit::default() }).await;
        finish(&*store, &run.id, true, backend.clock().now()).await;
        last.insert(sync, run.id);
    }
    let runs = store.last_runs().await.expect("runs");
    assert_eq!(runs.into_iter().map(|(sync, run)| (sync, run.id)).collect::<HashMap<_, _>>(), last);
    let counts = store.failed_row_counts().await.expect("counts");
    assert_eq!(counts, HashMap::from([(orders(), 2), (customers, 1)]));
}

/// By the hour in which their runs ended, of one sync or of all.
pub async fn rows_are_counted_by_the_hour_in_which_their_run_ended(backend: &dyn Backend) {
    let store = backend.open().await;
    let began = backend.clock().now();
    let hour = |at: Timestamp| Some(at.as_second().div_euclid(3_600));
    let customers = SyncId::new("customers");
    let counts =
        |delivered, rejected, in_doubt| Counts { delivered, rejected, in_doubt, ..Counts::default() };
    let mut ended = Vec::new();
    for (sync, minutes) in [(orders(), 30), (orders(), 1), (customers.clone(), 120), (orders(), 59)] {
        let run = start(&*store, &sync, backend.clock().now()).await;
        let commit = BatchCommit { counts: counts(5, 2, 1), ..BatchCommit::default() };
        commit_batch(&*store, &run.id, commit).await;
        backend.clock().advance(SignedDuration::from_mins(minutes));
        finish(&*store, &run.id, true, backend.clock().now()).await;
        ended.push(backend.clock().now());
    }
    let open = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &open.id, BatchCommit { counts: counts(7, 0, 0), ..BatchCommit::default() }).await;

    let of = async |sync: Option<&SyncId>, started, ended| {
        let mut found = store.hour_counts(sync, started, ended).await.expect("counts");
        found.sort_by_key(|counts| (counts.sync.clone(), counts.hour));
        found
            .into_iter()
            .map(|of| (of.sync, of.hour, of.delivered, of.rejected, of.in_doubt))
            .collect::<Vec<_>>()
    };
    let mut expected: BTreeMap<(SyncId, Option<i64>), (u64, u64, u64)> = BTreeMap::new();
    for (at, sync) in ended.iter().zip([orders(), orders(), customers.clone(), orders()]) {
        let sum = expected.entry((sync, hour(*at))).or_default();
        *sum = (sum.0 + 5, sum.1 + 2, sum.2 + 1);
    }
    expected.insert((orders(), None), (7, 0, 0));
    let expected: Vec<_> =
        expected.into_iter().map(|((sync, hour), (d, r, i))| (sync, hour, d, r, i)).collect();
    assert_eq!(of(None, began, Timestamp::MIN).await, expected);
    let of_customers = of(Some(&customers), began, Timestamp::MIN).await;
    assert_eq!(of_customers, [(customers, hour(ended[2]), 5, 2, 1)]);
    let last = of(None, began, ended[2]).await;
    assert_eq!(last, [(orders(), None, 7, 0, 0), (orders(), hour(ended[3]), 5, 2, 1)]);
    assert_eq!(of(None, open.started_at, Timestamp::MIN).await, [(orders(), None, 7, 0, 0)]);
}
