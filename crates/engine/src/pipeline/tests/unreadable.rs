//! Rows that can only be read in part keep their key, their user and their cursor.

use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_model::{MalformedRecord, PartialRow};

use super::*;

/// A table in which one column of some rows cannot be read.
struct Damaged {
    table: Table,
    /// The index of that column.
    column: usize,
    /// Rows with this cursor or a higher one are damaged.
    from: Arc<AtomicUsize>,
}

#[async_trait]
impl Source for Damaged {
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        self.table.check(selection).await
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        self.table.discover().await
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        self.table.describe(selection).await
    }

    async fn read(&self, selection: &Selection, mode: &ReadMode, rows: usize) -> Result<Feed<Row>, Error> {
        let (column, from) = (self.column, self.from.load(Ordering::SeqCst) as i64);
        let feed = self.table.read(selection, mode, rows).await?;
        let damage = move |batch: Batch<Row>| {
            let mut read = Batch::of(Vec::new());
            for mut row in batch.items {
                if row.values[2].compare(&Value::Int(from)).is_some_and(std::cmp::Ordering::is_lt) {
                    read.items.push(row);
                    continue;
                }
                row.values[column] = Value::Bytes(bytes::Bytes::from(format!("{:?}", row.values)));
                let row = PartialRow { row, unreadable: vec![column], origin: None };
                let reason = Reason::new("unreadable", "cannot be read");
                read.push_malformed(MalformedRecord::partial("t, column", reason, row));
            }
            read
        };
        Ok(feed.map(move |batch| batch.map(&damage)).boxed())
    }
}

fn damaged(column: usize, from: usize) -> (Stage, Arc<AtomicUsize>) {
    damaged_table(&Table::of(0..20), column, from)
}

fn damaged_table(table: &Table, column: usize, from: usize) -> (Stage, Arc<AtomicUsize>) {
    let mut stage = Stage::new(table, Idempotency::None, limits(), all_delivered());
    let from = Arc::new(AtomicUsize::new(from));
    stage.import.source = Arc::new(Damaged { table: table.clone(), column, from: from.clone() });
    (stage, from)
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_row_is_one_failed_row_under_its_key_and_closes_once_it_is_fixed() {
    let (stage, from) = damaged(2, 19);
    for run in 0..3 {
        let counts = stage.run().await.counts;
        assert_eq!(counts.rejected, u64::from(run == 0), "told once: {counts:?}");
        assert_eq!(stage.failed_rows().await, ["19"], "{run}");
    }
    let failed = stage.store.failed_rows(&SyncId::new("s")).await.expect("failed rows");
    assert_eq!(failed[0].entry.user, "u4", "who failed can be told");

    from.store(100, Ordering::SeqCst);
    assert_eq!(stage.run().await.counts.delivered, 1);
    assert!(stage.failed_rows().await.is_empty());
    assert_eq!(stage.sent(), once(0..20));
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_unreadable_rows_alone_moves_the_cursor() {
    let (stage, from) = damaged(1, 0);
    let first = stage.run().await.counts;
    assert_eq!((first.rejected, first.delivered), (20, 0));
    let second = stage.run().await.counts;
    assert_eq!((second.rejected, second.skipped), (0, 11), "only the lookback is read again: {second:?}");
    assert_eq!(stage.failed_rows().await.len(), 20, "each under its own key");

    from.store(100, Ordering::SeqCst);
    assert_eq!(stage.run().await.counts.delivered, 11);
    assert_eq!(stage.failed_rows().await.len(), 9, "those before the lookback wait for a retry");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_unreadable_for_a_while_is_not_sent_as_a_second_event() {
    for (changed, rejected) in [(Changed::Send, 1), (Changed::Ignore, 0)] {
        let (mut stage, from) = damaged(1, 100);
        stage.import.changed = changed;
        assert_eq!(stage.run().await.counts.delivered, 20);

        from.store(19, Ordering::SeqCst);
        let counts = stage.run().await.counts;
        assert_eq!((counts.rejected, counts.rejected + counts.ignored), (rejected, 1), "{counts:?}");

        from.store(100, Ordering::SeqCst);
        let counts = stage.run().await.counts;
        assert_eq!((counts.delivered, counts.skipped), (0, 11), "{counts:?}");
        assert_eq!(stage.sent(), once(0..20));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_change_that_follows_a_delivered_row_in_one_batch_is_a_failed_row() {
    let table = Table::of(0..20);
    table.put(7, "u2", 30);
    let (stage, _) = damaged_table(&table, 1, 30);
    let counts = stage.run().await.counts;
    assert_eq!((counts.delivered, counts.rejected), (20, 1));
    assert_eq!(stage.failed_rows().await, ["7"]);
}

#[tokio::test(start_paused = true)]
async fn a_delivered_row_that_follows_an_unreadable_one_in_one_batch_leaves_no_failed_row() {
    let table = Table::default();
    table.put(1, "u1", 1);
    table.put(7, "u2", 30);
    table.put(7, "u2", 2);
    let (mut stage, _) = damaged_table(&table, 1, 30);
    stage.import.tracking = ChangeTracking::Full;
    let counts = stage.run().await.counts;
    assert_eq!((counts.delivered, counts.rejected), (2, 1));
    assert!(stage.failed_rows().await.is_empty(), "the last row under a key decides");
}
