//! One function for each promise. They panic where it is broken.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidegate_model::store::{
    BatchCommit, Delivered, Intent, LookbackChunk, Pause, PausedBy, RowEntry, RowQuery, RowStatus,
    StatusKind, SyncState,
};
use tidegate_model::{
    Cause, Checkpoint, Clock, Counts, Ending, ObjectKind, Outcome, Reason, RowHash, Run, RunId, Secret,
    Store, SyncId, Value,
};

use super::Backend;
use crate::rows::{in_doubt, intent, key, rejected, result, row};

fn orders() -> SyncId {
    SyncId::new("orders")
}

async fn start(store: &dyn Store, sync: &SyncId, at: Timestamp) -> Run {
    store.start_run(sync, ObjectKind::Event, Cause::Manual, at).await.expect("run started")
}

async fn finish(store: &dyn Store, run: &RunId, complete: bool, at: Timestamp) -> Run {
    store.finish_run(run, Ending::Succeeded, None, complete, at).await.expect("run finished")
}

async fn commit_batch(store: &dyn Store, run: &RunId, commit: BatchCommit) {
    store.commit_batch(run, commit).await.expect("committed");
}

fn results(rows: impl IntoIterator<Item = (i64, RowStatus)>) -> BatchCommit {
    BatchCommit {
        results: rows.into_iter().map(|(id, what)| result(id, what)).collect(),
        ..BatchCommit::default()
    }
}

async fn rows(store: &dyn Store, query: RowQuery) -> Vec<RowEntry> {
    store.rows(&query).await.expect("rows")
}

fn all_of(sync: &SyncId) -> RowQuery {
    RowQuery { sync: Some(sync.clone()), limit: 100, ..RowQuery::default() }
}

fn keys(entries: &[RowEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.as_str()).collect()
}

/// While a claim is held nobody else gets one; dropping it lets go.
pub async fn a_claim_is_exclusive_until_it_is_dropped(backend: &dyn Backend) {
    let store = backend.open().await;
    let other = backend.open().await;

    let claim = store.claim(&orders()).await.expect("asked").expect("free");

    assert!(store.claim(&orders()).await.expect("asked").is_none());
    assert!(other.claim(&orders()).await.expect("asked").is_none());
    assert!(other.claim(&SyncId::new("users")).await.expect("asked").is_some());

    drop(claim);

    // A server learns of it a moment later.
    for _ in 0..1_000 {
        if other.claim(&orders()).await.expect("asked").is_some() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the claim was dropped and is still held");
}

/// Nothing is known, and asking makes nothing.
pub async fn a_sync_that_never_ran_has_the_default_state(backend: &dyn Backend) {
    let store = backend.open().await;

    assert_eq!(store.sync_state(&orders()).await.expect("state"), SyncState::default());
    assert!(store.runs(Some(&orders()), 10).await.expect("runs").is_empty());
    assert!(rows(&*store, all_of(&orders())).await.is_empty());
    assert!(store.lookback(&orders()).await.expect("lookback").is_empty());
    assert!(store.open_intents(&orders()).await.expect("intents").is_empty());
    store.reset(&orders()).await.expect("nothing to forget");
}

/// Also over a restart, and for a sync that never ran.
pub async fn a_pause_is_kept_until_it_is_lifted(backend: &dyn Backend) {
    let at = backend.clock().now();
    let pause = Pause { by: PausedBy::Person("ann".into()), why: "the key was refused".into(), at };
    backend.open().await.set_paused(&orders(), Some(pause.clone())).await.expect("paused");

    let store = backend.open().await;
    assert_eq!(store.sync_state(&orders()).await.expect("state").paused, Some(pause));
    start(&*store, &orders(), at).await;
    assert!(store.sync_state(&orders()).await.expect("state").paused.is_some());

    store.set_paused(&orders(), None).await.expect("lifted");
    assert_eq!(store.sync_state(&orders()).await.expect("state").paused, None);
}

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
        store.start_run(&orders(), object, Cause::Schedule, at).await.expect("run started");
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
        requests: 7,
        retries: 8,
    };
    commit_batch(&*store, &run.id, BatchCommit { batch: 1, counts, ..BatchCommit::default() }).await;
    commit_batch(&*store, &run.id, BatchCommit { batch: 2, counts, ..BatchCommit::default() }).await;
    backend.clock().advance(SignedDuration::from_secs(5));
    let at = backend.clock().now();

    let error = Some("the disk is full".to_owned());
    let finished =
        store.finish_run(&run.id, Ending::Failed, error.clone(), false, at).await.expect("finished");

    let mut twice = counts;
    twice += counts;
    let expected = Run { counts: twice, finished_at: Some(at), ending: Some(Ending::Failed), error, ..run };
    assert_eq!(finished, expected);
    assert_eq!(backend.open().await.runs(Some(&orders()), 1).await.expect("runs"), [expected]);
}

/// With the commit that has one; without one the checkpoint stays.
pub async fn a_checkpoint_moves_with_its_commit(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let first = Checkpoint(json!({ "after": "2026-03-01T00:00:00.123456789Z", "offsets": [1, 2] }));
    let moved = BatchCommit { checkpoint: Some(first.clone()), ..BatchCommit::default() };

    commit_batch(&*store, &run.id, moved).await;
    commit_batch(&*store, &run.id, BatchCommit { batch: 1, ..BatchCommit::default() }).await;

    let state = backend.open().await.sync_state(&orders()).await.expect("state");
    assert_eq!(state.checkpoint, Some(first));
}

/// `complete` is set by an ending that says so. A later run takes it away with
/// its first checkpoint and not before: until then the checkpoint is still that of the
/// completed read, and going on from there would skip every row.
pub async fn a_read_begins_anew_only_after_it_came_to_its_end(backend: &dyn Backend) {
    let store = backend.open().await;
    let complete = async || store.sync_state(&orders()).await.expect("state").complete;
    let checkpoint = Some(Checkpoint(json!(1)));

    let run = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &run.id, BatchCommit { checkpoint: checkpoint.clone(), ..BatchCommit::default() })
        .await;
    finish(&*store, &run.id, false, backend.clock().now()).await;
    assert!(!complete().await);
    let run = start(&*store, &orders(), backend.clock().now()).await;
    finish(&*store, &run.id, true, backend.clock().now()).await;
    assert!(complete().await);

    let run = start(&*store, &orders(), backend.clock().now()).await;
    finish(&*store, &run.id, false, backend.clock().now()).await;
    assert!(complete().await);
    let run = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &run.id, BatchCommit { checkpoint, ..BatchCommit::default() }).await;
    assert!(!complete().await);
}

/// Not in counts, checkpoint, failed rows, rows, lookback or intents.
pub async fn a_commit_that_fails_leaves_no_trace(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let chunk = LookbackChunk { seq: 7, high: None, rows: vec![RowHash(1)] };
    let first = BatchCommit {
        batch: 1,
        checkpoint: Some(Checkpoint(json!("first"))),
        remember: Some(chunk.clone()),
        ..results([(1, rejected())])
    };
    commit_batch(&*store, &run.id, first).await;
    store.intend(&run.id, 2, vec![intent(2)]).await.expect("intended");

    // The number of a lookback chunk is taken: the last of many writes fails.
    let second = BatchCommit {
        batch: 2,
        checkpoint: Some(Checkpoint(json!("second"))),
        counts: Counts { read: 1, ..Counts::default() },
        remember: Some(chunk.clone()),
        solved: vec![key(1)],
        ..results([(2, rejected())])
    };
    store.commit_batch(&run.id, second).await.expect_err("the chunk is there already");

    let store = backend.open().await;
    let state = store.sync_state(&orders()).await.expect("state");
    assert_eq!(state.checkpoint, Some(Checkpoint(json!("first"))));
    assert_eq!(store.runs(None, 1).await.expect("runs")[0].counts, Counts::default());
    assert_eq!(store.lookback(&orders()).await.expect("lookback"), [chunk]);
    assert_eq!(keys(&rows(&*store, all_of(&orders())).await), ["1"]);
    let failed_rows = store.failed_rows(&orders()).await.expect("failed rows");
    assert_eq!(failed_rows.iter().map(|failed_row| failed_row.key).collect::<Vec<_>>(), [key(1)]);
    assert_eq!(store.open_intents(&orders()).await.expect("intents").len(), 1);
}

/// And an error of its own: what others write at the same time is written.
pub async fn what_concerns_an_unknown_run_is_an_error(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let nobody = RunId::new("nobody");

    let (wrong, right) =
        tokio::join!(store.intend(&nobody, 1, vec![intent(1)]), store.intend(&run.id, 1, vec![intent(2)]));

    wrong.expect_err("no such run");
    right.expect("written");
    store.answered(&run.id, 999_999, vec![Outcome::Delivered]).await.expect_err("no such intent");
    store.commit_batch(&nobody, results([(1, RowStatus::Delivered)])).await.expect_err("no such run");
    let at = backend.clock().now();
    store.finish_run(&nobody, Ending::Failed, None, false, at).await.expect_err("no such run");
    assert_eq!(store.open_intents(&orders()).await.expect("intents").len(), 1);
    assert!(rows(&*store, RowQuery { limit: 10, ..RowQuery::default() }).await.is_empty());
}

/// The next run learns which rows left, and what came back.
pub async fn an_intent_survives_a_restart_with_and_without_its_answer(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let answered = store.intend(&run.id, 1, vec![intent(1), intent(2)]).await.expect("intended");
    let silent = store.intend(&run.id, 1, vec![intent(3)]).await.expect("intended");
    assert_ne!(answered, silent);
    let answer = vec![Outcome::Delivered, refused()];
    store.answered(&run.id, answered, answer.clone()).await.expect("answered");
    drop(store);

    let store = backend.open().await;
    start(&*store, &orders(), backend.clock().now()).await;
    let open = store.open_intents(&orders()).await.expect("intents");

    let open: Vec<(_, _)> = open.into_iter().map(|Intent { rows, outcomes }| (rows, outcomes)).collect();
    assert_eq!(open, [(vec![intent(1), intent(2)], Some(answer)), (vec![intent(3)], None)]);
    assert!(store.open_intents(&SyncId::new("users")).await.expect("intents").is_empty());
}

fn refused() -> Outcome {
    Outcome::Rejected(Reason::new("bad", "it is not right"))
}

/// Nor do the batches before it; later batches keep theirs.
pub async fn a_committed_batch_leaves_no_intents(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    for batch in 1..=3 {
        store.intend(&run.id, batch, vec![intent(batch.cast_signed())]).await.expect("intended");
    }

    commit_batch(&*store, &run.id, BatchCommit { batch: 2, ..BatchCommit::default() }).await;

    let open = store.open_intents(&orders()).await.expect("intents");
    assert_eq!(open.iter().map(|intent| intent.rows.clone()).collect::<Vec<_>>(), [vec![intent(3)]]);
}

/// One for each time that it was recalled, and only from earlier runs; answers
/// stay with their rows.
pub async fn a_recalled_row_leaves_its_oldest_intent(backend: &dyn Backend) {
    let store = backend.open().await;
    let at = backend.clock().now();
    let dead = start(&*store, &orders(), at).await;
    let deferred = store.intend(&dead.id, 1, vec![intent(1), intent(2)]).await.expect("intended");
    let later = vec![Outcome::Deferred(Reason::new("busy", "later"))];
    store.answered(&dead.id, deferred, later.clone()).await.expect("answered");
    let answered = store.intend(&dead.id, 1, vec![intent(1), intent(2)]).await.expect("intended");
    store.answered(&dead.id, answered, vec![Outcome::Delivered, refused()]).await.expect("answered");
    store.intend(&dead.id, 2, vec![intent(2), intent(3)]).await.expect("intended");
    let other = start(&*store, &SyncId::new("users"), at).await;
    store.intend(&other.id, 1, vec![intent(1)]).await.expect("intended");
    let run = start(&*store, &orders(), at).await;
    store.intend(&run.id, 2, vec![intent(1)]).await.expect("intended");

    let recalled = vec![intent(1).row, intent(3).row, intent(1).row];
    commit_batch(&*store, &run.id, BatchCommit { batch: 1, recalled, ..BatchCommit::default() }).await;

    let open = store.open_intents(&orders()).await.expect("intents");
    let open: Vec<(_, _)> = open.into_iter().map(|Intent { rows, outcomes }| (rows, outcomes)).collect();
    assert_eq!(
        open,
        [
            (vec![intent(1), intent(2)], Some(later)),
            (vec![intent(2)], Some(vec![refused()])),
            (vec![intent(2)], None),
            (vec![intent(1)], None)
        ]
    );
    assert_eq!(store.open_intents(&SyncId::new("users")).await.expect("intents").len(), 1);

    commit_batch(
        &*store,
        &run.id,
        BatchCommit { batch: 1, recalled: vec![intent(2).row], ..BatchCommit::default() },
    )
    .await;

    let open = store.open_intents(&orders()).await.expect("intents");
    let open: Vec<_> = open.into_iter().flat_map(|intent| intent.rows).collect();
    assert_eq!(open, [intent(1), intent(2), intent(2), intent(1)]);
}

/// Neither its own nor those of earlier runs; a read that did not complete keeps them.
pub async fn a_completed_read_leaves_no_intents(backend: &dyn Backend) {
    let store = backend.open().await;
    let at = backend.clock().now();
    let run = start(&*store, &orders(), at).await;
    store.intend(&run.id, 1, vec![intent(1)]).await.expect("intended");
    finish(&*store, &run.id, false, at).await;
    let other = start(&*store, &SyncId::new("users"), at).await;
    store.intend(&other.id, 1, vec![intent(9)]).await.expect("intended");
    let run = start(&*store, &orders(), at).await;
    assert_eq!(store.open_intents(&orders()).await.expect("intents").len(), 1);

    finish(&*store, &run.id, true, at).await;

    assert!(store.open_intents(&orders()).await.expect("intents").is_empty());
    assert_eq!(store.open_intents(&SyncId::new("users")).await.expect("intents").len(), 1);
}

/// Sixteen requests in flight, each with its intent and its answer.
pub async fn intents_of_many_requests_at_once_are_all_kept(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let tasks = (0..16_i64).map(|task| {
        let (store, run) = (Arc::clone(&store), run.id.clone());
        tokio::spawn(async move {
            for turn in 0..10 {
                let rows = vec![intent(task * 10 + turn)];
                let id = store.intend(&run, 1, rows).await.expect("intended");
                if turn % 2 == 0 {
                    store.answered(&run, id, vec![Outcome::Delivered]).await.expect("answered");
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("task");
    }

    let open = backend.open().await.open_intents(&orders()).await.expect("intents");

    let rows: BTreeSet<String> = open.iter().map(|intent| intent.rows[0].key_text.to_string()).collect();
    assert_eq!((open.len(), rows.len()), (160, 160));
    assert_eq!(open.iter().filter(|intent| intent.outcomes.is_some()).count(), 80);
}

/// With rows that stand there twice, and a cursor of any type.
pub async fn lookback_is_kept_in_order_until_it_is_forgotten(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let chunk = |seq, high, rows: &[u128]| LookbackChunk {
        seq,
        high,
        rows: rows.iter().map(|row| RowHash(*row)).collect(),
    };
    let chunks = [
        chunk(1, None, &[]),
        chunk(2, Some(Value::Float(0.1)), &[5, u128::MAX, 5]),
        chunk(10, Some(Value::Timestamp(Timestamp::constant(1, 999_999_999))), &[1]),
        chunk(11, Some(Value::Text("é".into())), &[2]),
    ];
    for at in [2, 0, 3, 1] {
        let remember = Some(chunks[at].clone());
        commit_batch(&*store, &run.id, BatchCommit { remember, ..BatchCommit::default() }).await;
    }
    assert_eq!(store.lookback(&orders()).await.expect("lookback"), chunks);

    commit_batch(&*store, &run.id, BatchCommit { forget_through: Some(2), ..BatchCommit::default() }).await;
    assert_eq!(backend.open().await.lookback(&orders()).await.expect("lookback"), chunks[2..]);
    assert!(store.lookback(&SyncId::new("users")).await.expect("lookback").is_empty());

    store.clear_lookback(&orders()).await.expect("cleared");
    assert!(store.lookback(&orders()).await.expect("lookback").is_empty());
}

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
        payload: (id != 4).then(|| row(id)),
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

    let retry = start(&*store, &orders(), backend.clock().now()).await;
    let solved = vec![key(3), key(999)];
    let keys: Vec<_> =
        store.failed_rows(&orders()).await.expect("failed rows").iter().map(|open| open.key).collect();
    assert_eq!(store.failed_row_keys(&orders()).await.expect("keys"), keys);

    commit_batch(&*store, &retry.id, BatchCommit { solved, ..results([(3, RowStatus::Delivered)]) }).await;
    let open = store.failed_rows(&orders()).await.expect("failed rows");
    assert_eq!(open.iter().map(|failed_row| failed_row.key).collect::<Vec<_>>(), [key(2), key(4)]);
    assert!(store.failed_rows(&SyncId::new("users")).await.expect("failed rows").is_empty());
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
    assert_eq!(entry.payload, Some(row(1)));
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
    assert_eq!((failed_rows[1].row, failed_rows[1].entry.payload.as_ref()), (newer.row, Some(&row(2))));
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

/// Each by itself and together, in tables and in files.
pub async fn rows_are_found_by_run_user_and_status(backend: &dyn Backend) {
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
    assert_eq!(payloads().await, [None, Some(row(1))]);

    let retry = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &retry.id, BatchCommit { solved: vec![key(1)], ..BatchCommit::default() }).await;

    assert_eq!(payloads().await, [None, None]);
}

/// Not even a NUL, which some databases cannot keep in text.
pub async fn no_text_stops_a_commit(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let mut strange = result(1, RowStatus::Rejected(Reason::new("a\0b", "c\0'\"\u{fffd}日本")));
    strange.user = "nul \0 quote ' emoji 🎈".into();
    strange.key_text = "\0".into();
    let mut payload = row(1);
    payload.values[1] = Value::Text("nul \0 in a value".into());
    strange.payload = Some(payload.clone());

    commit_batch(&*store, &run.id, BatchCommit { results: vec![strange.clone()], ..BatchCommit::default() })
        .await;
    finish(&*store, &run.id, true, backend.clock().now()).await;

    let failed_rows = store.failed_rows(&orders()).await.expect("failed rows");
    assert_eq!(failed_rows[0].entry.payload, Some(payload));
    let found = rows(&*store, all_of(&orders())).await;
    assert_eq!((found[0].user.as_str(), found[0].key.as_str()), (&*strange.user, "\0"));
}

/// Checkpoint, lookback and intents go; runs, rows, failed rows and the pause stay.
pub async fn a_reset_forgets_the_place_and_keeps_the_story(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let commit = BatchCommit {
        checkpoint: Some(Checkpoint(json!(1))),
        remember: Some(LookbackChunk { seq: 1, high: None, rows: vec![RowHash(1)] }),
        ..results([(1, rejected())])
    };
    commit_batch(&*store, &run.id, commit).await;
    finish(&*store, &run.id, true, backend.clock().now()).await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    store.intend(&run.id, 1, vec![intent(1)]).await.expect("intended");
    let pause =
        Pause { by: PausedBy::Person("ann".into()), why: "holidays".into(), at: backend.clock().now() };
    store.set_paused(&orders(), Some(pause.clone())).await.expect("paused");

    store.reset(&orders()).await.expect("reset");

    let state = store.sync_state(&orders()).await.expect("state");
    let expected = SyncState { paused: Some(pause), object: Some(ObjectKind::Event), ..SyncState::default() };
    assert_eq!(state, expected);
    assert!(store.lookback(&orders()).await.expect("lookback").is_empty());
    assert!(store.open_intents(&orders()).await.expect("intents").is_empty());
    assert_eq!(store.runs(Some(&orders()), 10).await.expect("runs").len(), 2);
    assert_eq!(rows(&*store, all_of(&orders())).await.len(), 1);
    assert_eq!(store.failed_rows(&orders()).await.expect("failed rows").len(), 1);
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

/// Over a restart, under any name.
pub async fn secrets_are_kept_and_replaced(backend: &dyn Backend) {
    let store = backend.open().await;
    assert!(store.secret("braze").await.expect("asked").is_none());
    for (name, value) in [("shop/password é", "one"), ("braze", "old"), ("braze", "new ключ\0")] {
        store.put_secret(name, &Secret::new(value)).await.expect("kept");
    }
    drop(store);

    let store = backend.open().await;

    assert_eq!(store.secret("braze").await.expect("opened"), Some(Secret::new("new ключ\0")));
    assert_eq!(store.secret("shop/password é").await.expect("opened"), Some(Secret::new("one")));
    assert_eq!(store.secrets().await.expect("names"), ["braze", "shop/password é"]);
}
