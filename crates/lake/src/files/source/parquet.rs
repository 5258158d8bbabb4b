//! Parquet, row group by row group.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;
use tidegate_model::source::Column;
use tidegate_model::{Origin, PartialRow, Reason, Row, Value};
use tidegate_transport::arrow;

use super::content::Broken;
use super::handle::Handle;
use super::leaves::Leaves;
use super::open::{Open, Stop};
use super::output::{BATCH_BYTES, Output};
use super::shape::Layout;

/// Rows that are decoded at a time, at most.
const DECODE_ROWS: usize = 1_024;

/// Returns the columns of a file.
///
/// # Errors
/// If it is no Parquet file.
pub fn columns(file: &Handle) -> Result<Vec<Column>, Broken> {
    let shape = Shape::of(file)?;
    let fields = shape.first.schema().fields().iter().enumerate();
    Ok(fields
        .map(|(at, field)| Column {
            name: field.name().clone(),
            data_type: shape.leaves.data_type(at, field),
            type_name: field.data_type().to_string(),
        })
        .collect())
}

fn broken(cause: &dyn std::fmt::Display) -> Broken {
    let message = format!("it cannot be read as Parquet: {cause}");
    Broken::Content(Reason::new("broken_file", message))
}

/// What the end of a file says.
struct Shape {
    /// How its columns are read.
    first: ArrowReaderMetadata,
    /// How those are read that one reading does not tell completely.
    second: Option<ArrowReaderMetadata>,
    leaves: Leaves,
}

impl Shape {
    fn of(file: &impl ChunkReader) -> Result<Shape, Broken> {
        let plain =
            ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).map_err(|cause| broken(&cause))?;
        let leaves = Leaves::of(plain.schema(), plain.parquet_schema());
        if !leaves.need_two() {
            return Ok(Shape { first: plain, second: None, leaves });
        }
        let as_schema = |schema| {
            let options = ArrowReaderOptions::new().with_schema(schema);
            ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options)
                .map_err(|cause| broken(&cause))
        };
        let first = as_schema(leaves.first(plain.schema()))?;
        let second = as_schema(leaves.second(plain.schema()))?;
        Ok(Shape { first, second: Some(second), leaves })
    }
}

/// Reads a file on from its mark.
///
/// # Errors
/// What keeps it from being read.
pub fn read(open: &mut Open<'_>, output: &mut Output) -> Result<(), Stop> {
    // Pages are read here and there: those of an object from a copy.
    let file = open.on_disk()?;
    let shape = Shape::of(&file)?;
    let names: Vec<String> = shape.first.schema().fields().iter().map(|field| field.name().clone()).collect();
    let own = names.len();
    // Only a file that has not changed at all is read on.
    if open.mark.covered != open.found.size {
        open.mark.offset = 0;
    }
    let total = u64::try_from(shape.first.metadata().file_metadata().num_rows()).unwrap_or_default();
    let rows = rows_at_a_time(shape.first.metadata());
    let reader = |metadata: &ArrowReaderMetadata, mask: Option<ProjectionMask>| -> Result<_, Broken> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            file.try_clone().map_err(Broken::System)?,
            metadata.clone(),
        );
        let mask = mask.unwrap_or_else(ProjectionMask::all);
        let offset = usize::try_from(open.mark.offset).unwrap_or(usize::MAX);
        let builder = builder.with_projection(mask).with_batch_size(rows).with_offset(offset);
        builder.build().map_err(|cause| broken(&cause))
    };
    let first = reader(&shape.first, None)?;
    let second = match &shape.second {
        None => None,
        Some(metadata) => {
            let mask = ProjectionMask::roots(metadata.parquet_schema(), shape.leaves.twice());
            Some(reader(metadata, Some(mask))?)
        }
    };
    let layout = Layout::new(open.columns, &open.with_folders(names));
    for chunk in (Chunks { first, second, leaves: &shape.leaves }) {
        let columns = chunk?;
        for index in 0..columns.first().map_or(0, |column| column.len()) {
            row(&columns, index, &layout, own, open, output);
            open.mark.done = open.mark.offset >= total;
            if output.is_full() {
                output.reached(open, true)?;
            }
        }
    }
    open.mark.done = true;
    output.reached(open, true)
}

/// As many as fill about one batch.
fn rows_at_a_time(metadata: &ParquetMetaData) -> usize {
    let bytes: i64 = metadata.row_groups().iter().map(|group| group.total_byte_size()).sum();
    let rows = metadata.file_metadata().num_rows().max(1);
    let bytes_of_a_row = usize::try_from(bytes / rows).unwrap_or_default().max(1);
    (BATCH_BYTES / bytes_of_a_row).clamp(1, DECODE_ROWS)
}

/// Columns of some rows at a time, as values are taken from them.
struct Chunks<'a> {
    first: ParquetRecordBatchReader,
    second: Option<ParquetRecordBatchReader>,
    leaves: &'a Leaves,
}

impl Iterator for Chunks<'_> {
    type Item = Result<Vec<ArrayRef>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.first.next()?;
        let second = self.second.as_mut().and_then(Iterator::next).transpose();
        let whole = |first: RecordBatch, second: Option<RecordBatch>| {
            let mut second = second.map(|second| second.columns().to_vec()).unwrap_or_default().into_iter();
            let prepared = first.columns().iter().enumerate().map(|(at, column)| {
                let twin = if self.leaves.is_read_twice(at) { second.next() } else { None };
                self.leaves.prepared(at, column, twin.as_ref())
            });
            prepared.collect::<Result<Vec<_>, _>>()
        };
        Some(match (first, second) {
            (Ok(first), Ok(second)) => whole(first, second).map_err(|cause| broken(&cause)),
            (Err(cause), _) | (_, Err(cause)) => Err(broken(&cause)),
        })
    }
}

fn row(
    columns: &[ArrayRef],
    index: usize,
    layout: &Layout,
    own: usize,
    open: &mut Open<'_>,
    output: &mut Output,
) {
    let mut values = layout.empty_row();
    let mut wrong = None;
    let mut unreadable = Vec::new();
    let mut bytes = 0;
    for (column, target) in columns.iter().zip(&layout.indexes) {
        values[*target] = arrow::value(column, index).unwrap_or_else(|reason| {
            wrong.get_or_insert(reason);
            unreadable.push(*target);
            Value::Null
        });
        bytes += held_bytes(&values[*target]);
    }
    open.write_folders(&mut values, &layout.indexes[own..]);
    open.mark.offset += 1;
    let row = Row { columns: Arc::clone(&layout.columns), values };
    match wrong {
        None => output.row(open, open.mark.offset, row, bytes),
        Some(reason) => {
            let origin = Some(Origin::Location { name: open.prefix.clone(), number: open.mark.offset });
            output.partial(open, open.mark.offset, PartialRow { row, unreadable, origin }, reason);
        }
    }
}

/// Bytes that a value holds outside of itself.
fn held_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Decimal(text) => text.len(),
        Value::Json(json) => json.as_str().len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}
