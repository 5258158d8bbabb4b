//! How far back runs look, as it is seen from outside.

use super::*;

/// A moment of 2025 in milliseconds since 1970.
const NOW: i64 = 1_764_410_400_000;
const MINUTE: i64 = 60_000;

fn with_lookback(stage: &mut Stage, rule: LookbackRule) {
    let ChangeTracking::Cursor { lookback, .. } = &mut stage.import.tracking else { panic!("a cursor") };
    *lookback = rule;
}

fn milliseconds() -> Table {
    let table = Table::default();
    (0..50).for_each(|id| table.put(id, "u", NOW - (50 - id) * MINUTE));
    table
}

#[tokio::test(start_paused = true)]
async fn a_late_row_is_found_behind_a_cursor_of_milliseconds() {
    for rule in [LookbackRule::Number, LookbackRule::SinceEpoch(Duration::from_secs(600))] {
        let table = milliseconds();
        let mut stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
        with_lookback(&mut stage, rule.clone());
        assert_eq!(stage.run().await.counts.delivered, 50, "{rule:?}");
        // Nine minutes late: ten thousand milliseconds would not reach it.
        table.put(100, "late", NOW - 10 * MINUTE);
        let second = stage.run().await;
        assert_eq!((second.counts.delivered, second.counts.skipped), (1, 11), "{rule:?}");
        assert_eq!(stage.run().await.counts.delivered, 0, "{rule:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_duration_for_numbers_of_a_sequence_is_an_error_before_a_row_is_sent() {
    let table = Table::of(0..50);
    let mut stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    with_lookback(&mut stage, LookbackRule::SinceEpoch(Duration::from_secs(600)));
    let run = stage.run().await;
    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Failed), 0));
    let told = run.error.expect("an error");
    assert!(told.contains("`lookback` is a duration, but the cursor `at` (bigint)"), "{told}");
    assert!(told.contains("for example `lookback: 10000`"), "{told}");

    // The same once the sync has a checkpoint, and a number helps.
    with_lookback(&mut stage, LookbackRule::Units(10));
    assert_eq!(stage.run().await.counts.delivered, 50);
    with_lookback(&mut stage, LookbackRule::SinceEpoch(Duration::from_secs(600)));
    assert_eq!(stage.run().await.ending, Some(Ending::Failed));
    assert_eq!(stage.sent(), once(0..50));
}

#[tokio::test(start_paused = true)]
async fn a_duration_waits_for_the_first_row_of_an_empty_table() {
    let table = Table::default();
    let mut stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    with_lookback(&mut stage, LookbackRule::SinceEpoch(Duration::from_secs(60)));
    assert_eq!(stage.run().await.ending, Some(Ending::Succeeded));
    // Zeros come first and say nothing of the unit.
    table.put(0, "u", 0);
    (1..50).for_each(|id| table.put(id, "u", NOW - (50 - id) * MINUTE));
    assert_eq!(stage.run().await.counts.delivered, 50);
    let second = stage.run().await;
    assert_eq!((second.counts.delivered, second.counts.skipped), (0, 2), "one minute is read again");
}

#[tokio::test(start_paused = true)]
async fn the_unit_of_a_cursor_stays_when_its_numbers_become_odd() {
    let table = milliseconds();
    let mut stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    with_lookback(&mut stage, LookbackRule::SinceEpoch(Duration::from_secs(600)));
    stage.run().await;
    // After the year 2286 no magnitude says what the numbers count.
    table.put(100, "u", 10_000_000_000_000);
    assert_eq!(stage.run().await.counts.delivered, 1);
    table.put(101, "late", 10_000_000_000_000 - 9 * MINUTE);
    assert_eq!(stage.run().await.counts.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn rows_that_no_later_run_reads_again_are_not_remembered() {
    let stage = Stage::new(&Table::of(0..1_000), Idempotency::None, limits(), all_delivered());
    assert_eq!(stage.run().await.counts.delivered, 1_000);

    let lookback = stage.store.lookback(&SyncId::new("s")).await.expect("opened");
    let remembered = lookback.all().await.expect("rows").len();
    assert!((11..75).contains(&remembered), "{remembered} rows, of which the next run reads 11");
    let second = stage.run().await;
    assert_eq!((second.counts.delivered, second.counts.skipped), (0, 11));
}

/// Gives text where its description says numbers.
fn changed() -> GivenSource {
    GivenSource::new(dataset(), |_| {
        let text = |text: &str| Value::Text(text.into());
        let row = Row { columns: columns(), values: vec![Value::Int(1), text("u"), text("5")] };
        Ok(vec![Batch::of(vec![row])])
    })
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_another_type_than_described_sends_nothing() {
    let mut stage = Stage::new(&Table::default(), Idempotency::None, limits(), all_delivered());
    stage.import.source = Arc::new(changed());
    let run = stage.run().await;
    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Failed), 0));
    let told = run.error.expect("an error");
    assert!(told.contains("the cursor `at` was integer when `s` began to read, and is text now"), "{told}");
    assert!(stage.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_changes_from_a_cursor_to_full_reads_says_so_and_calls_nothing_damaged() {
    for tracking in [ChangeTracking::Full, ChangeTracking::Checkpoint] {
        let mut stage = Stage::new(&Table::of(0..20), Idempotency::Idempotent, limits(), all_delivered());
        assert_eq!(stage.run().await.counts.delivered, 20);
        stage.import.tracking = tracking;
        let run = stage.run().await;
        assert_eq!(run.ending, Some(Ending::Failed));
        let error = run.error.expect("an error");
        assert!(error.contains("`s` ran with another `mode` before"), "{error}");
        assert!(error.contains("tidegate reset s"), "{error}");
        assert_eq!(stage.sent(), once(0..20), "nothing is sent");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_or_a_table_that_was_changed_stops_the_sync_before_rows_are_missed() {
    let origin = |column: &str, members: serde_json::Value| {
        let serde_json::Value::Object(members) = members else { panic!("an object") };
        CursorOrigin::of(column, &Selection::new(members))
    };
    let first = origin("at", serde_json::json!({ "table": "t" }));
    let query = |sql: &str| origin("at", serde_json::json!({ "query": sql }));
    for (before, now, expected) in [
        (&first, origin("b", serde_json::json!({ "table": "t" })), "`cursor` was `at` and is `b`"),
        (&first, origin("at", serde_json::json!({ "table": "t2" })), "`table` was `t` and is `t2`"),
        (&first, query("select 1"), "a query took the place of the table `t`"),
        (&query("select 1"), query("select 2"), "`query` was changed"),
        (&query("select\n  1"), query("select 1"), ""),
    ] {
        let mut stage = Stage::new(&Table::of(0..20), Idempotency::Idempotent, limits(), all_delivered());
        let over = |stage: &mut Stage, over: &CursorOrigin| {
            let ChangeTracking::Cursor { origin, .. } = &mut stage.import.tracking else {
                panic!("a cursor")
            };
            *origin = over.clone();
        };
        over(&mut stage, before);
        stage.import.limits = Some(tidegate_project::Limits::default());
        assert_eq!(stage.run().await.counts.delivered, 20);
        over(&mut stage, &now);
        let run = stage.run().await;
        if expected.is_empty() {
            assert_eq!(run.ending, Some(Ending::Succeeded), "{run:?}");
            continue;
        }
        let error = run.error.expect("an error");
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("rows below its checkpoint would never be read"), "{error}");
        assert!(error.contains("tidegate run s --yes"), "{error}");

        stage.import.limits = None;
        assert_eq!(stage.run().await.ending, Some(Ending::Succeeded), "a person has confirmed it");
        stage.import.limits = Some(tidegate_project::Limits::default());
        assert_eq!(stage.run().await.ending, Some(Ending::Succeeded), "it is known from now on");
        assert_eq!(stage.sent(), once(0..20), "nothing is sent twice");
    }
}

/// Gives the rows of a stage another key, as `primary_key:` or the table does.
fn keyed(stage: &mut Stage, key: &[&str]) {
    let names: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
    let tracking = std::mem::replace(&mut stage.import.tracking, ChangeTracking::Full);
    stage.import.tracking = tracking.by_key(&names);
    stage.import.mapping = Arc::new(by_cursor(key));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_rebuilt_without_its_key_sends_no_event_a_second_time() {
    for now in [&[][..], &["id", "user"]] {
        let mut stage = Stage::new(&Table::of(0..10), Idempotency::None, limits(), all_delivered());
        keyed(&mut stage, &["id"]);
        stage.import.limits = Some(tidegate_project::Limits::default());
        assert_eq!(stage.run().await.counts.delivered, 10);
        assert_eq!(stage.run().await.ending, Some(Ending::Succeeded), "the key is the same");

        keyed(&mut stage, now);
        let error = stage.run().await.error.expect("an error");
        let is = if now.is_empty() { "the whole row" } else { "`id`, `user`" };
        assert!(error.contains(&format!("the key of the rows was `id` and is {is}")), "{error}");
        assert!(error.contains("tidegate run s --yes"), "{error}");
        let state = stage.store.sync_state(&SyncId::new("s")).await.expect("a state");
        assert!(stage.import.continues(&state).is_err(), "`check` and `plan` say so before");
        assert_eq!(stage.sent(), once(0..10), "nothing is sent twice");

        stage.import.limits = None;
        assert_eq!(stage.run().await.counts.delivered, 10, "a person has confirmed it");
        stage.import.limits = Some(tidegate_project::Limits::default());
        let next = stage.run().await;
        assert_eq!((next.ending, next.counts.delivered), (Some(Ending::Succeeded), 0), "it is known now");
    }
}

#[tokio::test(start_paused = true)]
async fn users_go_on_under_another_key_since_none_counts_twice() {
    let mut stage = Stage::new(&Table::of(0..10), Idempotency::Idempotent, limits(), all_delivered());
    keyed(&mut stage, &["id"]);
    stage.import.limits = Some(tidegate_project::Limits::default());
    assert_eq!(stage.run().await.counts.delivered, 10);
    keyed(&mut stage, &[]);
    assert_eq!(stage.run().await.ending, Some(Ending::Succeeded));
    // With `changed: ignore` a row must not come again, whatever it is.
    stage.import.changed = Changed::Ignore;
    keyed(&mut stage, &["id"]);
    assert!(stage.run().await.error.expect("an error").contains("was the whole row and is `id`"));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_an_earlier_version_notes_its_key_with_the_first_run() {
    let mut stage = Stage::new(&Table::of(0..10), Idempotency::None, limits(), all_delivered());
    // No key is noted.
    stage.import.limits = Some(tidegate_project::Limits::default());
    assert_eq!(stage.run().await.counts.delivered, 10);
    keyed(&mut stage, &["id"]);
    let upgraded = stage.run().await;
    assert_eq!((upgraded.ending, upgraded.counts.delivered), (Some(Ending::Succeeded), 0));
    keyed(&mut stage, &[]);
    assert!(stage.run().await.error.expect("an error").contains("the key of the rows was `id`"));
    assert_eq!(stage.sent(), once(0..10));
}

#[tokio::test(start_paused = true)]
async fn a_full_run_of_a_cursor_sends_all_rows_and_leaves_the_checkpoint_when_it_is_stopped() {
    let table = Table::of(0..200);
    let stage = Stage::new(&table, Idempotency::Idempotent, limits(), all_delivered());
    assert_eq!(stage.run().await.counts.delivered, 200);
    let checkpoint = async || stage.store.sync_state(&SyncId::new("s")).await.expect("a state").checkpoint;
    let before = checkpoint().await;
    let stopped = stage.run_until(stop_after(Duration::from_millis(35)), Input::Everything).await;
    assert_eq!(stopped.ending, Some(Ending::Interrupted));
    assert!((1..200).contains(&stopped.counts.delivered), "{stopped:?}");
    assert_eq!(checkpoint().await, before);
    assert_eq!(stage.run().await.counts.delivered, 0);

    let full = stage.run_until(CancellationToken::new(), Input::Everything).await;
    assert_eq!((full.counts.delivered, full.counts.skipped), (200, 0));
    table.put(500, "u1", 199);
    assert_eq!(stage.run().await.counts.delivered, 1, "what was known of the last rows is still known");
}

#[tokio::test(start_paused = true)]
async fn a_backfill_sends_a_part_of_all_rows_and_closes_no_failed_row() {
    let table = Table::of(0..50);
    let refuse = |ids: &[i64]| {
        let refused = |id: &i64| *id == 3;
        let bad = || Outcome::Rejected(Reason::new("bad", "not like this"));
        Ok(ids.iter().map(|id| if refused(id) { bad() } else { Outcome::Delivered }).collect())
    };
    let mut stage = Stage::new(&table, Idempotency::Idempotent, limits(), Box::new(refuse));
    assert_eq!(stage.run().await.counts.rejected, 1);
    *stage.platform.answer.lock().expect("no panic") = all_delivered();
    let by_cursor = std::mem::replace(&mut stage.import.tracking, ChangeTracking::Full);
    let rows = stage.import.source.read(&stage.import.selection, &ReadMode::Full, 10).await.expect("rows");
    let backfill = stage.run_until(CancellationToken::new(), Input::Backfill(rows)).await;
    assert_eq!((backfill.counts.delivered, backfill.ending), (50, Some(Ending::Succeeded)));
    assert_eq!(stage.failed_rows().await, ["3"]);
    stage.import.tracking = by_cursor;
    assert_eq!(stage.run().await.counts.delivered, 0);
}
