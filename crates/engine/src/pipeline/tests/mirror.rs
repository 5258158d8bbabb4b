//! `mode: mirror`: all rows are compared with those that were committed.

use tidegate_model::Compared;

use super::*;

/// A stage whose rows are compared by `id`; `at` is a column of the row that the mapping uses.
pub(super) fn mirror(table: &Table, answer: Answer) -> Stage {
    let mut stage = Stage::new(table, Idempotency::Idempotent, limits(), answer);
    let target = mapping::target(&stage.import.sync, ObjectKind::Event, &["id"]);
    let spec = serde_json::json!({ "external_id": "user", "name": "id", "properties": ["at"] });
    stage.import.mapping = Arc::new(mapping::compiled(spec, &target, &columns()));
    stage.import.tracking = ChangeTracking::Mirror;
    stage
}

fn change(table: &Table, id: i64, at: i64) {
    let mut rows = table.0.lock().expect("no panic");
    rows.iter_mut().filter(|row| row.0 == id).for_each(|row| row.2 = at);
}

fn compared(run: &Run) -> [u64; 4] {
    let Compared { added, changed, unchanged, removed, .. } = run.compared.expect("compared");
    [added, changed, unchanged, removed]
}

#[tokio::test(start_paused = true)]
async fn a_table_without_a_cursor_sends_only_what_was_added_or_changed() {
    let table = Table::of(0..100);
    let stage = mirror(&table, all_delivered());
    let first = stage.run().await;
    assert_eq!((compared(&first), first.counts.delivered), ([100, 0, 0, 0], 100));
    let second = stage.run().await;
    assert_eq!((compared(&second), second.counts.delivered), ([0, 0, 100, 0], 0));
    assert_eq!((second.counts.read, second.counts.skipped, second.counts.requests), (100, 100, 0));

    table.put(200, "u1", 0);
    change(&table, 7, -1);
    table.0.lock().expect("no panic").retain(|row| row.0 != 9);
    let third = stage.run().await;
    assert_eq!((compared(&third), third.counts.delivered), ([1, 1, 98, 1], 2));
    // A row that changes back is sent, under another name.
    change(&table, 7, 7);
    let fourth = stage.run().await;
    assert_eq!(compared(&fourth), [0, 1, 99, 1], "a removed row is counted until it is acted on");
    let names = stage.platform.names.lock().expect("no panic").clone();
    assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len());
    assert_eq!(stage.sent()[&7], 3);
    assert_eq!(stage.run().await.counts.delivered, 0);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_of_events_under_another_key_stops_and_sends_nothing_again() {
    let mut stage = mirror(&Table::of(0..100), all_delivered());
    let keyed = |stage: &mut Stage, key: &[&str]| {
        let target = mapping::target(&stage.import.sync, ObjectKind::Event, key);
        let spec = serde_json::json!({ "external_id": "user", "name": "id", "properties": ["at"] });
        stage.import.mapping = Arc::new(mapping::compiled(spec, &target, &columns()));
    };
    stage.import.changed = Changed::Ignore;
    stage.import.limits = Some(tidegate_project::Limits::default());
    assert_eq!(stage.run().await.counts.delivered, 100);
    assert_eq!(stage.run().await.ending, Some(Ending::Succeeded), "the key is the same");
    keyed(&mut stage, &["id", "user"]);
    let error = stage.run().await.error.expect("an error");
    assert!(error.contains("the key of the rows was `id` and is `id`, `user`"), "{error}");
    assert!(stage.sent().values().all(|sent| *sent == 1), "nothing is sent twice");

    stage.import.limits = None;
    assert_eq!(stage.run().await.counts.delivered, 100, "a person has confirmed it");
    stage.import.limits = Some(tidegate_project::Limits::default());
    let next = stage.run().await;
    assert_eq!((next.ending, next.counts.delivered), (Some(Ending::Succeeded), 0), "it is known now");
}

#[tokio::test(start_paused = true)]
async fn a_mirror_notes_its_key_though_no_row_differs() {
    let stage = mirror(&Table::of(0..100), all_delivered());
    let checkpoint = async || {
        let state = stage.store.sync_state(&SyncId::new("s")).await.expect("a state");
        state.checkpoint.expect("a checkpoint").0
    };
    stage.run().await;
    assert_eq!(checkpoint().await["measured"]["differing"], 100);
    assert_eq!(stage.run().await.counts.skipped, 100);
    let written = checkpoint().await;
    assert_eq!(written["measured"]["differing"], 0, "it is written by a run that sends nothing");
    assert_eq!(written["key"], serde_json::json!(["id"]));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_row_is_found_again_until_it_is_taken() {
    let table = Table::of(0..10);
    let mut refused = 0;
    let answer: Answer = Box::new(move |ids| {
        let outcomes = ids.iter().map(|id| {
            refused += u32::from(*id == 3);
            match *id == 3 && refused < 3 {
                true => Outcome::Rejected(Reason::new("bad", "not like this")),
                false => Outcome::Delivered,
            }
        });
        Ok(outcomes.collect())
    });
    let stage = mirror(&table, answer);
    assert_eq!((stage.run().await.counts.rejected, stage.run().await.counts.rejected), (1, 1));
    assert_eq!(stage.failed_rows().await, ["3"]);
    let third = stage.run().await;
    assert_eq!((third.counts.delivered, third.counts.skipped), (1, 9));
    assert!(stage.failed_rows().await.is_empty());
    assert_eq!(stage.run().await.counts.delivered, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_change_leaves_what_was_sent_before_and_is_found_again() {
    let table = Table::of(0..3);
    let stage = mirror(&table, all_delivered());
    stage.run().await;
    change(&table, 1, 50);
    *stage.platform.answer.lock().expect("no panic") =
        Box::new(|ids| Ok(vec![Outcome::Rejected(Reason::new("bad", "no")); ids.len()]));
    assert_eq!(stage.run().await.counts.rejected, 1);
    // It changes back to what the platform has: nothing is to be sent.
    change(&table, 1, 1);
    *stage.platform.answer.lock().expect("no panic") = all_delivered();
    assert_eq!(compared(&stage.run().await), [0, 0, 3, 0]);
    change(&table, 1, 50);
    assert_eq!(compared(&stage.run().await), [0, 1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn rows_with_one_key_are_rejected_and_what_was_sent_before_stays() {
    let table = Table::of(0..5);
    let stage = mirror(&table, all_delivered());
    stage.run().await;
    // One more row for 2, and two for a key that is new.
    table.put(2, "other", 99);
    table.put(7, "u1", 1);
    table.put(7, "u2", 2);
    let run = stage.run().await;
    assert_eq!((run.counts.rejected, run.counts.delivered, run.counts.skipped), (3, 0, 5));
    assert_eq!(run.compared.expect("compared").duplicate_keys, 2);
    assert_eq!(stage.failed_rows().await, ["2", "7"]);
    table.0.lock().expect("no panic").retain(|row| row.1 != "u1" || row.0 != 7);
    let run = stage.run().await;
    assert_eq!((run.counts.delivered, run.counts.rejected), (1, 1), "7 is one row now");
    assert_eq!(stage.failed_rows().await, ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_event_is_counted_and_no_second_event() {
    let table = Table::of(0..5);
    let mut stage = mirror(&table, all_delivered());
    stage.import.changed = Changed::Ignore;
    stage.run().await;
    change(&table, 3, 9);
    table.put(8, "u1", 8);
    let run = stage.run().await;
    assert_eq!((run.counts.delivered, run.counts.ignored, run.counts.skipped), (1, 1, 4));
    assert_eq!(compared(&run), [1, 1, 4, 0]);
    assert_eq!(stage.sent()[&3], 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_goes_on_where_it_was() {
    let table = Table::of(0..200);
    let stage = mirror(&table, all_delivered());
    let run = stage.run_until(stop_after(Duration::from_millis(35)), Input::Changes).await;
    assert_eq!(run.ending, Some(Ending::Interrupted));
    let delivered = run.counts.delivered;
    assert!((1..200).contains(&delivered), "{delivered}");
    let run = stage.run().await;
    assert_eq!((run.counts.skipped, run.counts.delivered), (delivered, 200 - delivered));
    assert_eq!(stage.sent(), once(0..200));
}

#[tokio::test(start_paused = true)]
async fn what_another_mode_has_sent_is_not_compared() {
    let table = Table::of(0..5);
    let mut stage = mirror(&table, all_delivered());
    let by_cursor = Stage::new(&table, Idempotency::Idempotent, limits(), all_delivered()).import.tracking;
    let by_key = std::mem::replace(&mut stage.import.tracking, by_cursor.clone());
    stage.run().await;
    stage.import.tracking = by_key;
    let run = stage.run().await;
    let error = run.error.expect("an error");
    assert!(error.contains("`s` ran with another `mode` than `mirror`"), "{error}");
    let claim = stage.parts.lease.clone();
    stage.store.reset(&claim).await.expect("reset");
    assert_eq!(stage.run().await.counts.delivered, 5);
    stage.import.tracking = by_cursor;
    let error = stage.run().await.error.expect("an error");
    assert!(error.contains("was not made by a cursor"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_full_run_sends_all_rows_once_more_and_the_next_one_none() {
    let table = Table::of(0..100);
    let mut stage = mirror(&table, all_delivered());
    stage.import.changed = Changed::Ignore;
    stage.run().await;
    change(&table, 7, -1);
    let full = stage.run_until(CancellationToken::new(), Input::Everything).await;
    assert_eq!((compared(&full), full.counts.delivered, full.counts.skipped), ([0, 1, 99, 0], 100, 0));
    let next = stage.run().await;
    assert_eq!((compared(&next), next.counts.delivered), ([0, 0, 100, 0], 0));
}
