//! Data files that are written and not yet part of the table.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::schema::SchemaRef;
use delta_kernel::transaction::{BoundWriteContext, Transaction, WriteState};
use delta_kernel::{Engine as _, EngineData, ExpressionEvaluator, FileMeta};
use delta_kernel_default_engine::build_add_file_metadata;
use delta_kernel_default_engine::parquet::DataFileMetadata;
use delta_kernel_default_engine::stats::FileStatsAccumulator;
use jiff::Timestamp;
use object_store::ObjectStoreExt as _;
use tidegate_model::Error;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::errors::kernel;
use super::fit;
use super::table::{Engine, Table};
use crate::batch::Day;
use crate::object::explain;
use crate::parquet::{Codec, Contents};
use crate::stream::{Shape, Supply};

/// Files for one commit. They may be offered again after another writer was quicker.
pub(super) struct Stage {
    schema: SchemaRef,
    partitions: Vec<String>,
    events: usize,
    adds: Vec<RecordBatch>,
}

impl Stage {
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

/// What files are written with.
pub(super) struct Files<'a> {
    /// The table they are for.
    pub(super) table: &'a Table,
    pub(super) engine: &'a Engine,
    pub(super) runtime: &'a Handle,
    /// The time of the delivery.
    pub(super) now: Timestamp,
}

/// One file while it grows; its content grows elsewhere.
struct Growing {
    context: BoundWriteContext,
    /// Makes rows as they stand in the file: columns have other names there where
    /// the table maps them.
    physical: Arc<dyn ExpressionEvaluator>,
    stats: FileStatsAccumulator,
}

impl Files<'_> {
    /// Writes these events of the delivery as files that fit the table of this transaction.
    pub(super) fn write(
        &self,
        transaction: &Transaction,
        schema: SchemaRef,
        events: Vec<usize>,
        supply: &Supply,
    ) -> Result<Stage, Error> {
        let name = self.table.name();
        let fault = |cause| kernel(&writing(&name), cause);
        let partitions = transaction.logical_partition_columns().to_vec();
        let split = fit::by_date(&name, &partitions)?;
        let state = transaction.write_state().map_err(fault)?;
        let mut growing: BTreeMap<Day, Growing> = BTreeMap::new();
        let mut contents = Contents::new(Codec::Snappy);
        let count = events.len();
        let shape = Shape { layout: self.table.layout, synced: self.now, split };
        for step in supply.rows(events, shape)? {
            for (day, rows) in step? {
                let file = match growing.entry(day) {
                    Entry::Occupied(file) => file.into_mut(),
                    Entry::Vacant(place) => {
                        place.insert(self.begin(&state, &partitions, day).map_err(fault)?)
                    }
                };
                let rows = fit::arrange(&name, &rows, file.context.logical_data_schema())?;
                let rows =
                    file.physical.evaluate(&ArrowEngineData::new(rows)).and_then(arrow).map_err(fault)?;
                file.stats.merge(&rows).map_err(fault)?;
                contents.write(day, rows)?;
            }
        }
        let mut adds = Vec::with_capacity(growing.len());
        for content in contents.finish() {
            let (day, content) = content?;
            if let Some(file) = growing.remove(&day) {
                adds.push(self.end(file, content)?);
            }
        }
        Ok(Stage { schema, partitions, events: count, adds })
    }

    fn begin(
        &self,
        state: &Arc<WriteState>,
        partitions: &[String],
        day: Day,
    ) -> delta_kernel::KernelResult<Growing> {
        let builder = state.write_context_builder();
        let context = if partitions.is_empty() {
            builder.build()?
        } else {
            builder.with_partition_values(fit::partition(partitions, day)).build()?
        };
        let physical = self.engine.evaluation_handler().new_expression_evaluator(
            context.logical_data_schema().clone(),
            context.logical_to_physical(),
            context.physical_data_schema().clone().into(),
        )?;
        let stats = FileStatsAccumulator::new(context.stats_columns(), context.physical_data_schema());
        Ok(Growing { context, physical, stats })
    }

    /// Puts one file in its place and describes it for the log.
    fn end(&self, file: Growing, content: Bytes) -> Result<RecordBatch, Error> {
        let doing = writing(&self.table.name());
        let fault = |cause| kernel(&doing, cause);
        let Growing { context, stats, .. } = file;
        let size = content.len() as u64;
        let url = context
            .write_dir()
            .join(&format!("{}.parquet", Uuid::new_v4()))
            .map_err(|cause| Error::internal(doing.clone()).caused_by(cause))?;
        let path = object_store::path::Path::from_url_path(url.path())
            .map_err(|cause| explain(&doing, &cause.into()))?;
        self.runtime
            .block_on(self.table.place.store.put(&path, content.into()))
            .map_err(|cause| explain(&doing, &cause))?;
        let stats = stats
            .finish()
            .map_err(fault)?
            .ok_or_else(|| Error::internal(format!("{doing}: a file without rows")))?;
        let described = DataFileMetadata::new(FileMeta::new(url, self.now.as_millisecond(), size), stats);
        build_add_file_metadata(described, &context).and_then(arrow).map_err(fault)
    }
}

fn writing(table: &str) -> String {
    format!("writing the table {table}")
}

fn arrow(data: Box<dyn EngineData>) -> delta_kernel::KernelResult<RecordBatch> {
    Ok(ArrowEngineData::try_from_engine_data(data)?.record_batch().clone())
}
