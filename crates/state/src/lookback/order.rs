//! The order in which the last comparison met rows that were as they had been committed.
//!
//! A table in which little changed is read in the order of the time before. Then most rows are recognized
//! by eight bytes that are read in order, and need not be looked up in the sorted runs, which takes several
//! times as long as everything else that is done with a row.
//!
//! It only saves time. It may be lost, may be of another machine's runs or of rows that were committed
//! otherwise since: what it says of too many rows is found by the merge that ends each comparison.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use tidegate_model::store::{Known, RowVersion};
use tidegate_model::{Error, RowHash, SyncId};

use super::file::UNFINISHED;
use crate::{failure, folder};

/// How far ahead a row is looked for: rows between may have moved or be gone.
const NEAR: usize = 64;
/// How far ahead it is looked for when many were not found.
const FAR: usize = 64 << 10;
/// The number of rows that were not found after which that is done.
const MISSES: u32 = 256;
const BUFFER_BYTES: usize = 1 << 17;
/// The number of changes, at the end of each entry.
const CHANGES: u64 = 0x3f;

/// An entry for each row that was met: bits of its key and hash, and how often it had changed. Zero stands
/// for a row that was not as it had been committed.
type Entry = u64;

/// The order of the last comparison, and that of this one.
pub(super) struct Order {
    path: PathBuf,
    last: Option<LastOrder>,
    next: Option<NextOrder>,
}

impl Order {
    /// Opens the order of a sync's last comparison, and begins another. Blocks the thread.
    pub(super) fn open(data: &Path, sync: &SyncId) -> Order {
        let path = path_of(data, sync);
        let last = File::open(&path).ok().map(LastOrder::new);
        let next = NextOrder::create(&path).inspect_err(failed).ok();
        Order { path, last, next }
    }

    /// Returns what is known of each row that stands where it stood; `None` of the others.
    pub(super) fn recognize(&mut self, rows: &[RowVersion]) -> Vec<Option<Known>> {
        let Some(last) = &mut self.last else { return vec![None; rows.len()] };
        let known = |row: &RowVersion| {
            let changes = last.find(mark_of(row))?;
            Some(Known::One(row.row.unmarked().with_changes(changes)))
        };
        rows.iter().map(known).collect()
    }

    /// Notes rows that were met, and what was committed under their keys.
    pub(super) fn note(&mut self, rows: &[RowVersion], known: &[Known]) {
        let Some(next) = &mut self.next else { return };
        let entries = rows.iter().zip(known).map(|(row, known)| match known {
            Known::One(known) if known.is_row(row.row) && known.is_delivered() => {
                mark_of(row) | u64::from(known.changes())
            }
            _ => 0,
        });
        if next.write(entries).inspect_err(failed).is_err() {
            self.next = None;
        }
    }

    /// Keeps neither this order nor the last one, which was overtaken.
    pub(super) fn forget(self) {
        let _ = std::fs::remove_file(self.path);
    }

    /// Keeps the order of this comparison in place of the last one.
    pub(super) fn keep(self) {
        if let Some(next) = self.next {
            let _ = next.keep().inspect_err(failed);
        }
    }
}

/// The file of a sync's order.
fn path_of(data: &Path, sync: &SyncId) -> PathBuf {
    data.join("compared").join(format!("{}.order", folder::file_name(sync.as_str())))
}

fn failed(error: &Error) {
    tracing::debug!(error = error.chain(), "the order of rows is not kept: the next comparison takes longer");
}

/// What tells a row from others, without the number of its changes. Never zero.
fn mark_of(row: &RowVersion) -> u64 {
    let RowHash(mixed) = RowHash(row.key.0.rotate_left(64) ^ row.row.unmarked().0);
    let mark = ((mixed >> 64) as u64) & !CHANGES;
    if mark == 0 { CHANGES + 1 } else { mark }
}

/// The order of the last comparison, as it is read.
struct LastOrder {
    input: BufReader<File>,
    ahead: VecDeque<Entry>,
    misses: u32,
}

impl LastOrder {
    fn new(file: File) -> LastOrder {
        let input = BufReader::with_capacity(BUFFER_BYTES, file);
        LastOrder { input, ahead: VecDeque::new(), misses: 0 }
    }

    /// Returns how often a row had changed, if it is ahead. Entries in front of it are passed over.
    fn find(&mut self, mark: u64) -> Option<u8> {
        let near = self.find_within(mark, NEAR);
        if near.is_some() {
            self.misses = 0;
            return near;
        }
        self.misses += 1;
        if self.misses.is_multiple_of(MISSES) { self.find_within(mark, FAR) } else { None }
    }

    fn find_within(&mut self, mark: u64, entries: usize) -> Option<u8> {
        while self.ahead.len() < entries && self.read_more() {}
        let at = self.ahead.iter().take(entries).position(|entry| entry & !CHANGES == mark)?;
        let entry = self.ahead.drain(..=at).next_back()?;
        u8::try_from(entry & CHANGES).ok()
    }

    /// Returns whether there was more. A file that cannot be read further is at its end.
    fn read_more(&mut self) -> bool {
        let mut entry = [0; 8];
        let read = self.input.read_exact(&mut entry).is_ok();
        self.ahead.extend(read.then(|| u64::from_le_bytes(entry)));
        read
    }
}

/// The order of a comparison, as it is written. Nothing stays of it unless it is kept.
struct NextOrder {
    path: PathBuf,
    unfinished: PathBuf,
    out: BufWriter<File>,
}

impl NextOrder {
    fn create(path: &Path) -> Result<NextOrder, Error> {
        let unfinished = path.with_extension(format!("order.{}.{UNFINISHED}", uuid::Uuid::new_v4().simple()));
        let created =
            path.parent().map_or(Ok(()), folder::create).and_then(|()| folder::create_file(&unfinished));
        let out = created.map_err(|cause| failure::of_io(cause, "writing the order of rows", &unfinished))?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, out);
        Ok(NextOrder { path: path.to_path_buf(), unfinished, out })
    }

    fn write(&mut self, mut entries: impl Iterator<Item = Entry>) -> Result<(), Error> {
        let written = entries.try_for_each(|entry| self.out.write_all(&entry.to_le_bytes()));
        written.map_err(|cause| failure::of_io(cause, "writing the order of rows", &self.unfinished))
    }

    fn keep(mut self) -> Result<(), Error> {
        let kept = self.out.flush().and_then(|()| std::fs::rename(&self.unfinished, &self.path));
        kept.map_err(|cause| failure::of_io(cause, "writing the order of rows", &self.unfinished))
    }
}

impl Drop for NextOrder {
    /// Removes what was not kept.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u128) -> RowVersion {
        let hash =
            |salt: u128| RowHash((number + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        RowVersion { key: hash(1), row: hash(2).unmarked() }
    }

    /// Compares with the last order; returns which rows were recognized.
    fn compared(data: &Path, rows: &[RowVersion], committed: impl Fn(&RowVersion) -> Known) -> Vec<bool> {
        let mut order = Order::open(data, &SyncId::new("customers"));
        let mut recognized = Vec::new();
        for rows in rows.chunks(100) {
            let known = order.recognize(rows);
            recognized.extend(known.iter().map(Option::is_some));
            let known: Vec<Known> = rows.iter().map(&committed).collect();
            order.note(rows, &known);
        }
        order.keep();
        recognized
    }

    fn one(row: &RowVersion) -> Known {
        Known::One(row.row.with_changes(3))
    }

    #[test]
    fn rows_that_stand_where_they_stood_are_recognized_with_the_number_of_their_changes() {
        let data = tempfile::tempdir().expect("a folder");
        let rows: Vec<RowVersion> = (0..1_000).map(row).collect();
        assert!(!compared(data.path(), &rows, one).contains(&true), "nothing was met before");
        assert!(!compared(data.path(), &rows, one).contains(&false));
        let mut order = Order::open(data.path(), &SyncId::new("customers"));
        assert_eq!(order.recognize(&rows[..1]), [Some(Known::One(rows[0].row.with_changes(3)))]);
    }

    #[test]
    fn a_row_that_was_not_as_committed_is_not_recognized_and_neither_is_one_that_was_not_delivered() {
        let data = tempfile::tempdir().expect("a folder");
        let rows: Vec<RowVersion> = (0..10).map(row).collect();
        compared(data.path(), &rows, |row| match row {
            row if *row == rows[3] => Known::Nothing,
            row if *row == rows[5] => Known::One(row.row.rejected()),
            row if *row == rows[6] => Known::One(row.row.in_doubt()),
            row if *row == rows[7] => Known::One(rows[0].row),
            row => one(row),
        });
        let recognized = compared(data.path(), &rows, one);
        let not: Vec<usize> = (0..10).filter(|at| !recognized[*at]).collect();
        assert_eq!(not, [3, 5, 6, 7]);
    }

    #[test]
    fn what_moved_is_new_or_is_gone_does_not_hide_the_rest() {
        let data = tempfile::tempdir().expect("a folder");
        let mut rows: Vec<RowVersion> = (0..100_000).map(row).collect();
        compared(data.path(), &rows, one);
        // One moves to the end, one is new, and many are gone.
        let moved = rows.remove(50);
        rows.push(moved);
        rows.insert(70, row(1 << 40));
        rows.drain(1_000..31_000);
        let recognized = compared(data.path(), &rows, one);
        let not = recognized.iter().filter(|recognized| !**recognized).count();
        assert!(recognized[40] && !recognized[70] && recognized[71] && recognized[900]);
        assert!(not <= 2 + MISSES as usize, "{not}");
    }

    #[test]
    fn an_order_that_is_damaged_is_none() {
        let data = tempfile::tempdir().expect("a folder");
        let rows: Vec<RowVersion> = (0..10).map(row).collect();
        compared(data.path(), &rows, one);
        std::fs::write(path_of(data.path(), &SyncId::new("customers")), b"damaged").expect("written");
        assert!(!compared(data.path(), &rows, one).contains(&true));
    }
}
