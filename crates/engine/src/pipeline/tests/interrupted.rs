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
