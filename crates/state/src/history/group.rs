//! The rows of one row group, on their way into a file.

use std::fs::File;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, FieldRef, Schema};
use jiff::Timestamp;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use tidegate_model::{ObjectKind, Reason, RowHash, RunId};

use super::block::Block;
use super::dictionary::DictionaryColumn;
use super::pages;
use super::status_runs::StatusRuns;

const RUN: &str = "run";
const OBJECT: &str = "object";
const STATUS: &str = "status";
const ROW_HASH: &str = "row_hash";

/// A row group under construction.
pub(super) struct Group {
    rows: usize,
    run: DictionaryColumn,
    object: DictionaryColumn,
    status: DictionaryColumn,
    /// All hashes, one after the other.
    hashes: Vec<u8>,
    /// The other columns, in the order of the schema.
    values: Vec<(FieldRef, ArrowColumnWriter)>,
}

/// The rows of one block as columns.
pub(super) struct Rows {
    statuses: StatusRuns,
    hashes: Vec<RowHash>,
    /// Those of [`Group::values`].
    values: [ArrayRef; 5],
}

impl Rows {
    /// Returns the rows of a block that was committed at `at`.
    pub(super) fn of(at: Timestamp, block: Block) -> Result<Rows, ArrowError> {
        let Block { statuses, rows, key_texts, users } = block;
        let times = TimestampMicrosecondArray::from_value(at.as_microsecond(), statuses.len());
        let values: [ArrayRef; 5] = [
            Arc::new(times.with_timezone("UTC")),
            Arc::new(users.into_array()?),
            Arc::new(key_texts.into_array()?),
            Arc::new(reasons(&statuses, |reason| &reason.code)),
            Arc::new(reasons(&statuses, |reason| &reason.message)),
        ];
        Ok(Rows { statuses, hashes: rows, values })
    }

    /// How many these are.
    pub(super) fn len(&self) -> usize {
        self.statuses.len()
    }
}

fn reasons(statuses: &StatusRuns, part: impl for<'a> Fn(&'a Reason) -> &'a str) -> StringArray {
    let mut builder = StringBuilder::with_capacity(statuses.len(), 0);
    for (status, rows) in statuses.runs() {
        match status.reason() {
            Some(reason) => builder.append_value_n(part(reason), rows),
            None => builder.append_nulls(rows),
        }
    }
    builder.finish()
}

impl Group {
    /// Begins a row group of a file.
    pub(super) fn begin(
        schema: &Schema,
        columns: &ArrowRowGroupWriterFactory,
        number: usize,
    ) -> Result<Group, ParquetError> {
        let fields = schema.fields().iter().cloned();
        let mut values: Vec<_> = fields.zip(columns.create_column_writers(number)?).collect();
        values.retain(|(field, _)| ![RUN, OBJECT, STATUS, ROW_HASH].contains(&field.name().as_str()));
        let (run, object, status) = Default::default();
        Ok(Group { rows: 0, run, object, status, hashes: Vec::new(), values })
    }

    /// How many rows it has.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Whether it takes rows of this run: its runs are numbered.
    pub(super) fn takes(&self, run: &RunId) -> bool {
        self.run.takes(run.as_str())
    }

    /// Adds rows of a run.
    pub(super) fn add(&mut self, run: &RunId, object: ObjectKind, rows: &Rows) -> Result<(), ParquetError> {
        self.rows += rows.len();
        self.run.add(run.as_str(), rows.len());
        self.object.add(object.as_str(), rows.len());
        for (status, rows) in rows.statuses.runs() {
            self.status.add(status.kind().as_str(), rows);
        }
        self.hashes.extend(rows.hashes.iter().flat_map(|hash| hash.0.to_be_bytes()));
        for ((field, column), values) in self.values.iter_mut().zip(&rows.values) {
            for leaf in compute_leaves(field, values)? {
                column.write(&leaf)?;
            }
        }
        Ok(())
    }

    /// Writes all columns to the file.
    pub(super) fn finish(self, file: &mut SerializedFileWriter<File>) -> Result<(), ParquetError> {
        let columns = file.schema_descr().columns().to_vec();
        let mut group = file.next_row_group()?;
        let Group { rows, run, object, status, mut hashes, values } = self;
        let mut values = values.into_iter();
        for column in columns {
            match column.name() {
                RUN => run.append(&column, &mut group)?,
                OBJECT => object.append(&column, &mut group)?,
                STATUS => status.append(&column, &mut group)?,
                ROW_HASH => {
                    let hashes = pages::values(std::mem::take(&mut hashes), rows, Encoding::PLAIN);
                    pages::append(&column, None, hashes, &mut group)?;
                }
                _ => {
                    if let Some((_, column)) = values.next() {
                        column.close()?.append_to_row_group(&mut group)?;
                    }
                }
            }
        }
        group.close()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::SyncId;
    use tidegate_model::store::{Delivered, RowResult, RowStatus, StatusKind};

    use super::*;
    use crate::history::parquet::{GROUP_ROWS, HistoryWriter};
    use crate::history::{Filter, block, read};

    /// This many delivered rows, then all statuses mixed.
    fn block(delivered: usize, mixed: usize) -> Block {
        let mut rows = Delivered::default();
        for row in 0..delivered {
            rows.push(row as u32, RowHash(0), RowHash(1), |out| out.push_str("key"), "ann");
        }
        let others = (0..mixed).map(|at| RowResult {
            key: RowHash(0),
            key_text: format!("key {at}").into(),
            row: RowHash(at as u128),
            user: format!("user {}", at % 7).into(),
            status: match at % 11 {
                0..5 => RowStatus::Rejected(Reason::new("no", format!("not {}", at % 3))),
                5 | 8 => RowStatus::InDoubt(Reason::new("lost", "no response")),
                _ => RowStatus::Delivered,
            },
            payload: None,
        });
        let encoded = block::encode(&[rows], &others.collect::<Vec<_>>()).expect("small");
        Block::decode(&encoded).expect("whole")
    }

    #[test]
    fn a_file_of_several_groups_gives_every_row_back() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("day/file.parquet");
        let sizes = [(20, 100), (GROUP_ROWS - 200, 0), (0, 90), (3, 1)];
        let (run, object) = (RunId::new("the run"), ObjectKind::Purchase);
        let mut writer = HistoryWriter::create(path.clone(), &SyncId::new("sync"), object).expect("made");
        let mut expected = Vec::new();
        for (seconds, (delivered, mixed)) in sizes.into_iter().enumerate() {
            let at = Timestamp::from_second(seconds as i64).expect("in range");
            for row in block(delivered, mixed).iter() {
                let reason = row.status.reason().map(|reason| (reason.code.clone(), reason.message.clone()));
                let (kind, user, key) = (row.status.kind(), row.user.to_owned(), row.key_text.to_owned());
                expected.push((at, kind, reason, user, key, row.row));
            }
            writer.write(at, &run, block(delivered, mixed)).expect("written");
        }
        writer.finish().expect("whole");

        let lines =
            |filter: &Filter| read::newest(&path, filter, usize::MAX).expect("readable").expect("there");
        let all = lines(&Filter::default());
        let rejected = lines(&Filter {
            user: Some("user 3".to_owned()),
            status: Some(StatusKind::Rejected),
            ..Filter::default()
        });

        expected.reverse();
        assert_eq!(all.len(), expected.len());
        for (line, expected) in all.iter().zip(&expected) {
            let entry = &line.entry;
            let reason = entry.reason.as_ref().map(|reason| (reason.code.clone(), reason.message.clone()));
            let (user, key) = (entry.user.clone(), entry.key.clone());
            assert_eq!((entry.at, entry.status, reason, user, key, line.row), *expected);
            assert_eq!((&entry.run, entry.object), (&run, object));
        }
        let wanted = expected.iter().filter(|row| row.1 == StatusKind::Rejected && row.3 == "user 3");
        assert_eq!(rejected.len(), wanted.count());
    }

    #[test]
    fn a_file_of_a_thousand_small_runs_names_the_run_of_every_row() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("day/file.parquet");
        let run = |number: usize| RunId::new(format!("run {number:04}"));
        let mut writer =
            HistoryWriter::create(path.clone(), &SyncId::new("sync"), ObjectKind::User).expect("made");
        for number in 0..1_000 {
            writer.write(Timestamp::UNIX_EPOCH, &run(number), block(1 + number % 3, 0)).expect("written");
        }
        writer.finish().expect("whole");

        let runs: Vec<RunId> =
            (read::newest(&path, &Filter::default(), usize::MAX).expect("readable").expect("there"))
                .into_iter()
                .map(|line| line.entry.run)
                .collect();

        let expected = (0..1_000).rev().flat_map(|number| vec![run(number); 1 + number % 3]);
        assert_eq!(runs, expected.collect::<Vec<_>>());
        let one = Filter { run: Some(run(500)), ..Filter::default() };
        assert_eq!(read::newest(&path, &one, usize::MAX).expect("readable").expect("there").len(), 3);
    }
}
