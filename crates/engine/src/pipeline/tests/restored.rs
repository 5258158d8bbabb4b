//! A row fails, and its source goes back to what was delivered before.

use super::mirror::mirror;
use super::*;

fn rejecting() -> Answer {
    Box::new(|ids| Ok(vec![Outcome::Rejected(Reason::new("bad", "not like this")); ids.len()]))
}

fn losing() -> Answer {
    Box::new(|ids| Ok(vec![lost(); ids.len()]))
}

impl Stage {
    fn answers(&self, answer: Answer) {
        *self.platform.answer.lock().expect("no panic") = answer;
    }

    /// Sends rows of the table as `retry` does, as the source has them now.
    async fn retry(&self, table: &Table) -> Run {
        let mut feed = table.read(&self.import.selection, &ReadMode::Full, 100).await.expect("an open table");
        let rows = feed.next().await.expect("a batch").expect("readable");
        self.run_until(CancellationToken::new(), Input::rows(rows)).await
    }

    async fn reasons(&self) -> Vec<String> {
        let failed = self.store.failed_rows(&SyncId::new("s")).await.expect("failed rows");
        failed.into_iter().filter_map(|row| row.entry.reason).map(|reason| reason.code.to_string()).collect()
    }
}

/// Changes the user of a row in its place.
fn becomes(table: &Table, id: i64, user: &str) {
    let mut rows = table.0.lock().expect("no panic");
    rows.iter_mut().filter(|row| row.0 == id).for_each(|row| user.clone_into(&mut row.1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_row_is_closed_when_its_source_is_again_what_the_platform_has() {
    let table = Table::default();
    table.put(1, "a", 5);
    let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    stage.run().await;
    for round in 1..=3 {
        becomes(&table, 1, "b");
        stage.answers(rejecting());
        assert_eq!(stage.run().await.counts.rejected, 1, "round {round}");
        assert_eq!(stage.run().await.counts.skipped, 1);
        assert_eq!(stage.failed_rows().await, ["1"]);
        becomes(&table, 1, "a");
        stage.answers(all_delivered());
        let run = stage.run().await;
        assert_eq!((run.counts.delivered, run.counts.skipped), (0, 1), "round {round}");
        assert!(stage.failed_rows().await.is_empty(), "the platform has it");
        assert_eq!(stage.run().await.counts.skipped, 1);
    }
    assert_eq!(stage.sent()[&1], 4, "once as it is, and three rejected changes");
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_an_event_that_is_again_as_it_was_delivered_sends_no_second_one() {
    let cursor: fn(&Table) -> Stage = |table| Stage::new(table, Idempotency::None, limits(), all_delivered());
    let by_comparison: fn(&Table) -> Stage = |table| {
        let mut stage = mirror(table, all_delivered());
        stage.import.removal = None;
        stage
    };
    for stage in [cursor, by_comparison] {
        let table = Table::default();
        table.put(1, "a", 5);
        let stage = stage(&table);
        stage.run().await;
        becomes(&table, 1, "b");
        stage.answers(rejecting());
        stage.run().await;
        becomes(&table, 1, "a");
        stage.answers(all_delivered());
        let retry = stage.retry(&table).await;
        assert_eq!((retry.counts.delivered, retry.counts.skipped), (0, 1));
        assert!(stage.failed_rows().await.is_empty());
        assert_eq!(stage.run().await.counts.delivered, 0);
        assert_eq!(stage.sent()[&1], 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_row_that_was_delivered_before_is_sent_by_a_retry_if_it_is_the_one_that_failed() {
    let table = Table::default();
    table.put(1, "a", 5);
    let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
    stage.run().await;
    stage.answers(rejecting());
    stage.run_until(CancellationToken::new(), Input::Everything).await;
    assert_eq!(stage.failed_rows().await, ["1"]);
    assert_eq!(stage.run().await.counts.skipped, 1);
    assert_eq!(stage.failed_rows().await, ["1"], "it was delivered, and rejected later");
    stage.answers(all_delivered());
    assert_eq!(stage.retry(&table).await.counts.delivered, 1);
    assert!(stage.failed_rows().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_a_rejected_row_whose_source_is_again_one_in_doubt_sends_nothing() {
    let table = Table::default();
    table.put(1, "a", 5);
    let stage = Stage::new(&table, Idempotency::None, limits(), losing());
    assert_eq!(stage.run().await.counts.in_doubt, 1);
    becomes(&table, 1, "b");
    stage.answers(rejecting());
    assert_eq!(stage.run().await.counts.rejected, 1);
    becomes(&table, 1, "a");
    stage.answers(all_delivered());
    assert_eq!(stage.run().await.counts.skipped, 1);
    assert_eq!(stage.reasons().await, ["bad"], "whether the platform has it is not known");
    let retry = stage.retry(&table).await;
    assert_eq!((retry.counts.delivered, retry.counts.in_doubt), (0, 1));
    assert_eq!(stage.reasons().await, ["response_lost"]);
    assert_eq!(stage.sent()[&1], 2);
    assert_eq!(stage.retry(&table).await.counts.delivered, 1, "asked for by `--in-doubt`");
}

#[tokio::test(start_paused = true)]
async fn two_rows_with_one_key_close_no_failed_row_for_each_other() {
    for first in [true, false] {
        let table = Table::default();
        table.put(1, "a", 5);
        let stage = Stage::new(&table, Idempotency::None, limits(), all_delivered());
        stage.run().await;
        stage.answers(rejecting());
        table.put(1, "b", if first { 6 } else { 4 });
        assert_eq!(stage.run().await.counts.rejected, 1);
        for _ in 0..3 {
            stage.run().await;
            assert_eq!(stage.failed_rows().await, ["1"], "the source has the rejected row, too");
        }
        assert_eq!(stage.reasons().await, ["bad"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_closes_a_failed_row_whose_source_is_again_what_the_platform_has() {
    let table = Table::of(0..3);
    let stage = mirror(&table, all_delivered());
    stage.run().await;
    becomes(&table, 1, "b");
    stage.answers(rejecting());
    stage.run().await;
    stage.run().await;
    assert_eq!(stage.failed_rows().await, ["1"]);
    becomes(&table, 1, "u1");
    stage.answers(all_delivered());
    assert_eq!(stage.run().await.counts.delivered, 0);
    assert!(stage.failed_rows().await.is_empty());
    // Beside a second row of its key, nothing says which one the platform has.
    table.put(1, "b", 9);
    stage.run().await;
    stage.run().await;
    assert_eq!(stage.failed_rows().await, ["1"]);
    table.0.lock().expect("no panic").pop();
    stage.run().await;
    assert!(stage.failed_rows().await.is_empty());
}
