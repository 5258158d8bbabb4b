//! Faults that happened once, or almost did.

use tidegate_model::store::PausedBy;

use super::*;

/// Runs until `after`, then the process dies with all its tasks.
pub(super) fn die(stage: &Stage, after: u64, input: Input) {
    let process = runtime();
    let run = stage.run_until(CancellationToken::new(), input);
    process
        .block_on(async { tokio::time::timeout(Duration::from_millis(after), run).await })
        .expect_err("it was to die before its end");
}

async fn kept_row(stage: &Stage) -> Row {
    let failed_row = stage.store.failed_rows(&SyncId::new("s")).await.expect("failed rows").remove(0);
    let Some(KeptRow::Whole(row)) = failed_row.entry.payload else { panic!("the row is kept") };
    row
}

fn change_answer(stage: &Stage, answer: Answer) {
    *stage.platform.answer.lock().expect("no panic") = answer;
}

fn rejecting(bad: i64) -> Answer {
    let reject = || Outcome::Rejected(Reason::new("bad", "not like this"));
    Box::new(move |ids| {
        Ok(ids.iter().map(|id| if *id == bad { reject() } else { Outcome::Delivered }).collect())
    })
}

#[test]
fn rows_that_look_the_same_are_sent_once_each_though_a_run_died() {
    let table = Table::default();
    for _ in 0..4 {
        table.put(1, "u", 1);
    }
    let stage =
        Stage::new(&table, Idempotency::None, Limits { max_items: 2, ..one_worker() }, all_delivered());
    die(&stage, 15, Input::Changes);
    let run = runtime().block_on(stage.run());
    assert_eq!((run.counts.read, run.counts.delivered, run.counts.in_doubt), (4, 2, 2), "{:?}", run.counts);
    assert_eq!(stage.sent()[&1], 4);
}

#[test]
fn a_row_in_doubt_is_listed_once_though_the_run_after_the_crash_was_stopped() {
    let table = Table::of(0..5_000);
    let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    die(&stage, 35, Input::Changes);
    let second = runtime().block_on(async {
        let stop = stop_after(Duration::from_millis(800));
        stage.run_until(stop, Input::Changes).await
    });
    assert_eq!(second.ending, Some(Ending::Interrupted));
    assert!(second.counts.in_doubt > 0);
    let third = runtime().block_on(stage.run());
    assert_eq!(third.counts.in_doubt, 0, "told by the run before");
    assert_eq!(third.counts.read, third.counts.skipped + third.counts.delivered);
    assert_eq!(stage.sent(), once(0..5_000));
}

/// A row is rejected, and the process dies before the batch is committed: another request is under way.
fn died_behind_a_rejected_row(table: &Table) -> Stage {
    let stage = Stage::new(table, Idempotency::None, Limits { max_items: 1, ..one_worker() }, rejecting(1));
    die(&stage, 15, Input::Changes);
    assert_eq!(stage.sent(), once([1, 2]), "the first one is answered");
    stage
}

fn two_rows() -> Table {
    let table = Table::default();
    table.put(1, "a", 5);
    table.put(2, "b", 6);
    table
}

fn first_becomes(table: &Table, user: &str) {
    table.0.lock().expect("no panic")[0].1 = user.to_owned();
}

#[test]
fn a_row_that_was_rejected_before_a_crash_and_is_delivered_as_it_is_now_is_no_failed_row() {
    let table = two_rows();
    let stage = died_behind_a_rejected_row(&table);
    first_becomes(&table, "corrected");
    change_answer(&stage, all_delivered());
    let run = runtime().block_on(stage.run());
    assert_eq!(
        (run.counts.delivered, run.counts.rejected, run.counts.in_doubt),
        (1, 1, 1),
        "{:?}",
        run.counts
    );
    assert_eq!(run.counts.read, 3, "the version that was rejected, too");
    assert_eq!(runtime().block_on(stage.failed_rows()), ["2"], "the one that was under way");
    let again = runtime().block_on(stage.run());
    assert_eq!((again.counts.delivered, again.counts.rejected), (0, 0));
    assert_eq!(stage.sent()[&1], 2);
}

#[test]
fn a_row_that_was_rejected_before_a_crash_and_again_as_it_is_now_fails_for_the_newer_reason() {
    let table = two_rows();
    let stage = died_behind_a_rejected_row(&table);
    first_becomes(&table, "worse");
    let reject = || Outcome::Rejected(Reason::new("worse", "still not like this"));
    change_answer(&stage, Box::new(move |ids| Ok(ids.iter().map(|_| reject()).collect())));
    assert_eq!(runtime().block_on(stage.run()).counts.rejected, 2);
    let failed = runtime().block_on(stage.store.failed_rows(&SyncId::new("s"))).expect("failed rows");
    let reasons = failed.iter().filter_map(|row| row.entry.reason.as_ref()).map(|reason| &*reason.code);
    assert!(reasons.clone().any(|code| code == "worse"), "{:?}", reasons.collect::<Vec<_>>());
    assert_eq!(failed.len(), 2);
}

#[test]
fn a_row_that_was_rejected_before_a_crash_and_is_as_it_was_is_not_sent_again() {
    let table = two_rows();
    let stage = died_behind_a_rejected_row(&table);
    change_answer(&stage, all_delivered());
    let run = runtime().block_on(stage.run());
    assert_eq!((run.counts.rejected, run.counts.in_doubt, run.counts.read), (1, 1, 2), "{:?}", run.counts);
    assert_eq!(runtime().block_on(stage.failed_rows()), ["1", "2"]);
    assert_eq!(stage.sent(), once([1, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_deferred_row_is_sent_by_the_run_after_a_stop() {
    let busy = || Outcome::Deferred(Reason::new("busy", "later"));
    let answer: Answer = Box::new(move |ids| Ok(ids.iter().map(|_| busy()).collect()));
    let stage = Stage::new(&Table::of(0..20), Idempotency::None, limits(), answer);
    let run = stage.run_until(stop_after(Duration::from_millis(300)), Input::Changes).await;
    assert_eq!(run.ending, Some(Ending::Interrupted));
    change_answer(&stage, all_delivered());
    let run = stage.run().await;
    assert_eq!((run.counts.delivered, run.counts.in_doubt), (20, 0));
}

#[test]
fn a_deferred_row_is_sent_by_the_run_after_a_crash() {
    let busy = || Outcome::Deferred(Reason::new("busy", "later"));
    let answer: Answer = Box::new(move |ids| Ok(ids.iter().map(|_| busy()).collect()));
    let stage = Stage::new(&Table::of(0..20), Idempotency::None, limits(), answer);
    die(&stage, 50, Input::Changes);
    change_answer(&stage, all_delivered());
    let run = runtime().block_on(stage.run());
    assert_eq!((run.counts.delivered, run.counts.in_doubt), (20, 0));
}

#[test]
fn a_retry_that_died_leaves_its_row_in_doubt_and_no_retry_sends_it_unasked() {
    let stage = Stage::new(&Table::of(0..10), Idempotency::None, one_worker(), rejecting(4));
    runtime().block_on(stage.run());
    change_answer(&stage, all_delivered());
    let row = runtime().block_on(kept_row(&stage));
    die(&stage, 5, Input::rows(Batch::of(vec![row.clone()])));
    let again = Input::rows(Batch::of(vec![row]));
    let again = runtime().block_on(stage.run_until(CancellationToken::new(), again));
    assert_eq!((again.counts.delivered, again.counts.in_doubt), (0, 1));
    assert_eq!(stage.sent()[&4], 2, "once rejected, once with its answer lost");
    assert_eq!(runtime().block_on(stage.run()).counts.in_doubt, 0, "told before");
    assert_eq!(runtime().block_on(stage.failed_rows()), ["4"]);
}

#[test]
fn what_a_dead_retry_had_delivered_is_no_failed_row_any_more() {
    let mut stage = Stage::new(&Table::of(0..10), Idempotency::None, one_worker(), rejecting(4));
    runtime().block_on(stage.run());
    // Two requests for two users of one worker: the first is answered, the second is under
    // way.
    stage.import.platform = stage.platform.clone();
    change_answer(&stage, all_delivered());
    let row = runtime().block_on(kept_row(&stage));
    let mut other = row.clone();
    other.values[0] = Value::Int(400);
    let rows: Vec<Row> = std::iter::once(row).chain(std::iter::repeat_n(other, 15)).collect();
    die(&stage, 15, Input::rows(Batch::of(rows)));
    let run = runtime().block_on(stage.run());
    assert_eq!(run.counts.delivered, 10, "the answered request of the dead retry: {:?}", run.counts);
    assert_eq!(run.counts.in_doubt, 6);
    assert_eq!(runtime().block_on(stage.failed_rows()), ["400"; 6], "each of the equal rows");
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_a_connector_ends_the_run_instead_of_hanging_it() {
    let answer: Answer = Box::new(|_| panic!("a fault of the connector"));
    let stage = Stage::new(&Table::of(0..20_000), Idempotency::None, limits(), answer);
    let run = tokio::time::timeout(Duration::from_secs(600), stage.run()).await.expect("it ends");
    assert_eq!(run.ending, Some(Ending::Failed));
}

#[tokio::test(start_paused = true)]
async fn people_are_told_that_a_platform_asked_to_wait_and_until_when() {
    let until = tidegate_model::Clock::now(&ManualClock::default()) + jiff::SignedDuration::from_mins(30);
    let mut answers = 0;
    let answer: Answer = Box::new(move |ids| {
        answers += 1;
        match answers {
            1 => Err(Error::new(ErrorKind::Throttled(Some(until)), "too fast")),
            _ => Ok(vec![Outcome::Delivered; ids.len()]),
        }
    });
    let stage = Stage::new(&Table::of(0..10), Idempotency::None, one_worker(), answer);
    let (progress, mut told) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    let run = run(&stage.import, &stage.parts, Cause::Manual, Input::Changes, stop, progress);
    let wait = || async { stage.store.sync_state(&SyncId::new("s")).await.expect("state").wait };
    let seen = async {
        let progress = told.wait_for(|progress| progress.wait.is_some()).await.expect("it runs").clone();
        let wait = progress.wait.expect("a wait");
        assert!(wait.to_string().contains("asks to wait until 2026-"), "{wait}");
        assert_eq!(wait.until, until);
        tokio::time::advance(Duration::from_secs(60)).await;
        wait
    };
    let (run, seen) = tokio::join!(run, async { (seen.await, wait().await) });
    assert_eq!(seen.1, Some(seen.0), "`status` says so, also of another process");
    assert_eq!(run.expect("it runs").counts.delivered, 10);
    assert_eq!(wait().await, None, "it is over");
}

#[tokio::test(start_paused = true)]
async fn a_reset_in_the_past_is_no_licence_to_hammer() {
    let past = tidegate_model::Clock::now(&ManualClock::default()) - jiff::SignedDuration::from_secs(30);
    let answer: Answer = Box::new(move |_| Err(Error::new(ErrorKind::Throttled(Some(past)), "too fast")));
    let stage = Stage::new(&Table::of(0..10), Idempotency::None, one_worker(), answer);
    stage.run_until(stop_after(Duration::from_secs(60)), Input::Changes).await;
    let requests = stage.platform.requests.lock().expect("no panic").len();
    assert!(requests <= 61, "{requests} requests in a minute of refusals");
}

/// Fails once, asking to be left alone for so long; then delivers.
fn away_for(seconds: i64) -> Answer {
    let until =
        tidegate_model::Clock::now(&ManualClock::default()) + jiff::SignedDuration::from_secs(seconds);
    let mut answers = 0;
    Box::new(move |ids| {
        answers += 1;
        let away = || Error::new(ErrorKind::Unavailable, "away").not_before(Some(until));
        if answers == 1 { Err(away()) } else { Ok(vec![Outcome::Delivered; ids.len()]) }
    })
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_says_when_it_is_back_is_asked_again_then() {
    let stage = Stage::new(&Table::of(0..10), Idempotency::Idempotent, one_worker(), away_for(20));
    let before = Instant::now();
    let run = stage.run().await;
    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Succeeded), 10));
    assert!(before.elapsed() >= Duration::from_secs(20), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_is_away_for_longer_than_the_sync_retries_ends_the_run_at_once() {
    let stage = Stage::new(&Table::of(0..10), Idempotency::Idempotent, one_worker(), away_for(3_000));
    let before = Instant::now();
    let run = stage.run().await;
    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Failed), 0));
    assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_expired_while_the_platform_was_busy_is_not_sent_again() {
    let until = tidegate_model::Clock::now(&ManualClock::default()) + jiff::SignedDuration::from_secs(900);
    let mut answers = 0;
    let answer: Answer = Box::new(move |ids| {
        answers += 1;
        match answers {
            1 => Ok(vec![lost(); ids.len()]),
            2 => Err(Error::new(ErrorKind::Throttled(Some(until)), "too fast")),
            _ => Ok(vec![Outcome::Delivered; ids.len()]),
        }
    });
    let idempotency = Idempotency::Keyed(Duration::from_secs(600));
    let stage = Stage::new(&Table::of(0..10), idempotency, one_worker(), answer);
    let run = stage.run().await;
    assert_eq!((run.counts.delivered, run.counts.in_doubt), (0, 10));
}

#[tokio::test(start_paused = true)]
async fn a_wider_lookback_sends_nothing_twice() {
    let table = Table::of(0..3_000);
    let mut stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    stage.run().await;
    let ChangeTracking::Cursor { lookback, .. } = &mut stage.import.tracking else { panic!("a cursor") };
    *lookback = LookbackRule::Units(2_000);
    table.put(9_000, "late", 2_995);
    assert_eq!(stage.run().await.counts.delivered, 1);
    assert_eq!(stage.run().await.counts.delivered, 0);
    table.put(9_001, "new", 4_000);
    stage.run().await;
    table.put(9_002, "late", 2_996);
    assert_eq!(stage.run().await.counts.delivered, 1, "the wider lookback is in force");
    assert_eq!(stage.sent(), once((0..3_000).chain([9_000, 9_001, 9_002])));
}

#[tokio::test(start_paused = true)]
async fn what_a_person_paused_during_the_run_stays_paused() {
    let stage = Stage::new(&Table::of(0..2_000), Idempotency::None, limits(), all_delivered());
    let sync = SyncId::new("s");
    let ann = || PausedBy::Person("ann".to_owned());
    let pause = |by: PausedBy| {
        let at = tidegate_model::Clock::now(&ManualClock::default());
        Some(tidegate_model::store::Pause::new(by, "a reason", at))
    };
    stage.store.set_paused(&sync, pause(PausedBy::System)).await.expect("paused");
    let (run, ()) = tokio::join!(stage.run(), async {
        crate::pipeline::wait::span(Duration::from_millis(50)).await;
        stage.store.set_paused(&sync, pause(ann())).await.expect("paused");
    });
    assert_eq!(run.ending, Some(Ending::Succeeded));
    let paused = stage.store.sync_state(&sync).await.expect("state").paused;
    assert_eq!(paused.map(|pause| pause.by), Some(ann()));
    change_answer(&stage, Box::new(|_| Err(Error::new(ErrorKind::Denied, "revoked"))));
    stage.store.reset(&Unshared::lease(&sync)).await.expect("reset");
    stage.run().await;
    let paused = stage.store.sync_state(&sync).await.expect("state").paused;
    assert_eq!(paused.map(|pause| pause.by), Some(ann()));
}

#[tokio::test(start_paused = true)]
async fn the_interval_of_a_user_counts_from_the_sending() {
    let table = Table::default();
    (0..4).for_each(|id| table.put(id, "busy", id));
    let mut fails = 1;
    let until = tidegate_model::Clock::now(&ManualClock::default()) + jiff::SignedDuration::from_secs(5);
    let answer: Answer = Box::new(move |ids| {
        fails -= 1;
        match fails {
            0 => Err(Error::new(ErrorKind::Throttled(Some(until)), "too fast")),
            _ => Ok(vec![Outcome::Delivered; ids.len()]),
        }
    });
    let interval = Duration::from_secs(1);
    let limits = Limits { max_items: 1, single_user: true, min_user_interval: interval, ..one_worker() };
    let stage = Stage::new(&table, Idempotency::Idempotent, limits, answer);
    assert_eq!(stage.run().await.counts.delivered, 4);
    let requests = stage.platform.requests.lock().expect("no panic");
    for pair in requests.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= interval, "{:?}", pair[1].0 - pair[0].0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_does_not_wait_for_users() {
    let table = Table::default();
    (0..100).for_each(|id| table.put(id, "busy", id));
    let limits =
        Limits { max_items: 1, single_user: true, min_user_interval: Duration::from_secs(1), ..one_worker() };
    let mut stage = Stage::new(&table, Idempotency::Idempotent, limits, all_delivered());
    stage.parts.rate_limiters = Arc::new(RateLimiters::unlimited());
    let before = Instant::now();
    assert_eq!(stage.run().await.counts.delivered, 100);
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_last_row_failed_stays_open_whatever_came_before_it() {
    let table = Table::default();
    table.put(7, "u", 1);
    table.put(7, "", 2);
    let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    let run = stage.run().await;
    assert_eq!((run.counts.delivered, run.counts.rejected), (1, 1));
    assert_eq!(stage.failed_rows().await, ["7"]);
}

/// Lines that all look the same, from a source that makes its own checkpoints.
fn equal_lines(count: u64) -> GivenSource {
    GivenSource::new(dataset(), move |mode| {
        let ReadMode::Resume { checkpoint, .. } = mode else { panic!("it makes its own checkpoints") };
        let first = checkpoint.as_ref().and_then(|checkpoint| checkpoint.0.as_u64()).unwrap_or(0);
        let values = vec![Value::Int(1), Value::Text("u".into()), Value::Int(1)];
        let row = Row { columns: columns(), values };
        let batches = (first..count).map(|line| {
            let checkpoint = tidegate_model::Checkpoint(serde_json::json!(line + 1));
            Batch { checkpoint: Some(checkpoint), ..Batch::of(vec![row.clone()]) }
        });
        Ok(batches.collect())
    })
}

#[tokio::test(start_paused = true)]
async fn lines_that_look_the_same_are_all_sent_however_often_the_read_is_stopped() {
    let limits = Limits { max_items: 3, ..one_worker() };
    // Something of a request is left over: its batches are incomplete after the checkpoint.
    let mut calls = 0_u32;
    let answer: Answer = Box::new(move |ids| {
        calls += 1;
        let mut outcomes = vec![Outcome::Delivered; ids.len()];
        if calls.is_multiple_of(3) {
            outcomes[0] = Outcome::Deferred(Reason::new("busy", "later"));
        }
        Ok(outcomes)
    });
    let delivered = Arc::new(Mutex::new(0_usize));
    let count = delivered.clone();
    let mut answer = answer;
    let counting: Answer = Box::new(move |ids| {
        let outcomes = answer(ids)?;
        *count.lock().expect("no panic") +=
            outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count();
        Ok(outcomes)
    });
    let mut stage = Stage::new(&Table::default(), Idempotency::None, limits, counting);
    stage.import.source = Arc::new(equal_lines(200));
    stage.import.tracking = ChangeTracking::Checkpoint;
    for _ in 0..8 {
        // The third answer has come, the row that it deferred waits for its turn.
        stage.run_until(stop_after(Duration::from_millis(35)), Input::Changes).await;
    }
    stage.run().await;
    assert_eq!(*delivered.lock().expect("no panic"), 200);
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_request_that_a_fault_left_without_an_answer_are_in_doubt_and_not_sent_again() {
    let mut requests = 0;
    let answer: Answer = Box::new(move |ids| {
        requests += 1;
        assert!(requests != 2, "a fault of the connector, after the request left");
        Ok(vec![Outcome::Delivered; ids.len()])
    });
    let stage = Stage::new(&Table::of(0..40), Idempotency::None, one_worker(), answer);
    let first = stage.run().await;
    assert_eq!((first.ending, first.counts.delivered), (Some(Ending::Failed), 10));
    stage.platform.answer.clear_poison();
    change_answer(&stage, all_delivered());
    let second = stage.run().await;
    assert_eq!((second.counts.delivered, second.counts.in_doubt), (20, 10), "{:?}", second.counts);
    assert_eq!(stage.sent(), once(0..40));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_end_cannot_be_written_is_closed_as_failed_with_its_error() {
    let mut stage = Stage::new(&Table::of(0..20), Idempotency::Idempotent, limits(), all_delivered());
    stage.import.tracking = ChangeTracking::Full;
    stage.store.lose_the_next_end();
    let run = stage.run().await;
    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Failed), 20));
    let error = run.error.expect("an error");
    assert!(error.starts_with("the ledger could not be written: the store cannot be reached"), "{error}");
    assert_eq!(stage.run().await.ending, Some(Ending::Succeeded));
}
