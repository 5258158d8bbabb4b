//! Items whose answers leave open what became of them.

use std::collections::HashSet;

use super::*;

/// Notes what took effect, and answers what `of_poison` says if one of the rows is poison.
fn poisoned(
    poison: &'static [i64],
    effects: &Arc<Mutex<HashMap<i64, u32>>>,
    mut of_poison: impl FnMut(&[i64]) -> Outcome + Send + 'static,
) -> Answer {
    let effects = effects.clone();
    Box::new(move |ids| {
        let mut effects = effects.lock().expect("no panic");
        let is_poison = |id: &i64| poison.contains(id);
        ids.iter().filter(|id| !is_poison(id)).for_each(|id| *effects.entry(*id).or_default() += 1);
        match ids.iter().any(is_poison) {
            true => Ok(vec![of_poison(ids); ids.len()]),
            false => Ok(vec![Outcome::Delivered; ids.len()]),
        }
    })
}

fn internal_error(_: &[i64]) -> Outcome {
    Outcome::Unknown(Reason::new("response_uncertain", "the platform answered 500"))
}

fn names_none(_: &[i64]) -> Outcome {
    Outcome::Unnamed(Reason::new("blocked", "one of them is blocked"))
}

const SAFE: [Idempotency; 2] = [Idempotency::Idempotent, Idempotency::Keyed(Duration::from_secs(3_600))];

/// A run over 300 rows, and how often each took effect.
async fn run(
    idempotency: Idempotency,
    resend: bool,
    poison: &'static [i64],
    of_poison: impl FnMut(&[i64]) -> Outcome + Send + 'static,
) -> (Stage, Run, HashMap<i64, u32>) {
    let effects = Arc::default();
    let wide = Limits { max_items: 40, ..limits() };
    let answer = poisoned(poison, &effects, of_poison);
    let mut stage = Stage::new(&Table::of(0..300), idempotency, wide, answer);
    stage.import.resend = resend;
    let run = stage.run().await;
    let effects = effects.lock().expect("no panic").clone();
    (stage, run, effects)
}

#[tokio::test(start_paused = true)]
async fn an_error_that_names_no_row_is_found_and_the_row_is_rejected_with_its_words() {
    for idempotency in SAFE {
        let (stage, run, _) = run(idempotency, false, &[17, 60, 61], names_none).await;
        assert_eq!((run.ending, run.counts.delivered, run.counts.rejected), (Some(Ending::Partial), 297, 3));
        assert_eq!(stage.failed_rows().await, ["17", "60", "61"]);
        let failed = stage.store.failed_rows(&SyncId::new("s")).await.expect("failed rows");
        assert!(
            failed
                .iter()
                .all(|row| row.entry.reason.as_ref().expect("why").message == "one of them is blocked")
        );
        let again = stage.run().await;
        assert_eq!((again.ending, again.counts.delivered), (Some(Ending::Succeeded), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_answered_500_every_time_is_listed_and_the_others_arrive() {
    for idempotency in SAFE {
        let before = Instant::now();
        let (stage, run, _) = run(idempotency, false, &[17, 200], internal_error).await;
        assert_eq!((run.ending, run.counts.delivered, run.counts.in_doubt), (Some(Ending::Partial), 298, 2));
        assert_eq!(stage.failed_rows().await, ["17", "200"]);
        assert!(before.elapsed() < Duration::from_secs(15), "{:?}", before.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_sent_alone_are_listed_too_and_the_last_one_of_a_run_as_well() {
    let one = Limits { max_items: 1, single_user: true, ..limits() };
    let effects = Arc::default();
    let answer = poisoned(&[5, 29], &effects, internal_error);
    let stage = Stage::new(&Table::of(0..30), Idempotency::Idempotent, one, answer);
    let run = stage.run().await;
    assert_eq!((run.counts.delivered, run.counts.in_doubt), (28, 2), "{:?}", run.error);
    assert_eq!(stage.failed_rows().await, ["29", "5"]);
}

#[tokio::test(start_paused = true)]
async fn with_resend_no_row_is_sent_more_often_than_is_documented() {
    let (stage, named, effects) = run(Idempotency::None, true, &[17, 61], names_none).await;
    assert_eq!((named.counts.delivered, named.counts.rejected), (298, 2));
    assert_eq!(stage.failed_rows().await, ["17", "61"]);
    assert!(effects.values().all(|times| *times <= 3), "{effects:?}");
    let (stage, failed, effects) = run(Idempotency::None, true, &[17, 61], internal_error).await;
    assert_eq!((failed.counts.delivered, failed.counts.in_doubt), (298, 2));
    assert_eq!(stage.failed_rows().await, ["17", "61"]);
    assert!(effects.values().all(|times| *times <= 5), "{effects:?}");
    assert!(stage.sent().values().all(|times| *times <= 5));
    assert!(effects.values().filter(|times| **times == 1).count() >= 220, "those of other requests: once");
}

#[tokio::test(start_paused = true)]
async fn with_hold_nothing_is_sent_twice_and_a_row_that_can_be_told_is_rejected() {
    let (_, run, effects) = run(Idempotency::None, false, &[17], names_none).await;
    assert_eq!(run.counts.in_doubt, 40, "those of its request");
    assert!(effects.values().all(|times| *times == 1));
    let mut outcomes = vec![Outcome::Delivered; 10];
    outcomes[3] = names_none(&[]);
    let answer: Answer = Box::new(move |_| Ok(outcomes.clone()));
    let stage = Stage::new(&Table::of(0..10), Idempotency::None, limits(), answer);
    let run = stage.run().await;
    assert_eq!((run.counts.delivered, run.counts.rejected, run.counts.in_doubt), (9, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_answers_nothing_with_certainty_ends_the_run_and_lists_no_row() {
    for (idempotency, resend) in [(SAFE[0], false), (SAFE[1], false)] {
        let answer: Answer = Box::new(|ids| Ok(vec![internal_error(ids); ids.len()]));
        let mut stage = Stage::new(&Table::of(0..300), idempotency, limits(), answer);
        stage.import.resend = resend;
        let run = stage.run().await;
        assert_eq!((run.ending, run.counts.in_doubt), (Some(Ending::Failed), 0));
        let error = run.error.expect("why");
        assert!(error.contains("the platform answered 500"), "{error}");
        assert!(stage.failed_rows().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn with_resend_an_outage_sends_no_row_without_end() {
    let answer: Answer = Box::new(|ids| Ok(vec![internal_error(ids); ids.len()]));
    let mut stage = Stage::new(&Table::of(0..300), Idempotency::None, limits(), answer);
    stage.import.resend = true;
    for _ in 0..4 {
        assert_eq!(stage.run().await.ending, Some(Ending::Failed));
    }
    assert!(stage.sent().values().all(|times| *times <= 5), "{:?}", stage.sent());
    let listed = stage.failed_rows().await.len();
    assert!((20..=120).contains(&listed), "at most what was under way in each run: {listed}");
}

#[tokio::test(start_paused = true)]
async fn a_sync_whose_only_request_has_such_a_row_in_front_goes_on_too() {
    for (idempotency, resend) in [(SAFE[0], false), (SAFE[1], false), (Idempotency::None, true)] {
        let table = Table::default();
        (0..60).for_each(|id| table.put(id, &format!("user {id}"), id));
        let effects = Arc::default();
        let wide = Limits { max_items: 75, ..limits() };
        let mut stage = Stage::new(&table, idempotency, wide, poisoned(&[0, 31], &effects, internal_error));
        stage.import.resend = resend;
        let run = stage.run().await;
        assert_eq!((run.counts.delivered, run.counts.in_doubt), (58, 2), "{idempotency:?}: {:?}", run.error);
        let most = effects.lock().expect("no panic").values().copied().max();
        assert!(!resend || most <= Some(5), "{most:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_not_sent_again_after_their_keys_expired_while_the_machine_was_suspended() {
    /// When the machine is suspended.
    enum Suspended {
        WhileAnswering,
        BeforeRepetition,
    }
    let hours = jiff::SignedDuration::from_hours;
    let window = Idempotency::Keyed(Duration::from_secs(4 * 3_600));
    for (suspended, slept, sends, in_doubt) in [
        (Suspended::WhileAnswering, 3, 2, 0),
        (Suspended::WhileAnswering, 5, 1, 10),
        (Suspended::BeforeRepetition, 5, 1, 10),
    ] {
        let stage = Stage::new(&Table::of(0..10), window, one_worker(), all_delivered());
        // The time of tokio does not count what the machine slept.
        let clock = stage.clock.clone();
        let mut answers = 0;
        *stage.platform.answer.lock().expect("no panic") = Box::new(move |ids| {
            answers += 1;
            if answers > 1 {
                return Ok(vec![Outcome::Delivered; ids.len()]);
            }
            match suspended {
                Suspended::WhileAnswering => clock.advance(hours(slept)),
                Suspended::BeforeRepetition => {
                    let clock = clock.clone();
                    tokio::spawn(async move {
                        crate::pipeline::wait::span(Duration::from_millis(1)).await;
                        clock.advance(hours(slept));
                    });
                }
            }
            Ok(vec![lost(); ids.len()])
        });
        let run = stage.run().await;
        assert_eq!((run.counts.delivered, run.counts.in_doubt), (10 - in_doubt, in_doubt), "{:?}", run.error);
        assert!(stage.sent().values().all(|times| *times == sends), "{:?}", stage.sent());
        assert_eq!(stage.failed_rows().await.len() as u64, in_doubt);
    }
}

/// A process: dropping it ends its tasks where they stand.
fn killed_after(span: Duration, stage: &Stage) {
    let process = runtime();
    process
        .block_on(async { tokio::time::timeout(span, stage.run()).await })
        .expect_err("killed before its end");
}

#[test]
fn events_that_a_killed_run_sent_are_not_doubled_by_a_run_after_their_keys_have_expired() {
    let window = Duration::from_secs(4 * 3_600);
    for (hours, again) in [(1, true), (5, false)] {
        let stage = Stage::new(&Table::of(0..300), Idempotency::Keyed(window), limits(), all_delivered());
        killed_after(Duration::from_millis(35), &stage);
        assert!(!stage.sent().is_empty());
        // Killed a second time on the way: the keys are as old as the first time that they were sent.
        let half = jiff::SignedDuration::from_mins(hours * 30);
        stage.clock.advance(half);
        killed_after(Duration::from_millis(1), &stage);
        stage.clock.advance(half);
        let run = runtime().block_on(stage.run());
        assert_eq!(run.counts.in_doubt == 0, again, "after {hours} hours: {:?}", run.counts);
        assert_eq!(stage.sent().len(), 300);
        let listed = runtime().block_on(stage.failed_rows()).len() as u64;
        assert_eq!(listed, run.counts.in_doubt);
        let most = stage.sent().values().copied().max();
        assert!(again || most <= Some(2), "only within the half hour that they were known: {most:?}");
        let names = stage.platform.names.lock().expect("no panic");
        assert_eq!(
            names.iter().collect::<HashSet<_>>().len(),
            300,
            "one name for each, however often it is sent"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_stopped_runs_left_uncertain_are_not_sent_without_end_with_resend() {
    for of_poison in [internal_error as fn(&[i64]) -> Outcome, names_none] {
        let effects = Arc::default();
        let wide = Limits { max_items: 40, ..limits() };
        let answer = poisoned(&[17, 61, 290], &effects, of_poison);
        let mut stage = Stage::new(&Table::of(0..300), Idempotency::None, wide, answer);
        stage.import.resend = true;
        for stop in 0..12 {
            stage.run_until(stop_after(Duration::from_millis(25 + stop * 60)), Input::Changes).await;
        }
        stage.run().await;
        let sent = stage.sent();
        assert!(sent.values().all(|times| *times <= 5), "{sent:?}");
        assert_eq!(stage.failed_rows().await, ["17", "290", "61"]);
        let effects = effects.lock().expect("no panic").clone();
        assert_eq!(effects.len(), 297, "every other row arrived");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_a_stopped_run_left_uncertain_are_listed_and_not_sent_again_with_hold() {
    let effects = Arc::default();
    let wide = Limits { max_items: 40, ..limits() };
    let stage = Stage::new(
        &Table::of(0..300),
        Idempotency::None,
        wide,
        poisoned(&[17, 61], &effects, internal_error),
    );
    for stop in 0..6 {
        stage.run_until(stop_after(Duration::from_millis(5 + stop * 7)), Input::Changes).await;
    }
    stage.run().await;
    assert_eq!(stage.sent(), once(0..300));
    assert_eq!(stage.failed_rows().await.len(), 80, "those of the two requests");
}

#[test]
fn rows_that_were_never_sent_are_not_in_doubt_when_the_keys_of_those_beside_them_expire() {
    let table = Table::of(0..5);
    let wide = Limits { max_items: 40, ..one_worker() };
    let window = Idempotency::Keyed(Duration::from_secs(600));
    let stage = Stage::new(&table, window, wide, all_delivered());
    killed_after(Duration::from_millis(5), &stage);
    stage.clock.advance(jiff::SignedDuration::from_secs(590));
    (5..15).for_each(|id| table.put(id, "u", id));
    let until = tidegate_model::Clock::now(&*stage.clock) + jiff::SignedDuration::from_secs(60);
    let mut answers = 0;
    *stage.platform.answer.lock().expect("no panic") = Box::new(move |ids| {
        answers += 1;
        match answers {
            1 => Err(Error::new(ErrorKind::Throttled(Some(until)), "too fast")),
            _ => Ok(vec![Outcome::Delivered; ids.len()]),
        }
    });
    let run = runtime().block_on(stage.run());
    assert_eq!((run.counts.delivered, run.counts.in_doubt), (10, 5), "{:?}", run.error);
    assert_eq!(runtime().block_on(stage.failed_rows()), ["0", "1", "2", "3", "4"]);
}
