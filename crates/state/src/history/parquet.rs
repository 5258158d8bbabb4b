//! One history file: written row group by row group, read from its end.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use jiff::Timestamp;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tidegate_model::store::{FateKind, RowEntry, RowFate};
use tidegate_model::{Error, ErrorKind, Fingerprint, ObjectKind, Reason, RunId, SyncId};

use super::{Filter, Line};
use crate::folder;
use crate::store::failure;

/// The ending of a file that is being written.
pub(crate) const UNFINISHED: &str = "tmp";
/// Memory holds one row group at a time.
const GROUP_ROWS: usize = 100_000;
const BATCH_ROWS: usize = 8_192;
const SYNC_KEY: &str = "tidegate.sync";

const AT: usize = 0;
const RUN: usize = 1;
const OBJECT: usize = 2;
const USER: usize = 3;
const KEY: usize = 4;
const FATE: usize = 5;
const REASON_CODE: usize = 6;
const REASON: usize = 7;
const ROW_HASH: usize = 8;

/// A file under construction.
pub(crate) struct HistoryWriter {
    path: PathBuf,
    unfinished: PathBuf,
    run: RunId,
    object: ObjectKind,
    schema: Arc<Schema>,
    writer: ArrowWriter<File>,
}

impl HistoryWriter {
    /// Begins the file of one run and day; it appears at `path` when it is finished.
    pub(crate) fn create(
        path: PathBuf,
        sync: &SyncId,
        run: RunId,
        object: ObjectKind,
    ) -> Result<HistoryWriter, Error> {
        let unfinished = path.with_extension(UNFINISHED);
        let file =
            path.parent().map_or(Ok(()), create_folder).and_then(|()| folder::create_file(&unfinished));
        let file = file.map_err(|cause| failure::of_io(cause, "writing", &unfinished))?;
        let schema = schema();
        let properties = WriterProperties::builder()
            .set_created_by(concat!("tidegate ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            // Hashes do not repeat and do not compress.
            .set_column_dictionary_enabled(ColumnPath::from("row_hash"), false)
            .set_column_compression(ColumnPath::from("row_hash"), Compression::UNCOMPRESSED)
            // People look for one user among millions of rows.
            .set_column_bloom_filter_enabled(ColumnPath::from("user"), true)
            .set_column_bloom_filter_max_ndv(ColumnPath::from("user"), GROUP_ROWS as u64)
            .set_key_value_metadata(Some(vec![KeyValue::new(SYNC_KEY.to_owned(), sync.to_string())]))
            .build();
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))
            .map_err(|cause| of_parquet(cause, "writing", &unfinished))?;
        Ok(HistoryWriter { path, unfinished, run, object, schema, writer })
    }

    /// Adds the rows of one block, settled at `at`.
    pub(crate) fn write(&mut self, at: Timestamp, rows: &[RowFate]) -> Result<(), Error> {
        let batch = batch(&self.schema, at, &self.run, self.object, rows)
            .map_err(|cause| Error::internal("rows do not fit their columns").caused_by(cause))?;
        self.writer.write(&batch).map_err(|cause| of_parquet(cause, "writing", &self.unfinished))
    }

    /// Closes the file and makes it appear, for good.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let HistoryWriter { path, unfinished, writer, .. } = self;
        let file = writer.into_inner().map_err(|cause| of_parquet(cause, "writing", &unfinished))?;
        let appear = || {
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            path.parent().map_or(Ok(()), folder::sync)
        };
        appear().map_err(|cause| failure::of_io(cause, "writing", &path))
    }
}

/// Makes `history/<sync>/<day>` and lets both names survive a loss of power.
fn create_folder(day: &Path) -> io::Result<()> {
    if day.is_dir() {
        return Ok(());
    }
    folder::create(day)?;
    day.ancestors().skip(1).take(2).try_for_each(folder::sync)
}

fn schema() -> Arc<Schema> {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        text("run", false),
        text("object", false),
        text("user", false),
        text("key", false),
        text("fate", false),
        text("reason_code", true),
        text("reason", true),
        Field::new("row_hash", DataType::FixedSizeBinary(16), false),
    ]))
}

fn batch(
    schema: &Arc<Schema>,
    at: Timestamp,
    run: &RunId,
    object: ObjectKind,
    rows: &[RowFate],
) -> Result<RecordBatch, ArrowError> {
    let count = rows.len();
    let mut times = TimestampMicrosecondBuilder::with_capacity(count).with_timezone("UTC");
    let mut runs = StringBuilder::with_capacity(count, count * run.as_str().len());
    let mut objects = StringBuilder::with_capacity(count, count * 8);
    let mut users = StringBuilder::with_capacity(count, count * 16);
    let mut keys = StringBuilder::with_capacity(count, count * 16);
    let mut fates = StringBuilder::with_capacity(count, count * 9);
    let mut codes = StringBuilder::with_capacity(count, 0);
    let mut reasons = StringBuilder::with_capacity(count, 0);
    let mut hashes = FixedSizeBinaryBuilder::with_capacity(count, 16);
    for row in rows {
        let reason = row.fate.reason();
        times.append_value(at.as_microsecond());
        runs.append_value(run.as_str());
        objects.append_value(object.as_str());
        users.append_value(&row.user);
        keys.append_value(&row.key_text);
        fates.append_value(row.fate.kind().as_str());
        codes.append_option(reason.map(|reason| &reason.code));
        reasons.append_option(reason.map(|reason| &reason.message));
        hashes.append_value(row.row.0.to_be_bytes())?;
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times.finish()),
        Arc::new(runs.finish()),
        Arc::new(objects.finish()),
        Arc::new(users.finish()),
        Arc::new(keys.finish()),
        Arc::new(fates.finish()),
        Arc::new(codes.finish()),
        Arc::new(reasons.finish()),
        Arc::new(hashes.finish()),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// The newest `limit` rows of a file that are wanted, newest first; none where
/// the file was removed meanwhile.
pub(crate) fn newest(path: &Path, filter: &Filter, limit: usize) -> Result<Vec<Line>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(failure::of_io(cause, "reading", path)),
    };
    let fail = |cause| of_parquet(cause, "reading", path);
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default()).map_err(fail)?;
    if metadata.schema().fields() != schema().fields() {
        return Err(strange(path));
    }
    let kept = metadata.metadata().file_metadata().key_value_metadata();
    let sync = kept.and_then(|pairs| pairs.iter().find(|pair| pair.key == SYNC_KEY)?.value.as_deref());
    let sync = SyncId::new(sync.ok_or_else(|| strange(path))?);
    let mut lines = Vec::new();
    for group in (0..metadata.metadata().num_row_groups()).rev() {
        if lines.len() == limit {
            break;
        }
        let file = file.try_clone().map_err(|cause| failure::of_io(cause, "reading", path))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
        let wanted = limit - lines.len();
        lines.extend(newest_of_group(builder, group, &sync, filter, wanted).map_err(
            |failure| match failure {
                Failure::Parquet(cause) => fail(cause),
                Failure::Strange => strange(path),
            },
        )?);
    }
    Ok(lines)
}

enum Failure {
    Parquet(ParquetError),
    Strange,
}

impl From<ParquetError> for Failure {
    fn from(cause: ParquetError) -> Failure {
        Failure::Parquet(cause)
    }
}

fn newest_of_group(
    builder: ParquetRecordBatchReaderBuilder<File>,
    group: usize,
    sync: &SyncId,
    filter: &Filter,
    wanted: usize,
) -> Result<Vec<Line>, Failure> {
    let about = builder.metadata().row_group(group).clone();
    if !may_hold(&builder, &about, group, filter)? {
        return Ok(Vec::new());
    }
    let mut builder = builder.with_row_groups(vec![group]).with_batch_size(BATCH_ROWS);
    if filter.is_empty() {
        let rows = usize::try_from(about.num_rows()).unwrap_or(0);
        builder = builder.with_offset(rows.saturating_sub(wanted));
    } else {
        let mask = ProjectionMask::leaves(builder.parquet_schema(), [USER, FATE]);
        builder = builder.with_row_filter(RowFilter::new(vec![Box::new(predicate(mask, filter.clone()))]));
    }
    let mut newest = VecDeque::new();
    for batch in builder.build()? {
        let batch = batch.map_err(ParquetError::from)?;
        for at in 0..batch.num_rows() {
            if newest.len() == wanted {
                newest.pop_front();
            }
            newest.push_back(line(&batch, at, sync).ok_or(Failure::Strange)?);
        }
    }
    Ok(newest.into_iter().rev().collect())
}

/// Whether a row group can hold a wanted row, by its lowest and highest values
/// and by the filter of its users.
fn may_hold(
    builder: &ParquetRecordBatchReaderBuilder<File>,
    about: &RowGroupMetaData,
    group: usize,
    filter: &Filter,
) -> Result<bool, ParquetError> {
    let within = |column: usize, value: &str| {
        let statistics = about.column(column).statistics();
        let bounds = statistics.and_then(|known| known.min_bytes_opt().zip(known.max_bytes_opt()));
        bounds.is_none_or(|(low, high)| low <= value.as_bytes() && value.as_bytes() <= high)
    };
    if filter.fate.is_some_and(|fate| !within(FATE, fate.as_str())) {
        return Ok(false);
    }
    let Some(user) = &filter.user else {
        return Ok(true);
    };
    if !within(USER, user) {
        return Ok(false);
    }
    let users = builder.get_row_group_column_bloom_filter(group, USER)?;
    Ok(users.is_none_or(|users| users.check(user.as_str())))
}

fn predicate(
    mask: ProjectionMask,
    filter: Filter,
) -> ArrowPredicateFn<impl FnMut(RecordBatch) -> Result<BooleanArray, ArrowError> + Send + 'static> {
    ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
        let users = batch.column(0).as_string::<i32>();
        let fates = batch.column(1).as_string::<i32>();
        let wanted = |at: usize| {
            filter.fate.is_none_or(|fate| fates.value(at) == fate.as_str())
                && filter.user.as_ref().is_none_or(|user| users.value(at) == user)
        };
        Ok((0..batch.num_rows()).map(|at| Some(wanted(at))).collect())
    })
}

fn line(batch: &RecordBatch, at: usize, sync: &SyncId) -> Option<Line> {
    let text = |column: usize| batch.column(column).as_string::<i32>().value(at);
    let maybe = |column: usize| batch.column(column).is_valid(at).then(|| text(column).to_owned());
    let micros = batch.column(AT).as_primitive::<TimestampMicrosecondType>().value(at);
    let hash = batch.column(ROW_HASH).as_fixed_size_binary().value(at);
    let entry = RowEntry {
        at: Timestamp::from_microsecond(micros).ok()?,
        sync: sync.clone(),
        run: RunId::new(text(RUN)),
        object: object(text(OBJECT))?,
        user: text(USER).to_owned(),
        key: text(KEY).to_owned(),
        fate: fate(text(FATE))?,
        reason: maybe(REASON_CODE).map(|code| Reason::new(code, maybe(REASON).unwrap_or_default())),
        payload: None,
    };
    Some(Line { entry, row: Fingerprint(u128::from_be_bytes(hash.try_into().ok()?)) })
}

fn object(word: &str) -> Option<ObjectKind> {
    use ObjectKind::{CatalogItem, Deletion, Event, Purchase, User};
    [User, Event, Purchase, Deletion, CatalogItem].into_iter().find(|object| object.as_str() == word)
}

fn fate(word: &str) -> Option<FateKind> {
    use FateKind::{Delivered, InDoubt, Rejected};
    [Delivered, Rejected, InDoubt].into_iter().find(|fate| fate.as_str() == word)
}

fn strange(path: &Path) -> Error {
    Error::new(ErrorKind::Storage, format!("{} is no history file of tidegate", path.display()))
        .hint("move it out of the history folder")
}

fn of_parquet(cause: ParquetError, doing: &str, path: &Path) -> Error {
    match cause {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(inner) => failure::of_io(*inner, doing, path),
            Err(inner) => damaged(doing, path).caused_by(inner),
        },
        // Parquet's own message names columns and bytes, never values.
        cause => damaged(doing, path).caused_by(cause),
    }
}

fn damaged(doing: &str, path: &Path) -> Error {
    Error::new(ErrorKind::Storage, format!("{doing} {} failed", path.display()))
        .hint("if it stays, move that file away: the rows in it are no longer listed, nothing else is lost")
}
