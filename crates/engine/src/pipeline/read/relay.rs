//! Rows of a source that does not list all of its columns, laid out as the mapping expects.

use std::sync::Arc;

use futures_util::StreamExt;
use tidegate_model::{Columns, Feed, Row, Value};

/// Lays out the rows of a feed: `columns` first, then whatever else a row has.
pub(crate) fn laid_out(feed: Feed<Row>, columns: Arc<Columns>) -> Feed<Row> {
    let mut order = Order::new(columns);
    feed.map(move |batch| {
        batch.map(|mut batch| {
            batch.items.iter_mut().for_each(|row| order.apply(row));
            batch
        })
    })
    .boxed()
}

/// How rows with some columns are laid out.
pub(crate) struct Order {
    wanted: Arc<Columns>,
    /// The columns of the last row, the columns that it gets, and where each of these comes from.
    last: Option<Known>,
}

/// The columns of a row, the columns that it gets, and where each of these comes from.
type Known = (Arc<Columns>, Arc<Columns>, Vec<Option<usize>>);

impl Order {
    /// Puts `wanted` in front.
    pub(crate) fn new(wanted: Arc<Columns>) -> Order {
        Order { wanted, last: None }
    }

    /// Lays out a row. A column that it lacks is null.
    pub(crate) fn apply(&mut self, row: &mut Row) {
        if !self.last.as_ref().is_some_and(|(from, ..)| Arc::ptr_eq(from, &row.columns)) {
            self.last = Some(self.order_of(&row.columns));
        }
        let Some((from, to, order)) = &self.last else { return };
        if Arc::ptr_eq(from, to) {
            return;
        }
        let take = |at: &Option<usize>| at.and_then(|at| row.values.get_mut(at)).map(std::mem::take);
        let values: Vec<Value> = order.iter().map(take).map(|value| value.unwrap_or(Value::Absent)).collect();
        (row.columns, row.values) = (Arc::clone(to), values);
    }

    fn order_of(&self, own: &Arc<Columns>) -> (Arc<Columns>, Arc<Columns>, Vec<Option<usize>>) {
        if own.names().starts_with(self.wanted.names()) {
            return (Arc::clone(own), Arc::clone(own), Vec::new());
        }
        let mut order: Vec<Option<usize>> =
            self.wanted.names().iter().map(|name| own.position(name)).collect();
        let mut keys = self.wanted.names().to_vec();
        for (at, name) in own.names().iter().enumerate() {
            if !order.contains(&Some(at)) {
                order.push(Some(at));
                keys.push(name.clone());
            }
        }
        (Arc::clone(own), Columns::new(keys), order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_columns_come_first_and_others_follow() {
        let mut order = Order::new(Columns::new(["id", "late"]));
        let names = |keys: &[&str]| keys.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let row = |keys: &[&str], values: &[i64]| Row {
            columns: Columns::new(keys.iter().copied()),
            values: values.iter().copied().map(Value::Int).collect(),
        };
        for (mut given, keys, values) in [
            (row(&["id"], &[1]), names(&["id", "late"]), vec![Value::Int(1), Value::Absent]),
            (
                row(&["x", "late", "id"], &[7, 5, 1]),
                names(&["id", "late", "x"]),
                [1, 5, 7].map(Value::Int).to_vec(),
            ),
            (
                row(&["id", "late", "x"], &[1, 5, 7]),
                names(&["id", "late", "x"]),
                [1, 5, 7].map(Value::Int).to_vec(),
            ),
        ] {
            order.apply(&mut given);
            assert_eq!((given.columns.names().to_vec(), given.values), (keys, values));
        }
    }
}
