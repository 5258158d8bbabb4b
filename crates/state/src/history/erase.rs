//! Takes the rows of one user out of a history file.

use std::fs::{self, File};
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, ParquetRecordBatchReaderBuilder, RowFilter};
use parquet::errors::ParquetError;
use tidegate_model::{Error, SyncId};

use super::parquet::{SYNC_KEY, UNFINISHED, of_parquet, properties, schema, strange};
use crate::failure;
use crate::folder;

/// The columns that name a user.
const COLUMNS: [&str; 2] = ["user", "key"];

/// Rewrites a file without the rows of a user. Returns how many they were; without any,
/// the file stays as it is.
pub(crate) fn erase(path: &Path, user: &str) -> Result<u64, Error> {
    erase_into(path, path, user)
}

/// Writes a file without the rows of a user as another one. Returns how many they were; without any,
/// none is written.
pub(crate) fn erase_into(path: &Path, target: &Path, user: &str) -> Result<u64, Error> {
    let fail = |cause| of_parquet(cause, "erasing from", path);
    let theirs = select(path, user, true)?.try_fold(0, |rows, batch| Ok(rows + batch?.num_rows() as u64));
    let theirs = theirs.map_err(|cause: ArrowError| fail(cause.into()))?;
    if theirs == 0 {
        return Ok(0);
    }
    let io = |cause| failure::of_io(cause, "erasing from", path);
    let unfinished = target.with_extension(UNFINISHED);
    let file = folder::create_file(&unfinished).map_err(io)?;
    let others = select(path, user, false)?;
    let sync = sync_of(path)?;
    let mut writer = ArrowWriter::try_new(file, schema(), Some(properties(&sync))).map_err(fail)?;
    for batch in others {
        writer.write(&batch.map_err(|cause| fail(cause.into()))?).map_err(fail)?;
    }
    writer.into_inner().map_err(fail)?.sync_all().map_err(io)?;
    fs::rename(&unfinished, target).map_err(io)?;
    path.parent().map_or(Ok(()), folder::sync).map_err(io)?;
    Ok(theirs)
}

/// Reads the rows of a user, or all others.
fn select(
    path: &Path,
    user: &str,
    theirs: bool,
) -> Result<parquet::arrow::arrow_reader::ParquetRecordBatchReader, Error> {
    let fail = |cause| of_parquet(cause, "reading", path);
    let file = File::open(path).map_err(|cause| failure::of_io(cause, "reading", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(fail)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let user = user.to_owned();
    let wanted = ArrowPredicateFn::new(mask, move |batch| names(&batch, &user, theirs));
    builder.with_row_filter(RowFilter::new(vec![Box::new(wanted)])).build().map_err(fail)
}

/// Whether each row is one of the user, or not: by its user, or, if it could not be read
/// that far, by its key.
fn names(batch: &RecordBatch, user: &str, theirs: bool) -> Result<BooleanArray, ArrowError> {
    let column = |name| {
        let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        column.ok_or_else(|| ArrowError::SchemaError("no history file".to_owned()))
    };
    let (users, keys) = (column("user")?, column("key")?);
    let of_user = users.iter().zip(keys).map(|(row_user, key)| match row_user {
        Some("") | None => key == Some(user),
        row_user => row_user == Some(user),
    });
    Ok(of_user.map(|of_user| Some(of_user == theirs)).collect())
}

/// Returns the sync of a file.
///
/// # Errors
/// If it is no history file.
pub(crate) fn sync_of(path: &Path) -> Result<SyncId, Error> {
    let fail = |cause: ParquetError| of_parquet(cause, "reading", path);
    let file = File::open(path).map_err(|cause| failure::of_io(cause, "reading", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(fail)?;
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    let sync = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == SYNC_KEY)?.value.clone());
    sync.map(SyncId::new).ok_or_else(|| strange(path))
}
