//! Writes one history file, row group by row group.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use tidegate_model::{Error, ErrorKind, ObjectKind, RunId, SyncId};

use super::block::Block;
use super::group::{Group, Rows};
use super::user_marks::{FileUsers, UserMarks};
use crate::failure;
use crate::folder;

/// The ending of a file that is being written.
pub(crate) const UNFINISHED: &str = "tmp";
/// Memory holds one row group at a time.
pub(super) const GROUP_ROWS: usize = 50_000;
/// Users of a row group are numbered while they take no more than this: if they hardly
/// repeat, a list of them all costs more time and more bytes than naming each row's.
const USERS_BYTES_MAX: usize = 128 * 1024;
pub(super) const SYNC_KEY: &str = "tidegate.sync";

/// A file under construction.
pub(crate) struct HistoryWriter {
    path: PathBuf,
    unfinished: PathBuf,
    object: ObjectKind,
    schema: Arc<Schema>,
    columns: ArrowRowGroupWriterFactory,
    group: Option<Group>,
    users: UserMarks,
    file: SerializedFileWriter<File>,
}

impl HistoryWriter {
    /// Begins the file of one sync and day; it appears at `path` when it is finished.
    pub(crate) fn create(path: PathBuf, sync: &SyncId, object: ObjectKind) -> Result<HistoryWriter, Error> {
        let unfinished = path.with_extension(UNFINISHED);
        let file =
            path.parent().map_or(Ok(()), create_folder).and_then(|()| folder::create_file(&unfinished));
        let file = file.map_err(|cause| failure::of_io(cause, "writing", &unfinished))?;
        let schema = schema();
        let (file, columns) = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties(sync)))
            .and_then(ArrowWriter::into_serialized_writer)
            .map_err(|cause| of_parquet(cause, "writing", &unfinished))?;
        Ok(HistoryWriter {
            path,
            unfinished,
            object,
            schema,
            columns,
            group: None,
            users: UserMarks::default(),
            file,
        })
    }

    /// Adds the rows of one block, committed by `run` at `at`.
    pub(crate) fn write(&mut self, at: Timestamp, run: &RunId, rows: Block) -> Result<(), Error> {
        self.users.add_all(rows.users.iter());
        let rows = Rows::of(at, rows)
            .map_err(|cause| Error::internal("rows do not fit their columns").caused_by(cause))?;
        self.add(run, &rows).map_err(|cause| of_parquet(cause, "writing", &self.unfinished))
    }

    fn add(&mut self, run: &RunId, rows: &Rows) -> Result<(), ParquetError> {
        if let Some(group) =
            self.group.take_if(|group| group.len() + rows.len() > GROUP_ROWS || !group.takes(run))
        {
            group.finish(&mut self.file)?;
        }
        let group = match &mut self.group {
            Some(group) => group,
            none => {
                let number = self.file.flushed_row_groups().len();
                none.insert(Group::begin(&self.schema, &self.columns, number)?)
            }
        };
        group.add(run, self.object, rows)
    }

    /// Closes the file and makes it appear, for good. Returns the users that it has rows of.
    pub(crate) fn finish(self) -> Result<FileUsers, Error> {
        let HistoryWriter { path, unfinished, group, users, mut file, .. } = self;
        let written = group.map_or(Ok(()), |group| group.finish(&mut file)).and_then(|()| file.into_inner());
        let file = written.map_err(|cause| of_parquet(cause, "writing", &unfinished))?;
        let appear = || {
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            path.parent().map_or(Ok(()), folder::sync)
        };
        appear().map_err(|cause| failure::of_io(cause, "writing", &path))?;
        Ok(users.finish())
    }
}

/// How every file is written.
pub(super) fn properties(sync: &SyncId) -> WriterProperties {
    WriterProperties::builder()
        .set_created_by(concat!("tidegate ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // Only users are looked for; comparing every other text costs more than its writing.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(ColumnPath::from("user"), EnabledStatistics::Chunk)
        .set_column_statistics_enabled(ColumnPath::from("at"), EnabledStatistics::Chunk)
        // A block has one time: compressing its repetitions is cheaper than looking each up.
        .set_column_dictionary_enabled(ColumnPath::from("at"), false)
        // Keys hardly repeat, but neighbors begin alike.
        .set_column_dictionary_enabled(ColumnPath::from("key"), false)
        .set_column_encoding(ColumnPath::from("key"), Encoding::DELTA_BYTE_ARRAY)
        .set_column_dictionary_page_size_limit(ColumnPath::from("user"), USERS_BYTES_MAX)
        // People look for one user among millions of rows.
        .set_column_bloom_filter_enabled(ColumnPath::from("user"), true)
        .set_column_bloom_filter_max_ndv(ColumnPath::from("user"), GROUP_ROWS as u64)
        .set_key_value_metadata(Some(vec![KeyValue::new(SYNC_KEY.to_owned(), sync.to_string())]))
        .build()
}

/// Makes `history/<sync>/<day>` and lets both names survive a loss of power.
fn create_folder(day: &Path) -> io::Result<()> {
    if day.is_dir() {
        return Ok(());
    }
    folder::create(day)?;
    day.ancestors().skip(1).take(2).try_for_each(folder::sync)
}

/// The columns of every file.
pub(super) fn schema() -> Arc<Schema> {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        text("run", false),
        text("object", false),
        text("user", false),
        text("key", false),
        text("status", false),
        text("reason_code", true),
        text("reason", true),
        Field::new("row_hash", DataType::FixedSizeBinary(16), false),
    ]))
}

pub(super) fn strange(path: &Path) -> Error {
    Error::new(ErrorKind::Storage, format!("{} is not a history file of tidegate", path.display()))
        .hint("move it out of the history folder")
}

pub(super) fn of_parquet(cause: ParquetError, doing: &str, path: &Path) -> Error {
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
