//! The libraries alone: the batches that an export wrote, written again.
//!
//! Only writing counts. Reading the batches back into memory is the price of
//! having the same ones, and not the library's.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use arrow_array::RecordBatch;
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::engine::arrow_conversion::TryIntoKernel as _;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::expressions::Scalar;
use delta_kernel::schema::{DataType, PrimitiveType, StructField, StructType};
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::transaction::create_table::create_table;
use delta_kernel::transaction::data_layout::DataLayout;
use delta_kernel::transaction::{CommitResult, UpdateTableOperation};
use delta_kernel::{Engine, Snapshot};
use delta_kernel_default_engine::DefaultEngineBuilder;
use object_store::local::LocalFileSystem;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

const MAKER: &str = "tidegate-bench";
/// What partitions an events table.
const DAY: &str = "event_date";
/// Columns that the export writes without a dictionary, and without bounds.
const NO_DICTIONARY: [&str; 2] = ["event_id", "payload"];
const NO_BOUNDS: [&str; 3] = ["event_id", "payload", "user_id"];

/// Writes each file again; how long writing took.
///
/// It does what the export does to a file: the same encodings, and each file is
/// durable before the next one is begun.
pub(super) fn parquet(commits: &[Vec<PathBuf>], to: &Path) -> Result<Duration> {
    let properties = properties();
    let mut took = Duration::ZERO;
    for (at, path) in commits.iter().flatten().enumerate() {
        let batch = read(path)?;
        let started = Instant::now();
        let file = File::create(to.join(format!("{at:08}.parquet")))?;
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.clone()))?;
        writer.write(&batch)?;
        writer.into_inner()?.sync_all()?;
        File::open(to)?.sync_all()?;
        took += started.elapsed();
    }
    Ok(took)
}

/// How the export encodes: what it knows to be of no use is left out here too.
fn properties() -> WriterProperties {
    let plain = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let plain = NO_DICTIONARY.iter().fold(plain, |properties, column| {
        properties.set_column_dictionary_enabled(ColumnPath::from(*column), false)
    });
    let without = |properties: WriterPropertiesBuilder, column: &&str| {
        properties.set_column_statistics_enabled(ColumnPath::from(*column), EnabledStatistics::None)
    };
    NO_BOUNDS.iter().fold(plain, without).build()
}

/// Appends the files of each commit again, in as many commits; how long that took.
pub(super) fn delta(commits: &[Vec<PathBuf>], to: &Path) -> Result<Duration> {
    let waiting = tokio::runtime::Builder::new_current_thread().build()?;
    let engine = DefaultEngineBuilder::new(Arc::new(LocalFileSystem::new())).build();
    let path = to.to_str().context("the folder's name is text")?;
    let mut table = None;
    let mut took = Duration::ZERO;
    for files in commits {
        let batches =
            files.iter().map(|path| Ok((day_of(path)?, read(path)?))).collect::<Result<Vec<_>>>()?;
        let started = Instant::now();
        let snapshot = match table.take() {
            Some(snapshot) => snapshot,
            None => make(&engine, path, &batches[0].1)?,
        };
        let mut transaction = snapshot
            .update_table(UpdateTableOperation::StreamingUpdate, MAKER, true)
            .with_blind_append()
            .build(&engine, Box::new(FileSystemCommitter::new()))?;
        let state = transaction.write_state()?;
        for (day, batch) in batches {
            let partition = HashMap::from([(DAY.to_owned(), day)]);
            let context = state.write_context_builder().with_partition_values(partition).build()?;
            let written = waiting.block_on(engine.write_parquet(&ArrowEngineData::new(batch), &context))?;
            transaction.add_files(written);
        }
        let CommitResult::Committed(done) = transaction.commit(&engine)? else {
            return Err(anyhow!("a commit was refused although nothing else writes to {}", to.display()));
        };
        table = Some(done.post_commit_snapshot().context("a commit gives the table behind it")?.clone());
        took += started.elapsed();
    }
    Ok(took)
}

/// An empty table with the columns of a batch, by day.
fn make(engine: &dyn Engine, path: &str, batch: &RecordBatch) -> Result<SnapshotRef> {
    let written: StructType = batch.schema().as_ref().try_into_kernel()?;
    let day = StructField::nullable(DAY, DataType::DATE);
    let schema = StructType::try_new(written.fields().cloned().chain([day]))?;
    let made = create_table(path, schema.into(), MAKER, false)
        .with_data_layout(DataLayout::partitioned([DAY]))
        .build(engine, Box::new(FileSystemCommitter::new()))?
        .commit(engine)?;
    ensure!(matches!(made, CommitResult::Committed(_)), "no table was made in {path}");
    Ok(Snapshot::builder_for(path).build(engine)?)
}

/// The whole file as one batch.
fn read(path: &Path) -> Result<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows())?;
    let mut batches = builder.with_batch_size(rows).build()?;
    let batch = batches.next().context("the file has no rows")??;
    ensure!(batches.next().is_none(), "{} has more rows than it tells", path.display());
    Ok(batch)
}

/// The day of a file, from the folder that it lies in: `event_date=2026-03-01`.
fn day_of(path: &Path) -> Result<Scalar> {
    let day = path
        .ancestors()
        .filter_map(|folder| folder.file_name()?.to_str()?.strip_prefix("event_date="))
        .next()
        .with_context(|| format!("{} lies in no folder of a day", path.display()))?;
    Ok(PrimitiveType::Date.parse_scalar(day)?)
}
