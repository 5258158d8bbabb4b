//! What a process that lost its lease can still do: nothing.

use serde_json::json;
use tidegate_model::store::{BatchCommit, PauseChange, PausedBy, RequestState, RowStatus, RunEnd};
use tidegate_model::{Cause, Checkpoint, Clock, Ending, Error, ErrorKind, ObjectKind, Outcome};

use super::steps::{all_of, orders, results, rows, start, take};
use crate::rows::{intended, intent};
use crate::store::backend::Backend;

fn end(ending: Ending, pause: PauseChange, backend: &dyn Backend) -> RunEnd {
    RunEnd { complete: true, pause, ..RunEnd::new(ending, backend.clock().now()) }
}

fn held<T>(result: Result<T, Error>, what: &str) {
    match result {
        Ok(_) => panic!("{what} was written"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Held, "{what}: {error:?}"),
    }
}

/// Not a batch, an intent, an answer, an ending, a pause or a reset; and it starts no run.
pub async fn what_an_earlier_holder_writes_has_no_effect(backend: &dyn Backend) {
    let (first, second) = (backend.open().await, backend.open().await);
    let old = take(&*first, &orders()).await;
    let at = backend.clock().now();
    let lost = first.start_run(&old, ObjectKind::Event, Cause::Manual, at).await.expect("started");
    let open = first.intend(&lost.id, 1, intended([intent(1)])).await.expect("intended");
    old.release().await;

    let new = take(&*second, &orders()).await;
    assert!(new.token() > old.token(), "{} after {}", new.token(), old.token());
    let run = second.start_run(&new, ObjectKind::Event, Cause::Manual, at).await.expect("started");
    let checkpoint = |value: i64| BatchCommit {
        checkpoint: Some(Checkpoint(json!(value))),
        ..results([(value, RowStatus::Delivered)])
    };
    second.commit_batch(&run.id, checkpoint(2)).await.expect("committed");

    held(first.commit_batch(&lost.id, checkpoint(1)).await, "a batch");
    held(first.intend(&lost.id, 1, intended([intent(2)])).await, "an intent");
    // Nothing waits for an answer: this may succeed, and writes nothing.
    let _ = first.answered(&lost.id, open, vec![Outcome::Delivered]).await;
    first.open_intents(&orders()).await.expect("whatever was noted is written by now");
    held(first.clear_lookback(&lost.id).await, "a cleared lookback");
    let pause = PauseChange::Set("its key was refused".to_owned());
    held(first.finish_run(&lost.id, end(Ending::Failed, pause, backend)).await, "an ending");
    held(first.start_run(&old, ObjectKind::Event, Cause::Manual, at).await, "a run");
    held(first.reset(&old).await, "a reset");

    let state = first.sync_state(&orders()).await.expect("state");
    assert_eq!((state.checkpoint, state.paused, state.complete), (Some(Checkpoint(json!(2))), None, false));
    let intents = second.open_intents(&orders()).await.expect("intents");
    assert_eq!(intents.iter().map(|intent| intent.outcomes.is_some()).collect::<Vec<_>>(), [false]);
    let runs = second.runs(Some(&orders()), 10).await.expect("runs");
    assert_eq!(runs.iter().map(|run| run.ending).collect::<Vec<_>>(), [None, Some(Ending::Interrupted)]);
    assert_eq!(rows(&*second, all_of(&orders())).await.len(), 1);
    second.finish_run(&run.id, end(Ending::Succeeded, PauseChange::Keep, backend)).await.expect("finished");
}

/// With its reason, newest first in the list of runs; the object of the sync stays open.
pub async fn an_attempt_that_could_not_begin_is_a_run_that_failed(backend: &dyn Backend) {
    let store = backend.open().await;
    let claim = take(&*store, &orders()).await;
    let failed = RunEnd {
        error: Some("no such table".to_owned()),
        ..end(Ending::Failed, PauseChange::Set("no such table".to_owned()), backend)
    };

    let run =
        store.fail_run(&claim, ObjectKind::Event, Cause::Schedule, failed.clone()).await.expect("recorded");

    assert_eq!(store.runs(Some(&orders()), 1).await.expect("runs"), std::slice::from_ref(&run));
    assert_eq!(
        (run.ending, run.error, run.cause),
        (Some(Ending::Failed), failed.error.clone(), Cause::Schedule)
    );
    let state = store.sync_state(&orders()).await.expect("state");
    assert_eq!((state.object, state.paused.map(|pause| pause.why)), (None, failed.error.clone()));
    claim.release().await;
    held(
        store.fail_run(&stale(&*store, claim).await, ObjectKind::Event, Cause::Schedule, failed).await,
        "an attempt",
    );
}

/// A lease that was followed by another one.
async fn stale(store: &dyn tidegate_model::Store, claim: tidegate_model::Claim) -> tidegate_model::Claim {
    take(store, claim.sync()).await.release().await;
    claim
}

/// By the holder only, once; what was answered is not open any more.
pub async fn requested_work_is_answered_by_the_holder(backend: &dyn Backend) {
    let (asking, holding) = (backend.open().await, backend.open().await);
    let claim = take(&*holding, &orders()).await;
    let first = asking.request_work(&orders(), "retry").await.expect("asked");
    let second = asking.request_work(&orders(), "reset").await.expect("asked");
    asking.request_work(&tidegate_model::SyncId::new("users"), "reset").await.expect("asked");

    let open = holding.requested_work(&claim).await.expect("requests");
    let open: Vec<_> = open.iter().map(|request| (request.id.as_str(), request.work.as_str())).collect();
    assert_eq!(open, [(first.as_str(), "retry"), (second.as_str(), "reset")]);
    assert_eq!(asking.take_answer(&first).await.expect("asked"), None);
    assert!(holding.begin_work(&claim, &first).await.expect("begun"));
    assert!(holding.answer_work(&claim, &first, "done").await.expect("answered"));
    assert!(asking.withdraw_work(&second).await.expect("withdrawn"));

    assert!(holding.requested_work(&claim).await.expect("requests").is_empty());
    assert!(!asking.withdraw_work(&first).await.expect("asked"), "it was answered");
    assert_eq!(asking.keep_request(&first).await.expect("asked"), RequestState::Answered);
    assert_eq!(asking.take_answer(&first).await.expect("asked").as_deref(), Some("done"));
    assert_eq!(asking.take_answer(&first).await.expect("asked"), None);
    assert_eq!(asking.keep_request(&first).await.expect("asked"), RequestState::Gone);
    assert!(!holding.answer_work(&claim, &first, "done").await.expect("asked"), "it is gone");
    let third = asking.request_work(&orders(), "reset").await.expect("asked");
    claim.release().await;
    let stale = stale(&*holding, claim).await;
    held(holding.begin_work(&stale, &third).await, "a beginning");
    held(holding.answer_work(&stale, &third, "done").await, "an answer");
}

/// Once, by each holder; and what was withdrawn is not begun.
pub async fn requested_work_that_was_begun_is_not_withdrawn(backend: &dyn Backend) {
    let (asking, holding) = (backend.open().await, backend.open().await);
    let claim = take(&*holding, &orders()).await;
    let begun = asking.request_work(&orders(), "retry").await.expect("asked");
    let withdrawn = asking.request_work(&orders(), "reset").await.expect("asked");
    assert_eq!(asking.keep_request(&begun).await.expect("asked"), RequestState::Open);

    assert!(holding.begin_work(&claim, &begun).await.expect("begun"));
    assert!(!asking.withdraw_work(&begun).await.expect("asked"));
    assert_eq!(asking.keep_request(&begun).await.expect("asked"), RequestState::Begun);
    assert!(!holding.begin_work(&claim, &begun).await.expect("asked"), "it was begun");
    assert!(asking.withdraw_work(&withdrawn).await.expect("withdrawn"));
    assert!(!holding.begin_work(&claim, &withdrawn).await.expect("asked"));
    assert_eq!(asking.keep_request(&withdrawn).await.expect("asked"), RequestState::Gone);
    assert!(holding.requested_work(&claim).await.expect("requests").is_empty());
    assert!(holding.forget_requests().await.expect("looked").is_empty(), "its asker is there");
    claim.release().await;

    let next = take(&*holding, &orders()).await;
    let open = holding.requested_work(&next).await.expect("requests");
    assert_eq!(open.iter().map(|request| &request.id).collect::<Vec<_>>(), [&begun], "it was not answered");
    assert!(holding.begin_work(&next, &begun).await.expect("begun again"));
    assert!(!asking.withdraw_work(&begun).await.expect("asked"));
}

/// Over a restart, whatever runs meanwhile; an ending may move it.
pub async fn the_next_run_is_kept(backend: &dyn Backend) {
    let store = backend.open().await;
    let next = tidegate_model::store::NextRun { schedule: "every 15m".to_owned(), at: backend.clock().now() };
    store.plan_run(&orders(), next.clone()).await.expect("planned");
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let ending = end(Ending::Succeeded, PauseChange::Lift, backend);
    store.finish_run(&run.id, ending.clone()).await.expect("finished");

    let state = backend.open().await.sync_state(&orders()).await.expect("state");
    assert_eq!(state.next_run, Some(next));

    let run = start(&*store, &orders(), backend.clock().now()).await;
    let at = backend.clock().now() + jiff::SignedDuration::from_mins(15);
    let later = tidegate_model::store::NextRun { schedule: "every 15m".to_owned(), at };
    let ending = RunEnd { next_run: Some(later.clone()), ..ending };
    store.finish_run(&run.id, ending).await.expect("finished");
    let state = backend.open().await.sync_state(&orders()).await.expect("state");
    assert_eq!(state.next_run, Some(later));
}

/// Tidegate sets and lifts only its own pauses, and the latest reason counts.
pub async fn an_ending_changes_no_pause_of_a_person(backend: &dyn Backend) {
    let store = backend.open().await;
    let at = backend.clock().now();
    let finish = async |pause: PauseChange| {
        let run = start(&*store, &orders(), at).await;
        store.finish_run(&run.id, end(Ending::Failed, pause, backend)).await.expect("finished");
        let paused = store.sync_state(&orders()).await.expect("state").paused;
        paused.map(|pause| (pause.by, pause.why))
    };
    let set = |why: &str| PauseChange::Set(why.to_owned());

    assert_eq!(finish(set("no table")).await, Some((PausedBy::System, "no table".to_owned())));
    assert_eq!(finish(PauseChange::Keep).await, Some((PausedBy::System, "no table".to_owned())));
    assert_eq!(finish(set("no key")).await, Some((PausedBy::System, "no key".to_owned())));
    let explained = PauseChange::Explain("no server".to_owned());
    assert_eq!(finish(explained.clone()).await, Some((PausedBy::System, "no server".to_owned())));
    assert_eq!(finish(PauseChange::Lift).await, None);
    assert_eq!(finish(explained).await, None, "it is not paused");

    let ann = PausedBy::Person("ann".to_owned());
    let pause = tidegate_model::store::Pause::new(ann.clone(), "holidays", at);
    store.set_paused(&orders(), Some(pause)).await.expect("paused");
    for change in [set("no table"), PauseChange::Lift] {
        assert_eq!(finish(change).await, Some((ann.clone(), "holidays".to_owned())));
    }
}
