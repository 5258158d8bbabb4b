//! Parquet, row group by row group.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidegate_model::source::Column;
use tidegate_model::{Error, ErrorKind, Reason, Row, Value};

use super::arrow;
use super::offsets::FileOffset;
use super::reading::{Open, Output, Stop};
use super::shape::Layout;

/// Rows that are decoded at a time.
const DECODE_ROWS: usize = 1_024;

/// The columns of a file.
///
/// # Errors
/// A file that is no Parquet file.
pub fn columns(file: File, path: &Path) -> Result<Vec<Column>, Error> {
    let builder = builder(file, path)?;
    let fields = builder.schema().fields().iter();
    Ok(fields
        .map(|field| Column {
            name: field.name().clone(),
            data_type: arrow::data_type(field.data_type()),
            type_name: field.data_type().to_string(),
        })
        .collect())
}

fn builder(file: File, path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, Error> {
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|cause| broken(path, &cause))
}

fn broken(path: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unexpected, format!("{} cannot be read as Parquet: {cause}", path.display()))
        .hint("write the file under another name first and rename it when it is complete")
}

/// Reads a file on from its mark.
///
/// # Errors
/// What keeps it from being read.
pub fn read(mut open: Open<'_>, output: &mut Output) -> Result<(), Stop> {
    let path = &open.found.path;
    let builder = builder(open.content()?, path)?;
    let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let layout = Layout::new(open.columns, &names);
    // Only a file that has not changed at all is read on.
    let unchanged = open.mark.covered == open.found.size;
    let mut at = if unchanged { open.mark.offset } else { 0 };
    let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default();
    let reader = builder
        .with_batch_size(DECODE_ROWS)
        .with_offset(usize::try_from(at).unwrap_or(usize::MAX))
        .build()
        .map_err(|cause| broken(path, &cause))?;
    let covered = open.found.size;
    let known = FileOffset { covered, ..open.mark.clone() };
    for chunk in reader {
        let chunk = chunk.map_err(|cause| broken(&open.found.path, &cause))?;
        for index in 0..chunk.num_rows() {
            let mut values = layout.empty_row();
            let mut wrong = None;
            for (column, target) in chunk.columns().iter().zip(&layout.indexes) {
                values[*target] = arrow::value(column, index).unwrap_or_else(|reason| {
                    wrong.get_or_insert(reason);
                    Value::Null
                });
            }
            at += 1;
            let row = Row { columns: Arc::clone(&layout.columns), values };
            match wrong {
                None => output.row(row),
                Some(reason) => report(output, &open, at, &row, reason),
            }
            if output.is_full() {
                output.reached(&mut open, FileOffset { offset: at, done: at >= total, ..known.clone() })?;
            }
        }
    }
    output.reached(&mut open, FileOffset { offset: at, done: true, ..known })
}

fn report(output: &mut Output, open: &Open<'_>, number: u64, row: &Row, reason: Reason) {
    output.malformed(format!("{}, row {number}", open.found.name), row.to_json().as_str().to_owned(), reason);
}
