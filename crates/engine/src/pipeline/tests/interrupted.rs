//! The source changes between a run that died and the next one.

use super::faults::die;
use super::mirror::mirror;
use super::*;

/// An event table, with hold: read by a cursor, and compared.
fn stages() -> [fn(&Table) -> Stage; 2] {
    let by_cursor: fn(&Table) -> Stage =
        |table| Stage::new(table, Idempotency::None, limits(), all_delivered());
    let by_comparison: fn(&Table) -> Stage = |table| {
        let mut stage = mirror(table, all_delivered());
        stage.platform = platform_of(&stage, Idempotency::None);
        stage.import.platform = stage.platform.clone();
        stage
    };
    [by_cursor, by_comparison]
}

/// The platform of a stage, where repeating an event has this effect.
fn platform_of(stage: &Stage, idempotency: Idempotency) -> Arc<stage::Recording> {
    Arc::new(stage::Recording {
        spec: ObjectSpec { idempotency, ..stage.platform.spec },
        limits: limits(),
        answer: Mutex::new(all_delivered()),
        requests: Mutex::default(),
        names: Mutex::default(),
        latency: Mutex::new(Duration::from_millis(10)),
    })
}

fn all_become(table: &Table, user: &str) {
    table.0.lock().expect("no panic").iter_mut().for_each(|row| user.clone_into(&mut row.1));
}

#[test]
fn an_order_that_changes_after_a_crash_is_no_second_purchase() {
    for stage in stages() {
        let table = Table::of(0..300);
        let mut stage = stage(&table);
        stage.import.changed = Changed::Ignore;
        die(&stage, 35, Input::Changes);
        assert!(!stage.sent().is_empty());
        all_become(&table, "paid");
        let run = runtime().block_on(stage.run());
        assert!((1..=30).contains(&run.counts.in_doubt), "those under way: {:?}", run.counts);
        assert_eq!(run.counts.delivered + run.counts.in_doubt, 300);
        let again = runtime().block_on(stage.run());
        assert_eq!((again.counts.delivered, again.counts.in_doubt), (0, 0));
        assert_eq!(stage.sent(), once(0..300), "nothing is sent twice");
        let listed = stage.store.results(&SyncId::new("s"));
        assert_eq!(listed.len(), 300, "each row has one status");
        assert_eq!(runtime().block_on(stage.failed_rows()).len() as u64, run.counts.in_doubt);
    }
}

#[test]
fn an_order_that_changes_after_a_crash_is_repeated_under_the_name_that_it_was_sent_with() {
    let table = Table::of(0..300);
    let window = Idempotency::Keyed(Duration::from_secs(3_600));
    let mut stage = Stage::new(&table, window, limits(), all_delivered());
    stage.import.changed = Changed::Ignore;
    die(&stage, 35, Input::Changes);
    all_become(&table, "paid");
    assert_eq!(runtime().block_on(stage.run()).counts.delivered, 300);
    let names: std::collections::HashSet<RowHash> =
        stage.platform.names.lock().expect("no panic").iter().copied().collect();
    assert_eq!(names.len(), 300, "a repetition is dropped by the platform");
    assert!(stage.sent().values().any(|times| *times == 2), "some were under way");
}

#[test]
fn of_two_rows_with_one_key_none_is_sent_again_after_a_crash_whichever_is_read_first() {
    for late in [4, 6] {
        let table = Table::default();
        table.put(1, "a", 5);
        let mut stage = Stage::new(&table, Idempotency::None, one_worker(), all_delivered());
        stage.import.changed = Changed::Ignore;
        die(&stage, 5, Input::Changes);
        table.put(1, "b", late);
        runtime().block_on(stage.run());
        runtime().block_on(stage.run());
        let requests = stage.platform.requests.lock().expect("no panic").clone();
        let users = requests.iter().flat_map(|(_, rows)| rows.iter().map(|(user, _)| user.as_str()));
        assert_eq!(users.filter(|user| *user == "a").count(), 1, "late: {late}");
    }
}

#[test]
fn an_order_that_was_sent_and_has_no_user_any_more_is_in_doubt_and_not_rejected() {
    let table = Table::of(0..10);
    let window = Idempotency::Keyed(Duration::from_secs(3_600));
    let mut stage = Stage::new(&table, window, one_worker(), all_delivered());
    stage.import.changed = Changed::Ignore;
    die(&stage, 5, Input::Changes);
    all_become(&table, "");
    let run = runtime().block_on(stage.run());
    assert_eq!((run.counts.rejected, run.counts.in_doubt), (0, 10));
    all_become(&table, "u");
    assert_eq!(runtime().block_on(stage.run()).counts.ignored, 10, "the platform may have it");
}

/// Takes the rows with these ids out of a table.
fn take_out(table: &Table, ids: std::ops::Range<i64>) -> Vec<(i64, String, i64)> {
    let mut rows = table.0.lock().expect("no panic");
    let (out, left) = rows.drain(..).partition(|row| ids.contains(&row.0));
    *rows = left;
    out
}

#[test]
fn rows_that_a_crash_left_and_that_are_back_after_a_run_without_them_are_not_sent_again() {
    for stage in stages() {
        let table = Table::of(0..50);
        let stage = stage(&table);
        runtime().block_on(stage.run());
        (50..100).for_each(|id| table.put(id, "u", id));
        die(&stage, 15, Input::Changes);
        let replica = take_out(&table, 50..100);
        let run = runtime().block_on(stage.run());
        assert!(run.counts.delivered > 0 && run.counts.in_doubt > 0, "listed: {:?}", run.counts);
        let listed = run.counts.delivered + run.counts.in_doubt;
        table.0.lock().expect("no panic").extend(replica);
        let back = runtime().block_on(stage.run());
        assert_eq!(back.counts.delivered, 50 - listed, "the others");
        assert_eq!(runtime().block_on(stage.run()).counts.delivered, 0);
        assert_eq!(stage.sent(), once(0..100));
    }
}

#[test]
fn rows_that_are_back_far_after_the_checkpoint_are_known_as_long_as_they_are_read_again() {
    let table = Table::of(0..50);
    let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    runtime().block_on(stage.run());
    (50..100).for_each(|id| table.put(id, "u", id + 1_000));
    die(&stage, 15, Input::Changes);
    let replica = take_out(&table, 50..100);
    runtime().block_on(stage.run());
    table.0.lock().expect("no panic").extend(replica);
    for id in 100..104 {
        runtime().block_on(stage.run());
        table.put(id, "u", 1_100);
    }
    runtime().block_on(stage.run());
    assert_eq!(stage.sent(), once(0..104));
}

#[test]
fn rows_of_a_first_run_that_died_are_not_sent_again_though_the_next_one_saw_an_empty_table() {
    for stage in stages() {
        let table = Table::of(0..50);
        let stage = stage(&table);
        die(&stage, 15, Input::Changes);
        let all = take_out(&table, 0..50);
        runtime().block_on(stage.run());
        table.0.lock().expect("no panic").extend(all);
        for _ in 0..3 {
            runtime().block_on(stage.run());
        }
        assert_eq!(stage.sent(), once(0..50));
        assert_eq!(stage.store.results(&SyncId::new("s")).len(), 50, "each has one status");
    }
}

#[test]
fn a_row_that_changes_back_to_what_a_dead_run_had_sent_is_sent_if_another_came_between() {
    let table = Table::default();
    table.put(1, "a", 5);
    let mut stage = Stage::new(&table, Idempotency::None, one_worker(), all_delivered());
    stage.import.changed = Changed::Send;
    die(&stage, 5, Input::Changes);
    for user in ["b", "a"] {
        all_become(&table, user);
        assert_eq!(runtime().block_on(stage.run()).counts.delivered, 1, "{user}");
        assert_eq!(runtime().block_on(stage.run()).counts.delivered, 0, "{user}");
    }
}
