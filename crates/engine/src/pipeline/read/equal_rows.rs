//! Numbers rows that nothing tells apart.

use std::cmp::Ordering;

use tidegate_model::{RowHash, Value};

use crate::pipeline::hashed::HashedMap;

/// How often each row was read so far.
///
/// Rows that are equal have one cursor value: once a higher one is read, those before are
/// forgotten.
#[derive(Default)]
pub(crate) struct EqualRows {
    counts: HashedMap<RowHash, u64>,
    at: Option<Value>,
}

impl EqualRows {
    /// Returns how many equal rows were read before this one. Beyond `max` different rows of one
    /// cursor value, further ones are not counted.
    pub(crate) fn number(&mut self, row: RowHash, cursor: Option<&Value>, max: usize) -> u64 {
        if let Some(value) = cursor.filter(|value| !value.is_null())
            && self.at.as_ref().is_none_or(|at| value.compare(at) == Some(Ordering::Greater))
        {
            self.at = Some(value.clone());
            self.counts.clear();
        }
        if self.counts.len() >= max && !self.counts.contains_key(&row) {
            return 0;
        }
        let count = self.counts.entry(row).or_default();
        *count += 1;
        *count - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_are_numbered_and_those_of_earlier_cursor_values_forgotten() {
        let mut rows = EqualRows::default();
        let mut number = |row, at| rows.number(RowHash(row), Some(&Value::Int(at)), usize::MAX);
        let numbers = [number(1, 5), number(2, 5), number(1, 5), number(1, 5), number(1, 6), number(1, 6)];
        assert_eq!(numbers, [0, 0, 1, 2, 0, 1]);
        assert_eq!(rows.counts.len(), 1);
        let mut number = |row, max| rows.number(RowHash(row), None, max);
        assert_eq!((number(1, 10), number(3, 10)), (2, 0));
        assert_eq!((number(4, 2), number(4, 2), number(3, 2)), (0, 0, 1), "no more than two");
    }
}
