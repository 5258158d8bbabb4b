//! Data files that are written and not yet part of the table.

use std::sync::Arc;

use arrow_array::RecordBatch;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::schema::SchemaRef;
use delta_kernel::transaction::{BoundWriteContext, Transaction, WriteState};
use delta_kernel::{Engine as _, EngineData, FileMeta};
use delta_kernel_default_engine::build_add_file_metadata;
use delta_kernel_default_engine::parquet::DataFileMetadata;
use delta_kernel_default_engine::stats::collect_stats;
use jiff::Timestamp;
use object_store::ObjectStoreExt as _;
use tidegate_model::{Error, LoggedEvent};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::errors::kernel;
use super::fit;
use super::table::{Engine, Table};
use crate::batch;
use crate::object::explain;
use crate::parquet::{self, Codec};

/// Files for one commit. They may be offered again after another writer was quicker.
pub(super) struct Stage {
    schema: SchemaRef,
    partitions: Vec<String>,
    events: usize,
    adds: Vec<RecordBatch>,
}

impl Stage {
    /// Writes the events as files that fit the table of this transaction.
    pub(super) fn write(
        table: &Table,
        engine: &Engine,
        runtime: &Handle,
        transaction: &Transaction,
        schema: SchemaRef,
        events: &[&LoggedEvent],
        now: Timestamp,
    ) -> Result<Stage, Error> {
        let name = table.name();
        let partitions = transaction.logical_partition_columns().to_vec();
        let by_date = fit::by_date(&name, &partitions)?;
        let state = transaction.write_state().map_err(|cause| kernel(&writing(&name), cause))?;
        let mut adds = Vec::new();
        for (day, rows) in batch::batches(table.layout, events.iter().copied(), now, by_date)? {
            let context =
                context(&state, &partitions, day).map_err(|cause| kernel(&writing(&name), cause))?;
            let rows = physical(&name, engine, &context, &rows)?;
            adds.push(file(table, runtime, &context, &rows, now)?);
        }
        Ok(Stage { schema, partitions, events: events.len(), adds })
    }

    /// Whether the files fit a transaction on a table with these columns. Of a
    /// list of events only its end is ever taken away, so that its length tells.
    pub(super) fn fits(&self, transaction: &Transaction, schema: &SchemaRef, events: usize) -> bool {
        self.events == events
            && self.schema == *schema
            && self.partitions == transaction.logical_partition_columns()
    }

    /// Offers the files to a transaction.
    pub(super) fn offer(&self, transaction: &mut Transaction) {
        for add in &self.adds {
            transaction.add_files(Box::new(ArrowEngineData::new(add.clone())));
        }
    }
}

fn writing(table: &str) -> String {
    format!("writing the table {table}")
}

fn context(
    state: &Arc<WriteState>,
    partitions: &[String],
    day: batch::Day,
) -> delta_kernel::KernelResult<BoundWriteContext> {
    let builder = state.write_context_builder();
    if partitions.is_empty() {
        return builder.build();
    }
    builder.with_partition_values(fit::partition(partitions, day)).build()
}

/// The rows as they stand in the file: columns have other names there where the
/// table maps them.
fn physical(
    table: &str,
    engine: &Engine,
    context: &BoundWriteContext,
    rows: &RecordBatch,
) -> Result<RecordBatch, Error> {
    let logical = context.logical_data_schema();
    let rows = ArrowEngineData::new(fit::arrange(table, rows, logical)?);
    engine
        .evaluation_handler()
        .new_expression_evaluator(
            logical.clone(),
            context.logical_to_physical(),
            context.physical_data_schema().clone().into(),
        )
        .and_then(|evaluator| evaluator.evaluate(&rows))
        .and_then(arrow)
        .map_err(|cause| kernel(&writing(table), cause))
}

fn arrow(data: Box<dyn EngineData>) -> delta_kernel::KernelResult<RecordBatch> {
    Ok(ArrowEngineData::try_from_engine_data(data)?.record_batch().clone())
}

/// Writes one file and describes it for the log.
fn file(
    table: &Table,
    runtime: &Handle,
    context: &BoundWriteContext,
    rows: &RecordBatch,
    now: Timestamp,
) -> Result<RecordBatch, Error> {
    let doing = writing(&table.name());
    let fault = |cause| kernel(&doing, cause);
    let content = parquet::encode(rows, Codec::Snappy)?;
    let size = content.len() as u64;
    let url = context
        .write_dir()
        .join(&format!("{}.parquet", Uuid::new_v4()))
        .map_err(|cause| Error::internal(doing.clone()).caused_by(cause))?;
    let path = object_store::path::Path::from_url_path(url.path())
        .map_err(|cause| explain(&doing, &cause.into()))?;
    runtime
        .block_on(table.place.store.put(&path, content.into()))
        .map_err(|cause| explain(&doing, &cause))?;
    let stats =
        collect_stats(rows, context.stats_columns(), context.physical_data_schema()).map_err(fault)?;
    let described = DataFileMetadata::new(FileMeta::new(url, now.as_millisecond(), size), stats);
    build_add_file_metadata(described, context).and_then(arrow).map_err(fault)
}
