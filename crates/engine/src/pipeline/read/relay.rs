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
type Known = (Arc<Columns>, Arc<Columns>, Vec<Pick>);

/// Where the value of a column comes from.
struct Pick {
    /// The index among the values of the row; `None` if the row lacks the column.
    at: Option<usize>,
    /// Whether a later column has the same value: two names differ from one column by case alone.
    again: bool,
}

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
        let mut take = |pick: &Pick| {
            let value = row.values.get_mut(pick.at?)?;
            Some(if pick.again { value.clone() } else { std::mem::take(value) })
        };
        let values: Vec<Value> = order.iter().map(|pick| take(pick).unwrap_or(Value::Absent)).collect();
        (row.columns, row.values) = (Arc::clone(to), values);
    }

    fn order_of(&self, own: &Arc<Columns>) -> Known {
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
        let again = |place: usize, at| order[place + 1..].contains(at);
        let picks = order.iter().enumerate().map(|(place, at)| Pick { at: *at, again: again(place, at) });
        (Arc::clone(own), Columns::new(keys), picks.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_wanted_under_two_names_has_its_value_under_both() {
        let mut order = Order::new(Columns::new(["ID", "id"]));
        let mut row = Row { columns: Columns::new(["Id"]), values: vec![Value::Int(1)] };
        order.apply(&mut row);
        assert_eq!(row.values, [Value::Int(1), Value::Int(1)]);
    }

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
