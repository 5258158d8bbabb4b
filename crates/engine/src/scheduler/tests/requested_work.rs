//! Work that another process is asked for, on the driven clock.

use tidegate_model::Claim;
use tidegate_model::store::{BatchCommit, RowResult, RunEnd, SyncControl as _};
use tidegate_testkit::rows::{rejected, result};

use super::*;
use crate::service::{RetryFilter, RetryResult};

const SECOND: Duration = Duration::from_secs(1);

fn s0() -> SyncId {
    SyncId::new("s0")
}

/// What the audit log has, oldest first.
async fn noted(stage: &Stage) -> Vec<(String, String, String)> {
    let entries = stage.engine.audit_log(None, 100).await.expect("read");
    let deeds = entries.into_iter().rev().map(|entry| entry.deed);
    deeds.map(|deed| (deed.actor, deed.action, deed.subject)).collect()
}

/// A sync that no scheduler runs, with a failed row, held by this process.
async fn held() -> (Stage, Claim) {
    let stage = Stage::of(&yaml(1).replace("    schedule: { every: 15m }\n", ""), &[], 8);
    let claim = stage.store.claim(&s0()).await.expect("asked").taken().expect("free");
    let at = stage.engine.config.clock.now();
    let run = stage.store.start_run(&claim, ObjectKind::Event, Cause::Manual, at).await.expect("started");
    let row = Row { columns: Columns::new(["id"]), values: vec![Value::Int(1)] };
    let failed = RowResult { payload: Some(row.into()), ..result(1, rejected()) };
    let batch = BatchCommit { results: vec![failed], ..BatchCommit::default() };
    stage.store.commit_batch(&run.id, batch).await.expect("committed");
    let end = RunEnd { complete: true, ..RunEnd::new(Ending::Partial, at) };
    stage.store.finish_run(&run.id, end).await.expect("finished");
    wait::span(SECOND).await;
    (stage, claim)
}

fn asks_for_retry(stage: &Stage, stop: &CancellationToken) -> JoinHandle<Result<RetryResult, Error>> {
    let (engine, stop) = (stage.engine.clone(), stop.clone());
    tokio::spawn(async move {
        engine.retry(&s0(), &RetryFilter::default(), stop, watch::Sender::new(Progress::default())).await
    })
}

#[tokio::test(start_paused = true)]
async fn a_reset_whose_asker_was_ended_is_not_done_when_the_run_ends() {
    LATENCY.set(MINUTE);
    let stage = Stage::start(1, 8);
    wait::span(2 * SECOND).await;
    let engine = stage.engine.clone();
    let asker = tokio::spawn(async move { engine.reset(&s0()).await });
    wait::span(8 * SECOND).await;
    asker.abort();

    wait::span(2 * MINUTE).await;
    assert_eq!(stage.runs("s0").await[0].ending, Some(Ending::Succeeded));
    let state = stage.store.sync_state(&s0()).await.expect("state");
    assert!(state.complete && state.systems.is_some(), "it was reset: {state:?}");
    assert_eq!(noted(&stage).await, []);
    LATENCY.set(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_reset_that_is_stopped_is_withdrawn() {
    LATENCY.set(MINUTE);
    let stage = Stage::start(1, 8);
    wait::span(2 * SECOND).await;
    let stop = CancellationToken::new();
    let (engine, stopped) = (stage.engine.clone(), stop.clone());
    let asker = tokio::spawn(async move { engine.reset_unless(&s0(), &stopped).await });
    wait::span(8 * SECOND).await;
    stop.cancel();

    let error = asker.await.expect("no panic").expect_err("the run continues");
    assert_eq!(error.kind(), ErrorKind::Held);
    wait::span(2 * MINUTE).await;
    let state = stage.store.sync_state(&s0()).await.expect("state");
    assert!(state.complete && state.systems.is_some(), "it was reset: {state:?}");
    LATENCY.set(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_takes_longer_than_the_patience_is_waited_for() {
    LATENCY.set(MINUTE);
    let (stage, claim) = held().await;
    let asker = asks_for_retry(&stage, &CancellationToken::new());
    wait::span(SECOND).await;

    stage.engine.do_requested_work(&claim, &stage.stop).await;

    let run = asker.await.expect("no panic").expect("done by the process that holds it").run;
    assert_eq!(run.map(|run| run.counts.delivered), Some(1));
    wait::span(2 * MINUTE).await;
    stage.engine.note_abandoned_work().await;
    assert_eq!(noted(&stage).await, [], "the asker notes it");
    LATENCY.set(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_reset_that_was_given_up_during_the_retry_before_it_is_not_done() {
    LATENCY.set(MINUTE);
    let (stage, claim) = held().await;
    let first = asks_for_retry(&stage, &CancellationToken::new());
    wait::span(SECOND).await;
    let engine = stage.engine.clone();
    let second = tokio::spawn(async move { engine.reset(&s0()).await });
    wait::span(SECOND).await;

    stage.engine.do_requested_work(&claim, &stage.stop).await;

    first.await.expect("no panic").expect("done");
    assert_eq!(second.await.expect("no panic").expect_err("given up").kind(), ErrorKind::Held);
    assert!(stage.store.sync_state(&s0()).await.expect("state").complete, "it was reset");
    LATENCY.set(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_asker_was_ended_after_it_began_is_noted_once() {
    LATENCY.set(5 * SECOND);
    let (stage, claim) = held().await;
    let asker = asks_for_retry(&stage, &CancellationToken::new());
    wait::span(SECOND).await;
    let ended = async {
        wait::span(2 * SECOND).await;
        asker.abort();
    };
    tokio::join!(stage.engine.do_requested_work(&claim, &stage.stop), ended);
    assert_eq!(stage.runs("s0").await.last().map(|run| run.counts.delivered), Some(1));

    wait::span(2 * MINUTE).await;
    for _ in 0..2 {
        stage.engine.note_abandoned_work().await;
    }
    let entry = ["unknown", "retry_rows", "s0"].map(str::to_owned);
    assert_eq!(noted(&stage).await, [entry.into()]);
    LATENCY.set(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_stopped_after_it_began_is_finished_and_noted_by_its_holder() {
    LATENCY.set(3 * MINUTE);
    let (stage, claim) = held().await;
    let stop = CancellationToken::new();
    let asker = asks_for_retry(&stage, &stop);
    wait::span(SECOND).await;
    let stopped = async {
        wait::span(2 * SECOND).await;
        stop.cancel();
        asker.await.expect("no panic").expect_err("it waits no longer")
    };
    let ((), error) = tokio::join!(stage.engine.do_requested_work(&claim, &stage.stop), stopped);
    assert!(error.message().contains("has begun with this"), "{error:?}");
    assert_eq!(stage.runs("s0").await.last().map(|run| run.counts.delivered), Some(1));

    assert_eq!(noted(&stage).await.len(), 1);
    LATENCY.set(Duration::ZERO);
}
