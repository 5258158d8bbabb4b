//! The loop with in-memory parts and a paused clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tidegate_model::mapping::Target;
use tidegate_model::source::{Column, Dataset};
use tidegate_model::store::{
    ErasureStore as _, FailedRowStore as _, RowMemory as _, RunHistory as _, RunLedger as _, SyncControl as _,
};
use tidegate_model::{
    Batch, Body, Cause, Checks, Columns, ConnectionId, Counts, DataType, Destination, Ending, Error,
    ErrorKind, Feed, Idempotency, KeptRow, Limits, Mapping, ObjectKind, ObjectSpec, Outcome, Platform,
    Progress, ReadMode, Reason, Receipt, Record, Row, RowHash, Run, RunFailure, Selection, Source, SyncId,
    System, Systems, Unshared, Value,
};
use tidegate_project::Changed;
use tidegate_testkit::source::{GivenSource, column};
use tidegate_testkit::{ManualClock, MemoryStore, mapping};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{ChangeTracking, CursorOrigin, Import, Input, LookbackRule, Parts, RateLimiters, run};

mod ahead;
mod chance;
mod faults;
mod follow;
mod identity;
mod interrupted;
mod lease;
mod lookback;
mod mirror;
mod mirror_chance;
mod pace;
mod people;
mod restored;
mod shared_limits;
mod stage;
mod systems;
mod uncertain;
mod unreadable;

use self::stage::{
    Answer, Stage, Table, all_delivered, by_cursor, columns, dataset, limits, lost, once, one_worker,
    stop_after,
};

#[tokio::test(start_paused = true)]
async fn rows_are_packed_to_the_limit_and_keep_each_users_order() {
    let table = Table::of(0..1_000);
    let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    let run = stage.run().await;
    assert_eq!(run.ending, Some(Ending::Succeeded));
    assert_eq!((run.counts.read, run.counts.delivered), (1_000, 1_000));
    assert!(run.counts.requests <= 1_000 / 10 + 6, "{} requests", run.counts.requests);
    let mut last: HashMap<String, i64> = HashMap::new();
    for (_, request) in stage.platform.requests.lock().expect("no panic").iter() {
        assert!(request.len() <= 10);
        for (user, id) in request {
            assert!(last.insert(user.clone(), *id).is_none_or(|before| before < *id), "{user} out of order");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn few_rows_fill_few_requests() {
    let table = Table::of(0..9);
    let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    assert_eq!(stage.run().await.counts.requests, 1);
    // The lookback is mostly unchanged: what is new still shares a request.
    for id in 10..16 {
        table.put(id, &format!("u{}", id % 5), id);
    }
    assert_eq!(stage.run().await.counts.requests, 1);
}

#[tokio::test(start_paused = true)]
async fn the_lookback_is_read_again_and_only_what_is_new_is_sent() {
    let table = Table::of(0..100);
    let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    stage.run().await;
    table.put(500, "u1", 95);
    table.put(501, "u1", 99);
    let second = stage.run().await;
    assert_eq!((second.counts.delivered, second.counts.skipped), (2, 11));
    assert_eq!(stage.run().await.counts.delivered, 0);
    assert_eq!(stage.sent(), once((0..100).chain([500, 501])));
}

#[tokio::test(start_paused = true)]
async fn a_request_refused_as_a_whole_is_halved_until_the_bad_rows_stand_alone() {
    let table = Table::of(0..100);
    let bad = [13, 14, 77];
    let answer: Answer = Box::new(move |ids| {
        if ids.iter().any(|id| bad.contains(id)) {
            return Err(Error::new(ErrorKind::Rejected, "one of them is wrong"));
        }
        Ok(vec![Outcome::Delivered; ids.len()])
    });
    let stage = Stage::new(&table, Idempotency::None, limits(), answer);
    let run = stage.run().await;
    assert_eq!((run.counts.delivered, run.counts.rejected), (97, 3));
    assert_eq!(run.ending, Some(Ending::Partial));
    assert_eq!(stage.failed_rows().await, ["13", "14", "77"]);
}

#[tokio::test(start_paused = true)]
async fn only_deferred_rows_are_sent_again() {
    let table = Table::of(0..10);
    let mut times = HashMap::<i64, u32>::new();
    let answer: Answer = Box::new(move |ids| {
        let outcomes = ids.iter().map(|id| {
            let times = times.entry(*id).or_default();
            *times += 1;
            match id % 2 == 0 && *times < 3 {
                true => Outcome::Deferred(Reason::new("busy", "later")),
                false => Outcome::Delivered,
            }
        });
        Ok(outcomes.collect())
    });
    let stage = Stage::new(&table, Idempotency::None, limits(), answer);
    assert_eq!(stage.run().await.counts.delivered, 10);
    let sent = stage.sent();
    assert!(sent.iter().all(|(id, times)| *times == if id % 2 == 0 { 3 } else { 1 }), "{sent:?}");
}

/// Every first answer is lost.
fn first_answer_lost() -> Answer {
    let mut seen = std::collections::HashSet::new();
    Box::new(move |ids| {
        Ok(ids.iter().map(|id| if seen.insert(*id) { lost() } else { Outcome::Delivered }).collect())
    })
}

#[tokio::test(start_paused = true)]
async fn lost_answers_follow_the_objects_repeat_rule() {
    for (idempotency, resend, delivered, in_doubt, times) in [
        (Idempotency::Idempotent, false, 20, 0, 2),
        (Idempotency::Keyed(Duration::from_secs(3_600)), false, 20, 0, 2),
        (Idempotency::Keyed(Duration::ZERO), false, 0, 20, 1),
        (Idempotency::None, false, 0, 20, 1),
        (Idempotency::None, true, 20, 0, 2),
    ] {
        let mut stage = Stage::new(&Table::of(0..20), idempotency, limits(), first_answer_lost());
        stage.import.resend = resend;
        let run = stage.run().await;
        assert_eq!(
            (run.counts.delivered, run.counts.in_doubt),
            (delivered, in_doubt),
            "{idempotency:?} {resend}"
        );
        assert!(stage.sent().values().all(|sent| *sent == times), "{idempotency:?} {resend}");
        assert_eq!(stage.failed_rows().await.len() as u64, in_doubt);
        // What is in doubt is not sent by a later run either.
        assert_eq!(stage.run().await.counts.delivered, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_for_and_is_no_attempt() {
    let clock_start = ManualClock::default();
    let until = tidegate_model::Clock::now(&clock_start) + jiff::SignedDuration::from_secs(30);
    let mut refusals = 4;
    let answer: Answer = Box::new(move |ids| match refusals > 0 {
        true => {
            refusals -= 1;
            Err(Error::new(ErrorKind::Throttled(Some(until)), "too fast"))
        }
        false => Ok(vec![Outcome::Delivered; ids.len()]),
    });
    let stage = Stage::new(&Table::of(0..30), Idempotency::None, limits(), answer);
    let before = Instant::now();
    let run = stage.run().await;
    assert_eq!(run.counts.delivered, 30);
    assert!(before.elapsed() >= Duration::from_secs(30), "{:?}", before.elapsed());
    assert!(before.elapsed() < Duration::from_secs(90), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_platform_is_tried_within_its_budget_and_loses_nothing() {
    let answer: Answer = Box::new(|_| Err(Error::new(ErrorKind::Unavailable, "connection refused")));
    let stage = Stage::new(&Table::of(0..50), Idempotency::None, limits(), answer);
    let before = Instant::now();
    let run = stage.run().await;
    assert_eq!(run.ending, Some(Ending::Failed));
    let elapsed = before.elapsed();
    assert!(elapsed > Duration::from_secs(20) && elapsed < Duration::from_secs(80), "{elapsed:?}");
    assert!(run.error.expect("an error").starts_with("gave up after"), "says what was tried");
    *stage.platform.answer.lock().expect("no panic") = all_delivered();
    stage.platform.requests.lock().expect("no panic").clear();
    let run = stage.run().await;
    assert_eq!(run.counts.delivered, 50);
    assert_eq!(stage.sent(), once(0..50));
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_pauses_the_sync_and_skips_nothing() {
    let table = Table::of(0..200);
    let mut left = 7;
    let answer: Answer = Box::new(move |ids| {
        left -= 1;
        match left >= 0 {
            true => Ok(vec![Outcome::Delivered; ids.len()]),
            false => Err(Error::new(ErrorKind::Denied, "the key was revoked").hint("make a new key")),
        }
    });
    let stage = Stage::new(&table, Idempotency::None, limits(), answer);
    let run = stage.run().await;
    assert_eq!(run.ending, Some(Ending::Failed));
    let pause = stage.store.sync_state(&SyncId::new("s")).await.expect("state").paused.expect("paused");
    assert_eq!(pause.why, "connection `p`: the key was revoked. Next: make a new key");
    let denied = RunFailure { kind: ErrorKind::Denied, connection: Some(ConnectionId::new("p")) };
    assert_eq!((&pause.failure, &run.failure), (&Some(denied.clone()), &Some(denied)));
    let delivered_before = run.counts.delivered;
    assert!(delivered_before > 0, "what was delivered before is on record");
    *stage.platform.answer.lock().expect("no panic") = all_delivered();
    let refused: u32 = stage.sent().values().sum::<u32>() - u32::try_from(delivered_before).expect("few");
    let second = stage.run().await;
    assert_eq!(second.counts.delivered, 200 - delivered_before);
    let sent: u32 = stage.sent().values().sum();
    assert_eq!(sent - refused, 200, "each row took effect once");
    assert!(stage.store.sync_state(&SyncId::new("s")).await.expect("state").paused.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_keeps_what_was_done_and_the_next_one_does_the_rest() {
    let table = Table::of(0..5_000);
    let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    let stop = CancellationToken::new();
    let fuse = stop.clone();
    tokio::spawn(async move {
        crate::pipeline::wait::span(Duration::from_millis(800)).await;
        fuse.cancel();
    });
    let before = Instant::now();
    let run = stage.run_until(stop, Input::Changes).await;
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert_eq!(run.ending, Some(Ending::Interrupted));
    assert!(run.counts.delivered > 0 && run.counts.delivered < 5_000);
    assert_eq!(stage.run().await.ending, Some(Ending::Succeeded));
    assert_eq!(stage.sent(), once(0..5_000));
}

/// A process: dropping it ends its tasks at once.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime")
}

#[test]
fn a_run_that_died_leaves_only_its_open_requests_in_doubt() {
    let stage = Stage::new(&Table::of(0..300), Idempotency::None, limits(), all_delivered());
    // The process dies: its runtime is dropped with all tasks, nothing more is committed.
    let died = runtime();
    died.block_on(async { tokio::time::timeout(Duration::from_millis(35), stage.run()).await })
        .expect_err("too early");
    drop(died);
    assert!(!stage.sent().is_empty());
    let run = runtime().block_on(stage.run());
    assert_eq!(run.ending, Some(Ending::Partial));
    assert!((1..=30).contains(&run.counts.in_doubt), "at most a request for each worker: {:?}", run.counts);
    assert_eq!(run.counts.delivered + run.counts.in_doubt, 300);
    assert_eq!(stage.sent(), once(0..300), "nothing is sent twice");
}

#[tokio::test(start_paused = true)]
async fn a_user_is_written_to_once_per_interval_while_others_go_on() {
    let table = Table::default();
    for id in 0..20 {
        table.put(id, if id % 2 == 0 { "busy" } else { "other" }, id);
    }
    let limits = Limits {
        max_items: 1,
        single_user: true,
        min_user_interval: Duration::from_secs(1),
        max_in_flight: 2,
        ..Limits::GENEROUS
    };
    let stage = Stage::new(&table, Idempotency::Idempotent, limits, all_delivered());
    assert_eq!(stage.run().await.counts.delivered, 20);
    let mut last: HashMap<String, (Instant, i64)> = HashMap::new();
    for (at, request) in stage.platform.requests.lock().expect("no panic").iter() {
        let (user, id) = request[0].clone();
        if let Some((before, id_before)) = last.insert(user, (*at, id)) {
            assert!(*at - before >= Duration::from_secs(1));
            assert!(id_before < id);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fixed_row_closes_its_failed_row_and_is_not_sent_by_the_next_run() {
    let table = Table::of(0..10);
    let answer: Answer = Box::new(|ids| {
        let refuse = |id: &i64| *id == 4;
        let bad = || Outcome::Rejected(Reason::new("bad", "not like this"));
        Ok(ids.iter().map(|id| if refuse(id) { bad() } else { Outcome::Delivered }).collect())
    });
    let stage = Stage::new(&table, Idempotency::None, limits(), answer);
    assert_eq!(stage.run().await.counts.rejected, 1);
    *stage.platform.answer.lock().expect("no panic") = all_delivered();
    let failed_row = stage.store.failed_rows(&SyncId::new("s")).await.expect("failed rows").remove(0);
    let Some(KeptRow::Whole(row)) = failed_row.entry.payload else { panic!("the row is kept") };
    let run = stage.run_until(CancellationToken::new(), Input::rows(Batch::of(vec![row]))).await;
    assert_eq!((run.cause, run.counts.delivered), (Cause::Retry, 1));
    assert!(stage.failed_rows().await.is_empty());
    assert_eq!(stage.run().await.counts.delivered, 0);
    assert_eq!(stage.sent()[&4], 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_read_sends_every_row_every_time_and_goes_on_after_a_stop() {
    let table = Table::of(0..2_000);
    let mut stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    stage.import.tracking = ChangeTracking::Full;
    let stop = CancellationToken::new();
    let fuse = stop.clone();
    tokio::spawn(async move {
        crate::pipeline::wait::span(Duration::from_millis(400)).await;
        fuse.cancel();
    });
    assert_eq!(stage.run_until(stop, Input::Changes).await.ending, Some(Ending::Interrupted));
    stage.run().await;
    assert_eq!(stage.sent(), once(0..2_000), "the stopped read is gone on with");
    stage.run().await;
    assert!(stage.sent().values().all(|times| *times == 2), "the next one is a new read");
}

#[tokio::test(start_paused = true)]
async fn syncs_of_one_connection_share_its_rate() {
    let rate = tidegate_model::Rate { requests: 100, per: Duration::from_secs(1) };
    let limits = Limits { max_items: 1, rate: Some(rate), bucket: "b", ..limits() };
    let stage = Stage::new(&Table::of(0..200), Idempotency::Idempotent, limits, all_delivered());
    let mut other = Stage::new(&Table::of(0..200), Idempotency::Idempotent, limits, all_delivered());
    other.parts.rate_limiters = stage.parts.rate_limiters.clone();
    let before = Instant::now();
    let (first, second) = tokio::join!(stage.run(), other.run());
    assert_eq!(first.counts.delivered + second.counts.delivered, 400);
    let elapsed = before.elapsed().as_secs_f64();
    assert!(elapsed > 3.9, "400 requests at 100/s took {elapsed} s");
}
