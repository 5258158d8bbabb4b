//! Merges sorted runs into one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tidegate_model::store::RowVersion;
use tidegate_model::{Error, RowHash};

use super::file::Rows;

/// Rows in the order of their keys.
pub(super) enum Sorted {
    /// Of blocks, from a row on.
    Memory {
        /// The rows.
        rows: Arc<[RowVersion]>,
        /// The next one.
        at: usize,
    },
    /// Of a file.
    File(Box<Rows>),
}

impl Sorted {
    fn next(&mut self) -> Result<Option<RowVersion>, Error> {
        match self {
            Sorted::Memory { rows, at } => {
                let row = rows.get(*at).copied();
                *at += 1;
                Ok(row)
            }
            Sorted::File(rows) => rows.next().transpose(),
        }
    }
}

/// Calls `push` with the rows of `inputs` in order. Of rows with one key those of the highest
/// generation count; one generation may have several, each different one once.
pub(super) fn merge(
    mut inputs: Vec<(u64, Sorted)>,
    mut push: impl FnMut(RowVersion) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut heap = BinaryHeap::with_capacity(inputs.len());
    for (at, (_, input)) in inputs.iter_mut().enumerate() {
        if let Some(row) = input.next()? {
            heap.push(Reverse((row, at)));
        }
    }
    let mut key: Option<RowHash> = None;
    let mut newest: Vec<(u64, RowVersion)> = Vec::new();
    while let Some(Reverse((row, at))) = heap.pop() {
        let (generation, input) = &mut inputs[at];
        if let Some(next) = input.next()? {
            heap.push(Reverse((next, at)));
        }
        if key != Some(row.key) {
            newest.drain(..).try_for_each(|(_, row)| push(row))?;
            key = Some(row.key);
        }
        let highest = newest.first().map(|(generation, _)| *generation);
        if highest.is_some_and(|highest| highest > *generation) {
            continue;
        }
        if highest.is_some_and(|highest| highest < *generation) {
            newest.clear();
        }
        if newest.last().is_none_or(|(_, last)| *last != row) {
            newest.push((*generation, row));
        }
    }
    newest.into_iter().try_for_each(|(_, row)| push(row))
}

/// Calls `push` as [`merge`] does, with the rows of those keys that are not gone.
pub(super) fn merge_live(
    inputs: Vec<(u64, Sorted)>,
    mut push: impl FnMut(RowVersion) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut of_key: Vec<RowVersion> = Vec::new();
    let mut flush = |of_key: &mut Vec<RowVersion>| {
        let is_gone = of_key.iter().any(|row| row.row.is_removed());
        of_key.drain(..).filter(|_| !is_gone).try_for_each(&mut push)
    };
    merge(inputs, |row| {
        if of_key.first().is_some_and(|first| first.key != row.key) {
            flush(&mut of_key)?;
        }
        of_key.push(row);
        Ok(())
    })?;
    flush(&mut of_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_the_newest_run_win_and_one_run_may_have_several() {
        let rows = |rows: &[(u128, u128)]| {
            let mut rows: Vec<RowVersion> =
                rows.iter().map(|(key, row)| RowVersion { key: RowHash(*key), row: RowHash(*row) }).collect();
            rows.sort_unstable();
            Sorted::Memory { rows: rows.into(), at: 0 }
        };
        let inputs = vec![
            (1, rows(&[(1, 9), (2, 8), (3, 7)])),
            (3, rows(&[(2, 1), (4, 4)])),
            (2, rows(&[(1, 5), (2, 6)])),
            (3, rows(&[(2, 0), (2, 1), (2, 1)])),
        ];
        let mut merged = Vec::new();
        merge(inputs, |row| {
            merged.push((row.key.0, row.row.0));
            Ok(())
        })
        .expect("merged");
        assert_eq!(merged, [(1, 5), (2, 0), (2, 1), (3, 7), (4, 4)]);
    }

    #[test]
    fn a_key_that_is_gone_has_no_row_and_one_that_came_back_has_its_last() {
        let rows = |rows: &[(u128, RowHash)]| {
            let rows: Vec<RowVersion> =
                rows.iter().map(|(key, row)| RowVersion { key: RowHash(*key), row: *row }).collect();
            Sorted::Memory { rows: rows.into(), at: 0 }
        };
        let (first, last) = (RowHash(1 << 8), RowHash(2 << 8));
        let inputs = vec![
            (1, rows(&[(1, first), (2, first), (3, first)])),
            (2, rows(&[(1, RowHash::REMOVED), (2, RowHash::REMOVED), (4, RowHash::REMOVED)])),
            (3, rows(&[(2, last)])),
        ];
        let mut merged = Vec::new();
        merge_live(inputs, |row| {
            merged.push((row.key.0, row.row));
            Ok(())
        })
        .expect("merged");
        assert_eq!(merged, [(2, last), (3, first)]);
    }
}
