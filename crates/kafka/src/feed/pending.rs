//! Batches between the client's thread and the feed.

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_model::{Columns, MalformedRecord, Origin, Row, Text};

use crate::partition::TopicPartition;
use crate::progress::LastMessage;

/// The rows of a future batch, in the order in which they were read.
#[derive(Debug, Default)]
pub(crate) struct PendingBatch {
    pub(crate) rows: Vec<Row>,
    /// The topic, partition and offset of each row.
    pub(crate) origins: Vec<Origin>,
    pub(crate) malformed: Vec<MalformedRecord>,
    pub(crate) runs: Vec<PartitionRun>,
    /// Bytes of keys and values.
    pub(crate) bytes: usize,
    /// The columns of the rows.
    columns: Option<Arc<Columns>>,
}

/// Consecutive messages of one partition.
#[derive(Debug)]
pub(crate) struct PartitionRun {
    pub(crate) partition: TopicPartition,
    /// The text before the offset in the location of a message.
    pub(crate) name: Text,
    /// The generation in which the partition was assigned: see `Session::generation`.
    pub(crate) generation: u64,
    /// Messages that became rows.
    pub(crate) rows: usize,
    /// Messages that could not be read.
    pub(crate) malformed: usize,
    /// All messages, including skipped ones.
    pub(crate) messages: u64,
    /// The offset after the last one.
    pub(crate) next: i64,
    /// When the last one was made.
    pub(crate) seen: Option<Timestamp>,
    /// The last one.
    pub(crate) last: Option<LastMessage>,
}

impl PendingBatch {
    /// Adds a row.
    pub(crate) fn push(&mut self, mut row: Row, origin: Origin) {
        self.origins.push(origin);
        row.columns = Arc::clone(self.columns.get_or_insert_with(|| row.columns.apart()));
        self.rows.push(row);
    }

    /// Adds a message that could not be read.
    pub(crate) fn push_malformed(&mut self, record: MalformedRecord) {
        self.malformed.push(MalformedRecord { items_before: self.rows.len(), ..record });
    }

    /// Returns whether no message was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Removes the rows of runs that are not wanted.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&PartitionRun) -> bool) {
        if self.runs.iter().all(&wanted) {
            return;
        }
        let (mut rows, mut malformed) =
            (std::mem::take(&mut self.rows).into_iter(), std::mem::take(&mut self.malformed).into_iter());
        let mut origins = std::mem::take(&mut self.origins).into_iter();
        let mut removed = 0;
        self.runs.retain(|run| {
            let (rows, malformed) = (rows.by_ref().take(run.rows), malformed.by_ref().take(run.malformed));
            let origins = origins.by_ref().take(run.rows);
            let keep = wanted(run);
            if keep {
                self.origins.extend(origins);
                self.rows.extend(rows);
                self.malformed.extend(malformed.map(|record| MalformedRecord {
                    items_before: record.items_before.saturating_sub(removed),
                    ..record
                }));
            } else {
                removed += run.rows;
                rows.for_each(drop);
                origins.for_each(drop);
                malformed.for_each(drop);
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::{Columns, Reason, Value};

    use super::*;

    #[test]
    fn a_run_that_is_removed_takes_only_its_own_rows_along() {
        let columns = Columns::new(["n"]);
        let row = |n| Row { columns: Arc::clone(&columns), values: vec![Value::Int(n)] };
        let run = |partition, rows, next| PartitionRun {
            partition: ("t".into(), partition),
            name: Text::new(),
            generation: 1,
            rows,
            malformed: usize::from(partition == 1),
            messages: 2,
            next,
            seen: None,
            last: None,
        };
        let mut pending = PendingBatch {
            rows: (0..5).map(row).collect(),
            origins: (0..5).map(|number| Origin::Location { name: Text::new(), number }).collect(),
            runs: vec![run(0, 2, 2), run(1, 2, 2), run(0, 1, 3)],
            malformed: vec![MalformedRecord {
                items_before: 3,
                ..MalformedRecord::new("t", "", Reason::new("torn", "no row"))
            }],
            ..PendingBatch::default()
        };

        pending.keep(|run| run.partition.1 == 1);

        assert_eq!(pending.rows, [row(2), row(3)]);
        let origins: Vec<String> = pending.origins.iter().map(Origin::to_string).collect();
        assert_eq!(origins, ["2", "3"]);
        assert_eq!(pending.runs.len(), 1);
        assert_eq!(pending.malformed[0].items_before, 1, "between the two rows, as before");
    }
}
