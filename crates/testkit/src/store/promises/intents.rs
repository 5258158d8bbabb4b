//! Intents, from the request to the commit.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_model::store::{BatchCommit, Intent, IntentRow, RowStatus, RowVersion};
use tidegate_model::{Clock, Outcome, Reason, SyncId};

use super::steps::{commit_batch, finish, orders, start};
use crate::rows::{intended, intent, result};
use crate::store::backend::Backend;

/// The next run learns which rows left, and what came back.
pub async fn an_intent_survives_a_restart_with_and_without_its_answer(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let answered = store.intend(&run.id, 1, intended([intent(1), intent(2)])).await.expect("intended");
    let silent = store.intend(&run.id, 1, intended([intent(3)])).await.expect("intended");
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
        store.intend(&run.id, batch, intended([intent(batch.cast_signed())])).await.expect("intended");
    }

    commit_batch(&*store, &run.id, BatchCommit { batch: 2, ..BatchCommit::default() }).await;

    let open = store.open_intents(&orders()).await.expect("intents");
    assert_eq!(open.iter().map(|intent| intent.rows.clone()).collect::<Vec<_>>(), [vec![intent(3)]]);
}

/// Also if it was written together with intents of a later batch, which keep theirs.
pub async fn an_intent_is_done_with_its_batch_whatever_was_written_beside_it(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let intend =
        async |batch: u64, id| store.intend(&run.id, batch, intended([intent(id)])).await.expect("intended");
    let (first, second, _) = tokio::join!(intend(1, 1), intend(2, 2), intend(2, 3));
    let answer =
        async |intent, outcome| store.answered(&run.id, intent, vec![outcome]).await.expect("answered");
    tokio::join!(answer(second, refused()), answer(first, Outcome::Delivered));
    // Notes are written in their order: what is behind the answers waits for them.
    intend(1, 4).await;

    commit_batch(&*store, &run.id, BatchCommit { batch: 1, ..BatchCommit::default() }).await;
    drop(store);

    let store = backend.open().await;
    let open = store.open_intents(&orders()).await.expect("intents");
    let mut rows: Vec<_> = open.into_iter().map(|Intent { rows, outcomes }| (rows, outcomes)).collect();
    rows.sort_by_key(|(rows, _)| rows[0].key_text.to_string());
    assert_eq!(rows, [(vec![intent(2)], Some(vec![refused()])), (vec![intent(3)], None)]);
}

/// Whatever transaction wrote it: until its own batch is committed it is there, and afterwards it is not.
pub async fn an_intent_that_is_written_down_while_a_batch_is_committed_survives_a_restart(
    backend: &dyn Backend,
) {
    const BATCHES: i64 = 20;
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    for batch in 1..=BATCHES {
        let number = batch.unsigned_abs();
        let commit = BatchCommit { batch: number, ..BatchCommit::default() };
        let intend = async |id| {
            let noted = store.intend(&run.id, number + 1, intended([intent(id)])).await.expect("intended");
            store.answered(&run.id, noted, vec![refused()]).await.expect("answered");
        };
        let ids = [0, 1, 2].map(|at| 10 * batch + at);
        tokio::join!(intend(ids[0]), commit_batch(&*store, &run.id, commit), intend(ids[1]), intend(ids[2]));
    }
    drop(store);

    let store = backend.open().await;
    let open = store.open_intents(&orders()).await.expect("intents");
    let mut rows: Vec<_> = open.into_iter().flat_map(|intent| intent.rows).collect();
    rows.sort_by_key(|row| row.key_text.to_string());
    assert_eq!(
        rows,
        [0, 1, 2].map(|at| intent(10 * BATCHES + at)),
        "those of the batch that is not committed"
    );
}

/// What a request left in doubt stays so, also if others of its batch have their result.
pub async fn a_batch_that_is_committed_in_part_keeps_the_intents_of_rows_without_a_result(
    backend: &dyn Backend,
) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let answered = store.intend(&run.id, 1, intended([intent(1), intent(2)])).await.expect("intended");
    store.answered(&run.id, answered, vec![Outcome::Delivered, refused()]).await.expect("answered");
    store.intend(&run.id, 1, intended([intent(3), intent(4)])).await.expect("intended");
    let without_effect = store.intend(&run.id, 1, intended([intent(5)])).await.expect("intended");
    store.answered(&run.id, without_effect, Vec::new()).await.expect("answered");
    store.intend(&run.id, 2, intended([intent(6)])).await.expect("intended");

    let results = [1, 3].map(|id| result(id, RowStatus::Delivered)).into();
    let commit = BatchCommit { batch: 1, partial: true, results, ..BatchCommit::default() };
    commit_batch(&*store, &run.id, commit).await;

    let open = store.open_intents(&orders()).await.expect("intents");
    let rows: Vec<_> = open.iter().map(|intent| (intent.rows.clone(), intent.outcomes.clone())).collect();
    assert_eq!(
        rows,
        [(vec![intent(2)], Some(vec![refused()])), (vec![intent(4)], None), (vec![intent(6)], None)]
    );
}

/// One for each time that it was recalled, and only from earlier runs; answers
/// stay with their rows.
pub async fn a_recalled_row_leaves_its_oldest_intent(backend: &dyn Backend) {
    let store = backend.open().await;
    let at = backend.clock().now();
    let dead = start(&*store, &orders(), at).await;
    let deferred = store.intend(&dead.id, 1, intended([intent(1), intent(2)])).await.expect("intended");
    let later = vec![Outcome::Deferred(Reason::new("busy", "later"))];
    store.answered(&dead.id, deferred, later.clone()).await.expect("answered");
    let answered = store.intend(&dead.id, 1, intended([intent(1), intent(2)])).await.expect("intended");
    store.answered(&dead.id, answered, vec![Outcome::Delivered, refused()]).await.expect("answered");
    store.intend(&dead.id, 2, intended([intent(2), intent(3)])).await.expect("intended");
    let other = start(&*store, &SyncId::new("users"), at).await;
    store.intend(&other.id, 1, intended([intent(1)])).await.expect("intended");
    let run = start(&*store, &orders(), at).await;
    store.intend(&run.id, 2, intended([intent(1)])).await.expect("intended");

    let recalled = [1, 3, 1].map(|id| RowVersion { key: intent(id).key, row: intent(id).row }).to_vec();
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
        BatchCommit {
            batch: 1,
            recalled: vec![RowVersion { key: intent(2).key, row: intent(2).row }],
            ..BatchCommit::default()
        },
    )
    .await;

    let open = store.open_intents(&orders()).await.expect("intents");
    let open: Vec<_> = open.into_iter().flat_map(|intent| intent.rows).collect();
    assert_eq!(open, [intent(1), intent(2), intent(2), intent(1)]);
}

/// A row that was sent again stands in an intent of each time, with how often and since when.
pub async fn a_row_that_was_sent_more_than_once_leaves_all_of_its_intents(backend: &dyn Backend) {
    let store = backend.open().await;
    let at = backend.clock().now();
    let again = |id: i64, sends: u32| IntentRow { sends, since: at, ..intent(id) };
    let dead = start(&*store, &orders(), at).await;
    for sends in 0..3 {
        store.intend(&dead.id, 1, intended([again(1, sends), again(2, sends)])).await.expect("intended");
    }
    let results = vec![result(2, RowStatus::Delivered)];
    let commit = BatchCommit { batch: 1, partial: true, results, ..BatchCommit::default() };
    commit_batch(&*store, &dead.id, commit).await;
    let run = start(&*store, &orders(), at).await;
    let open = store.open_intents(&orders()).await.expect("intents");
    let open: Vec<_> = open.into_iter().flat_map(|intent| intent.rows).collect();
    assert_eq!(open, [again(1, 0), again(1, 1), again(1, 2)]);

    let recalled = vec![RowVersion { key: intent(1).key, row: intent(1).row }];
    commit_batch(&*store, &run.id, BatchCommit { batch: 1, recalled, ..BatchCommit::default() }).await;

    assert!(store.open_intents(&orders()).await.expect("intents").is_empty());
}

/// Neither its own nor those of earlier runs; a read that did not complete keeps them.
pub async fn a_completed_read_leaves_no_intents(backend: &dyn Backend) {
    let store = backend.open().await;
    let at = backend.clock().now();
    let run = start(&*store, &orders(), at).await;
    store.intend(&run.id, 1, intended([intent(1)])).await.expect("intended");
    finish(&*store, &run.id, false, at).await;
    let other = start(&*store, &SyncId::new("users"), at).await;
    store.intend(&other.id, 1, intended([intent(9)])).await.expect("intended");
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
                let rows = [intent(task * 10 + turn)];
                let id = store.intend(&run, 1, intended(rows)).await.expect("intended");
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
