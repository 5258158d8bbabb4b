//! Messages on their way from the client's thread to the engine.

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_model::{Columns, Row, Unreadable};

use crate::progress::Part;

/// What a batch will be made of, in the order it was read.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) rows: Vec<Row>,
    pub(crate) unreadable: Vec<Unreadable>,
    pub(crate) stretches: Vec<Stretch>,
    /// Bytes of keys and values.
    pub(crate) bytes: usize,
    /// The columns of the rows.
    columns: Option<Arc<Columns>>,
}

/// Messages of one partition that follow each other.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) part: Part,
    /// When the partition became ours: see [`super::Session::tenure`].
    pub(crate) tenure: u64,
    /// Messages that became rows.
    pub(crate) rows: usize,
    /// Messages that could not be read.
    pub(crate) unreadable: usize,
    /// All messages, those included that were passed over.
    pub(crate) messages: u64,
    /// The offset behind the last one.
    pub(crate) next: i64,
    /// When the last one was made.
    pub(crate) seen: Option<Timestamp>,
}

impl Gathered {
    /// Adds a row.
    pub(crate) fn push(&mut self, mut row: Row) {
        row.columns = Arc::clone(self.columns.get_or_insert_with(|| row.columns.apart()));
        self.rows.push(row);
    }

    /// Whether no message was seen at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Takes out the rows of stretches that are not wanted.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&Stretch) -> bool) {
        if self.stretches.iter().all(&wanted) {
            return;
        }
        let (mut rows, mut unreadable) =
            (std::mem::take(&mut self.rows).into_iter(), std::mem::take(&mut self.unreadable).into_iter());
        self.stretches.retain(|stretch| {
            let (rows, unreadable) =
                (rows.by_ref().take(stretch.rows), unreadable.by_ref().take(stretch.unreadable));
            let keep = wanted(stretch);
            if keep {
                self.rows.extend(rows);
                self.unreadable.extend(unreadable);
            } else {
                rows.for_each(drop);
                unreadable.for_each(drop);
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::{Columns, Value};

    use super::*;

    #[test]
    fn what_is_taken_out_takes_only_its_own_rows_along() {
        let columns = Columns::new(["n"]);
        let row = |n| Row { columns: Arc::clone(&columns), values: vec![Value::Int(n)] };
        let stretch = |partition, rows, next| Stretch {
            part: ("t".into(), partition),
            tenure: 1,
            rows,
            unreadable: 0,
            messages: 2,
            next,
            seen: None,
        };
        let mut gathered = Gathered {
            rows: (0..5).map(row).collect(),
            stretches: vec![stretch(0, 2, 2), stretch(1, 2, 2), stretch(0, 1, 3)],
            ..Gathered::default()
        };

        gathered.keep(|stretch| stretch.part.1 == 1);

        assert_eq!(gathered.rows, [row(2), row(3)]);
        assert_eq!(gathered.stretches.len(), 1);
    }
}
