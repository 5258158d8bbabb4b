//! The order in which the last comparison met rows that were as they had been committed. That of a first run
//! has all rows, since each of them was about to be sent: those that ended otherwise than delivered are excluded
//! when it is opened.
//!
//! A table in which little changed is read in the order of the time before. Then most rows are recognized
//! by eight bytes that are read in order, and need not be looked up in the sorted runs, which takes several
//! times as long as everything else that is done with a row.
//!
//! It only saves time. It may be lost, may be of another machine's runs or of rows that were committed
//! otherwise since: what it says of too many rows is found by the merge that ends each comparison.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use tidegate_model::store::{Known, RowVersion};
use tidegate_model::{Error, RowHash, SyncId};

use super::file::UNFINISHED;
use super::view::View;
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
/// The most rows of a first run that may have ended otherwise than delivered. With more of them, all are
/// looked up in the run after it.
const EXCLUDED_MAX: usize = 1 << 18;

/// An entry for each row that was met: bits of its key and hash, and how often it had changed. Zero stands
/// for a row that was not as it had been committed.
type Entry = u64;

/// The order of the last comparison, and that of this one.
pub(super) struct Order {
    path: PathBuf,
    last: Option<LastOrder>,
    next: Option<NextOrder>,
    /// Whether nothing is committed yet: all rows are about to be sent.
    is_first: bool,
    /// The keys of rows that are not recognized: those of a first run that were not delivered.
    excluded: HashSet<RowHash>,
}

impl Order {
    /// Opens the order of a sync's last comparison, and begins another. `rejected` are the keys of rows
    /// that were not delivered and are not among the committed ones. Blocks the thread.
    ///
    /// # Errors
    /// If what is committed has to be read, after a first run, and cannot be.
    pub(super) fn open(
        data: &Path,
        sync: &SyncId,
        committed: &View,
        rejected: &[RowHash],
    ) -> Result<Order, Error> {
        let path = path_of(data, sync);
        let next = NextOrder::create(&path).inspect_err(failed).ok();
        let mut order =
            Order { path, last: None, next, is_first: committed.is_empty(), excluded: HashSet::new() };
        if order.is_first {
            return Ok(order);
        }
        if let Ok(last) = File::open(&order.path) {
            order.last = Some(LastOrder::new(last));
        } else if let Ok(last) = File::open(order.path_of_first())
            && let Some(excluded) = not_delivered(committed, rejected)?
        {
            order.last = Some(LastOrder::new(last));
            order.excluded = excluded;
        }
        Ok(order)
    }

    /// The file of the order of a first run.
    fn path_of_first(&self) -> PathBuf {
        self.path.with_extension("first")
    }

    /// Returns what is known of each row that stands where it stood; `None` of the others.
    pub(super) fn recognize(&mut self, rows: &[RowVersion]) -> Vec<Option<Known>> {
        let Some(last) = &mut self.last else { return vec![None; rows.len()] };
        let known = |row: &RowVersion| {
            let changes = last.find(mark_of(row)).filter(|_| !self.excluded.contains(&row.key))?;
            Some(Known::One(row.row.unmarked().with_changes(changes)))
        };
        rows.iter().map(known).collect()
    }

    /// Notes rows that were met, and what was committed under their keys.
    pub(super) fn note(&mut self, rows: &[RowVersion], known: &[Known]) {
        let Some(next) = &mut self.next else { return };
        let entries = rows.iter().zip(known).map(|(row, known)| match known {
            Known::Nothing if self.is_first => mark_of(row),
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
        let _ = std::fs::remove_file(self.path_of_first());
        let _ = std::fs::remove_file(self.path);
    }

    /// Keeps the order of this comparison in place of the last one.
    pub(super) fn keep(mut self) {
        let next = self.next.take();
        let (first, later) = (self.path_of_first(), self.path);
        let (kept, other) = if self.is_first { (first, later) } else { (later, first) };
        let _ = std::fs::remove_file(other);
        if let Some(next) = next {
            let _ = next.keep(&kept).inspect_err(failed);
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

/// Returns the keys of rows of a first run that were not delivered, or of which more is known than that; `None`
/// if there are too many. All that is committed is read in order: that takes a small part of the time in
/// which each row would be looked up.
///
/// # Errors
/// If it cannot be read.
fn not_delivered(committed: &View, rejected: &[RowHash]) -> Result<Option<HashSet<RowHash>>, Error> {
    let mut keys: HashSet<RowHash> = rejected.iter().copied().take(EXCLUDED_MAX + 1).collect();
    let mut last = None;
    committed.scan(|RowVersion { key, row }| {
        let is_another = last.replace(key) == Some(key);
        let is_row = !row.is_row(RowHash::REMOVED) && !row.is_row(RowHash::UNCERTAIN);
        let is_delivered = row.is_delivered() && is_row && row.changes() == 0;
        if (is_another || !is_delivered) && keys.len() <= EXCLUDED_MAX {
            keys.insert(key);
        }
        Ok(())
    })?;
    Ok((keys.len() <= EXCLUDED_MAX).then_some(keys))
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
        Ok(NextOrder { unfinished, out })
    }

    fn write(&mut self, mut entries: impl Iterator<Item = Entry>) -> Result<(), Error> {
        let written = entries.try_for_each(|entry| self.out.write_all(&entry.to_le_bytes()));
        written.map_err(|cause| failure::of_io(cause, "writing the order of rows", &self.unfinished))
    }

    fn keep(mut self, path: &Path) -> Result<(), Error> {
        let kept = self.out.flush().and_then(|()| std::fs::rename(&self.unfinished, path));
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

    fn opened(data: &Path, committed: &[RowVersion], rejected: &[RowHash]) -> Order {
        Order::open(data, &SyncId::new("customers"), &View::of(committed.to_vec()), rejected).expect("opened")
    }

    /// Compares with the last order; returns which rows were recognized.
    fn compared(data: &Path, rows: &[RowVersion], committed: impl Fn(&RowVersion) -> Known) -> Vec<bool> {
        let mut order = opened(data, &[row(1 << 50)], &[]);
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
        let mut order = opened(data.path(), &rows, &[]);
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
    fn rows_of_a_first_run_are_recognized_in_the_second_unless_they_were_not_delivered() {
        let data = tempfile::tempdir().expect("a folder");
        let rows: Vec<RowVersion> = (0..10).map(row).collect();
        let not_recognized = |committed: &[RowVersion], rejected: &[RowHash]| {
            let mut order = opened(data.path(), &[], &[]);
            assert_eq!(order.recognize(&rows), vec![None; 10], "nothing is committed");
            order.note(&rows, &vec![Known::Nothing; 10]);
            order.keep();
            let known = opened(data.path(), committed, rejected).recognize(&rows);
            for (known, row) in known.iter().zip(&rows) {
                assert!(known.as_ref().is_none_or(|known| *known == Known::One(row.row)), "{known:?}");
            }
            (0..10).filter(|at| known[*at].is_none()).collect::<Vec<usize>>()
        };
        assert!(not_recognized(&rows, &[]).is_empty());
        let mut committed = rows.clone();
        committed[1].row = committed[1].row.rejected();
        committed[2].row = committed[2].row.in_doubt();
        committed[3].row = committed[3].row.with_changes(1);
        committed[4].row = RowHash::REMOVED;
        committed.push(RowVersion { key: rows[5].key, row: rows[6].row });
        committed[8].row = RowHash::UNCERTAIN;
        committed.remove(7);
        assert_eq!(not_recognized(&committed, &[rows[7].key]), [1, 2, 3, 4, 5, 7, 8]);
        let too_many: Vec<RowHash> = (0..=EXCLUDED_MAX as u128).map(|at| row(at << 20).key).collect();
        assert_eq!(not_recognized(&rows, &too_many).len(), 10);

        let order = opened(data.path(), &rows, &[]);
        order.keep();
        assert!(compared(data.path(), &rows, one).iter().all(|is| !is), "the order of the later one counts");
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
