//! The users of a history file as marks, four bytes of a hash for each. A file without the mark of a user
//! has no row of that user; one that has it may have some.

use std::path::Path;

use arrow_array::cast::AsArray as _;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use tidegate_model::Error;

use super::parquet::{of_parquet, strange};
use crate::codec::{Reader, Writer, damaged};
use crate::failure;
pub(crate) use crate::user_mark::mark_of;

/// Users of a file of which marks are kept. Larger files are few, and hold a filter of their users.
const USERS_MAX: usize = 10_000;
const MARK_BYTES: usize = 4;
const VERSION: u8 = 1;
/// The bits of a mark that are its shard.
const SHARD_BITS: u32 = 6;

/// Returns the shard of a mark. Shards are in the order of their marks.
pub(crate) fn shard_of(mark: u32) -> u32 {
    mark >> (u32::BITS - SHARD_BITS)
}

/// The users of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileUsers {
    /// The marks of all of them, lowest first.
    Few(Vec<u32>),
    /// More than are kept.
    Many,
}

/// Collects the users of a file.
#[derive(Default)]
pub(crate) struct UserMarks {
    marks: Vec<u32>,
    is_full: bool,
}

impl UserMarks {
    /// Adds the users of rows; empty for a row without one.
    pub(crate) fn add_all<'a>(&mut self, users: impl Iterator<Item = &'a str>) {
        if !self.is_full {
            users.for_each(|user| self.add(user));
        }
    }

    fn add(&mut self, user: &str) {
        if self.is_full || user.is_empty() {
            return;
        }
        let mark = mark_of(user);
        if self.marks.last() != Some(&mark) {
            self.marks.push(mark);
        }
        if self.marks.len() > 2 * USERS_MAX {
            self.arrange();
            self.is_full = self.marks.len() > USERS_MAX;
        }
    }

    /// Returns the users.
    pub(crate) fn finish(mut self) -> FileUsers {
        self.arrange();
        match self.is_full || self.marks.len() > USERS_MAX {
            true => FileUsers::Many,
            false => FileUsers::Few(self.marks),
        }
    }

    fn arrange(&mut self) {
        self.marks.sort_unstable();
        self.marks.dedup();
    }
}

/// Returns marks as one column.
pub(crate) fn column(marks: &[u32]) -> Vec<u8> {
    marks.iter().flat_map(|mark| mark.to_le_bytes()).collect()
}

/// Returns the marks of a column.
pub(crate) fn marks(column: &[u8]) -> impl Iterator<Item = u32> {
    column.as_chunks::<MARK_BYTES>().0.iter().map(|mark| u32::from_le_bytes(*mark))
}

/// Returns whether a column has a mark.
pub(crate) fn has(column: &[u8], mark: u32) -> bool {
    let marks = column.as_chunks::<MARK_BYTES>().0;
    marks.binary_search_by_key(&mark, |mark| u32::from_le_bytes(*mark)).is_ok()
}

/// Encodes marks of one shard and the numbers of their files, lowest first.
///
/// # Errors
/// If they do not fit into a frame.
pub(crate) fn encode(entries: &[(u32, u16)]) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::with_capacity(8 + 5 * entries.len());
    writer.number(entries.len());
    let mut last = 0;
    for (mark, file) in entries {
        writer.number((mark - last) as usize);
        writer.number(usize::from(*file));
        last = *mark;
    }
    writer.finish(VERSION)
}

/// Decodes what [`encode`] wrote.
///
/// # Errors
/// If the bytes are damaged.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<(u32, u16)>, Error> {
    let mut reader = Reader::open(bytes, VERSION)?;
    let count = reader.count(2)?;
    let mut entries = Vec::with_capacity(count);
    let mut mark = 0_u32;
    for _ in 0..count {
        let step = u32::try_from(reader.number()?).map_err(|_| damaged())?;
        mark = mark.checked_add(step).ok_or_else(damaged)?;
        entries.push((mark, u16::try_from(reader.number()?).map_err(|_| damaged())?));
    }
    reader.end()?;
    Ok(entries)
}

/// Reads the users of a file; `None` if there is no such file.
///
/// # Errors
/// If it cannot be read, or is no history file.
pub(crate) fn read(path: &Path) -> Result<Option<FileUsers>, Error> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(failure::of_io(cause, "reading", path)),
    };
    let fail = |cause: ParquetError| of_parquet(cause, "reading", path);
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(fail)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["user"]);
    let mut users = UserMarks::default();
    for batch in builder.with_projection(mask).build().map_err(fail)? {
        let batch = batch.map_err(|cause| fail(cause.into()))?;
        let column = batch.column_by_name("user").and_then(|column| column.as_string_opt::<i32>());
        users.add_all(column.ok_or_else(|| strange(path))?.iter().flatten());
    }
    Ok(Some(users.finish()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::tests::frame_of;

    #[test]
    fn users_of_a_file_are_kept_until_there_are_too_many() {
        let users = |count: usize, rows: usize| {
            let mut users = UserMarks::default();
            (0..rows).for_each(|row| users.add(&format!("user-{}", row % count)));
            users.add("");
            users.finish()
        };
        let FileUsers::Few(few) = users(3, 100_000) else { panic!("three users") };
        let mut expected = ["user-0", "user-1", "user-2"].map(mark_of);
        expected.sort_unstable();
        assert_eq!(few, expected);
        let column = column(&few);
        assert!(expected.iter().all(|mark| has(&column, *mark)) && !has(&column, mark_of("user-3")));
        assert!(marks(&column).eq(expected));
        assert_eq!(users(USERS_MAX + 100, 4 * USERS_MAX), FileUsers::Many);
        assert_eq!(users(USERS_MAX + 100, USERS_MAX + 100), FileUsers::Many);
    }

    proptest! {
        #[test]
        fn entries_of_a_shard_come_back(mut entries in prop::collection::vec((any::<u32>(), any::<u16>()), 0..200)) {
            entries.sort_unstable();
            prop_assert_eq!(decode(&encode(&entries).expect("small")).expect("whole"), entries);
        }

        #[test]
        fn no_content_makes_the_reader_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&frame_of(VERSION, &content));
            let _ = decode(&content);
        }
    }
}
