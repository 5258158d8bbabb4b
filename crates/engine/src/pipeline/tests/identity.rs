//! What tells rows apart, and what becomes of one that changes.

use std::collections::HashSet;

use super::*;

/// Changes the user of a row, and nothing else.
fn change(table: &Table, id: i64, user: &str) {
    let mut rows = table.0.lock().expect("no panic");
    rows.iter_mut().filter(|row| row.0 == id).for_each(|row| row.1 = user.to_owned());
}

fn last_user(stage: &Stage, id: i64) -> String {
    let requests = stage.platform.requests.lock().expect("no panic");
    let mut sent = requests.iter().flat_map(|(_, request)| request).filter(|(_, sent)| *sent == id);
    sent.next_back().expect("it was sent").0.clone()
}

fn without_key(stage: &mut Stage) {
    stage.import.mapping = Arc::new(by_cursor(&[]));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_changes_back_within_the_lookback_ends_as_the_source_has_it() {
    let table = Table::of(0..20);
    let stage = Stage::new(&table, Idempotency::Idempotent, limits(), all_delivered());
    for (user, delivered) in [("paid", 20), ("refunded", 1), ("paid", 1), ("refunded", 1), ("refunded", 0)] {
        change(&table, 19, user);
        assert_eq!(stage.run().await.counts.delivered, delivered, "{user}");
        assert_eq!(last_user(&stage, 19), user);
    }
    let names = stage.platform.names.lock().expect("no panic");
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "each time under a name of its own");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_changes_is_no_second_purchase() {
    let table = Table::of(0..20);
    let mut stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    stage.import.changed = Changed::Ignore;
    assert_eq!(stage.run().await.counts.delivered, 20);
    change(&table, 19, "refunded");
    let second = stage.run().await.counts;
    assert_eq!((second.delivered, second.ignored, second.skipped), (0, 1, 10));

    // Long after, with a cursor that has moved on: nothing but the key says that it was sent.
    (1_000..1_020).for_each(|id| table.put(id, "u", id));
    assert_eq!(stage.run().await.counts.delivered, 20);
    table.0.lock().expect("no panic").iter_mut().filter(|row| row.0 == 3).for_each(|row| row.2 = 1_100);
    let last = stage.run().await.counts;
    assert_eq!((last.delivered, last.ignored), (0, 1));
    assert_eq!(stage.sent(), once((0..20).chain(1_000..1_020)));
}

#[tokio::test(start_paused = true)]
async fn keys_of_delivered_orders_are_known_as_long_as_the_project_says() {
    const DAY: i64 = 86_400;
    const BEGIN: i64 = 1_795_000_000;
    for (days, counts) in [(20, (0, 1)), (40, (1, 0))] {
        let table = Table::default();
        (0..20).for_each(|id| table.put(id, "u", BEGIN + id));
        let mut stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
        stage.import.changed = Changed::Ignore;
        stage.import.keys_for = Some(Duration::from_secs(30 * DAY as u64));
        let ChangeTracking::Cursor { lookback, .. } = &mut stage.import.tracking else { panic!("a cursor") };
        *lookback = LookbackRule::SinceEpoch(Duration::from_secs(600));
        assert_eq!(stage.run().await.counts.delivered, 20);
        for later in [days, days + 1] {
            table.put(1_000 + later, "u", BEGIN + later * DAY);
            assert_eq!(stage.run().await.counts.delivered, 1);
        }
        table
            .0
            .lock()
            .expect("no panic")
            .iter_mut()
            .filter(|row| row.0 == 3)
            .for_each(|row| row.2 += (days + 1) * DAY);
        let last = stage.run().await.counts;
        assert_eq!((last.delivered, last.ignored), counts, "after {days} days");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_row_that_is_fixed_is_sent_though_changes_are_ignored() {
    let table = Table::of(0..20);
    let reject: Answer = Box::new(|ids| {
        let outcome = |id: &i64| match id {
            19 => Outcome::Rejected(Reason::new("bad", "not like this")),
            _ => Outcome::Delivered,
        };
        Ok(ids.iter().map(outcome).collect())
    });
    let mut stage = Stage::new(&table, Idempotency::None, limits(), reject);
    stage.import.changed = Changed::Ignore;
    assert_eq!(stage.run().await.counts.rejected, 1);
    assert_eq!(stage.run().await.counts.rejected, 0, "told before");
    *stage.platform.answer.lock().expect("no panic") = all_delivered();
    change(&table, 19, "fixed");
    assert_eq!(stage.run().await.counts.delivered, 1);
    assert!(stage.failed_rows().await.is_empty());
    change(&table, 19, "again");
    assert_eq!(stage.run().await.counts.ignored, 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_rejected_and_taken_back_sends_nothing_twice() {
    let table = Table::of(0..20);
    let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    stage.run().await;
    *stage.platform.answer.lock().expect("no panic") =
        Box::new(|ids| Ok(vec![Outcome::Rejected(Reason::new("bad", "not like this")); ids.len()]));
    change(&table, 19, "wrong");
    assert_eq!(stage.run().await.counts.rejected, 1);
    *stage.platform.answer.lock().expect("no panic") = all_delivered();
    change(&table, 19, "u4");
    let counts = stage.run().await.counts;
    assert_eq!((counts.delivered, counts.skipped), (0, 11), "the platform has it like this");
}

#[tokio::test(start_paused = true)]
async fn equal_rows_without_a_key_are_sent_under_different_names_and_once_each() {
    let table = Table::default();
    (0..3).for_each(|_| table.put(7, "u", 5));
    let mut stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    without_key(&mut stage);
    assert_eq!(stage.run().await.counts.delivered, 3);
    table.put(7, "u", 5);
    let second = stage.run().await.counts;
    assert_eq!((second.delivered, second.skipped), (1, 3));
    assert_eq!(stage.run().await.counts.skipped, 4);
    let names: HashSet<RowHash> = stage.platform.names.lock().expect("no panic").iter().copied().collect();
    assert_eq!(names.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_unique_sends_each_of_its_rows_once() {
    let table = Table::of(0..20);
    for user in ["a", "b", "c"] {
        table.put(50, user, 20);
    }
    let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    assert_eq!(stage.run().await.counts.delivered, 23);
    for _ in 0..3 {
        assert_eq!(stage.run().await.counts.delivered, 0);
    }
    let changed = |rows: &mut Vec<(i64, String, i64)>| {
        rows.iter_mut().filter(|row| row.1 == "b").for_each(|row| row.1 = "d".into());
    };
    changed(&mut table.0.lock().expect("no panic"));
    assert_eq!(stage.run().await.counts.delivered, 1);
    for _ in 0..3 {
        assert_eq!(stage.run().await.counts.delivered, 0);
    }
}
