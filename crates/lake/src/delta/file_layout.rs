//! The layout of the files of a table, and encoded files that are not written yet.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::transaction::{BoundWriteContext, Transaction, WriteState};
use delta_kernel::{Engine as _, EngineData, EvaluationHandler, ExpressionEvaluator, KernelResult};
use delta_kernel_default_engine::stats::FileStatsAccumulator;
use jiff::Timestamp;
use tidegate_model::{Error, LoggedEvent};

use super::errors::kernel;
use super::fit;
use super::table::{Engine, Table};
use crate::batch::{Day, Shape, steps};
use crate::parquet::{Codec, Contents};

/// How the files of a table are laid out. Needs neither the table nor its store.
#[derive(Clone)]
pub(super) struct FileLayout {
    state: Arc<WriteState>,
    /// The state as bytes: it cannot be compared otherwise.
    encoded_state: Arc<[u8]>,
    partitions: Arc<[String]>,
    evaluation: Arc<dyn EvaluationHandler>,
}

/// A file that is encoded.
pub(super) struct File {
    pub(super) context: BoundWriteContext,
    pub(super) stats: FileStatsAccumulator,
    pub(super) content: Bytes,
}

/// Encoded files and their layout.
pub(super) struct Encoded {
    pub(super) file_layout: Arc<[u8]>,
    pub(super) files: Vec<File>,
}

/// One file that is being encoded; its content is kept elsewhere.
struct Growing {
    context: BoundWriteContext,
    /// Converts rows to their form in the file: columns have other names if the table maps them.
    physical: Arc<dyn ExpressionEvaluator>,
    stats: FileStatsAccumulator,
}

impl FileLayout {
    /// Returns the layout of the files of this transaction.
    pub(super) fn of(table: &Table, transaction: &Transaction, engine: &Engine) -> Result<FileLayout, Error> {
        let encoded_state = transaction.write_state().and_then(|state| Ok((state.encode()?, state)));
        let (encoded_state, state) = encoded_state.map_err(|cause| kernel(&table.writing(), cause))?;
        Ok(FileLayout {
            state,
            encoded_state: encoded_state.into(),
            partitions: transaction.logical_partition_columns().into(),
            evaluation: engine.evaluation_handler(),
        })
    }

    /// Returns whether files of that layout fit this table.
    pub(super) fn is(&self, file_layout: &[u8]) -> bool {
        *self.encoded_state == *file_layout
    }

    /// Makes files of events.
    pub(super) fn encode(
        &self,
        table: &Table,
        events: &[&LoggedEvent],
        synced: Timestamp,
    ) -> Result<Encoded, Error> {
        let name = table.name();
        let fault = |cause| kernel(&table.writing(), cause);
        let split = fit::by_date(&name, &self.partitions)?;
        let mut growing: BTreeMap<Day, Growing> = BTreeMap::new();
        let mut contents = Contents::new(Codec::Snappy);
        for step in steps(events, Shape { layout: table.layout, synced, split }) {
            for (day, rows) in step? {
                let file = match growing.entry(day) {
                    Entry::Occupied(file) => file.into_mut(),
                    Entry::Vacant(vacant) => vacant.insert(self.begin(day).map_err(fault)?),
                };
                let rows = fit::arrange(&name, &rows, file.context.logical_data_schema())?;
                let rows =
                    file.physical.evaluate(&ArrowEngineData::new(rows)).and_then(arrow).map_err(fault)?;
                file.stats.merge(&rows).map_err(fault)?;
                contents.write(day, rows)?;
            }
        }
        let mut files = Vec::with_capacity(growing.len());
        for content in contents.finish() {
            let (day, content) = content?;
            if let Some(Growing { context, stats, .. }) = growing.remove(&day) {
                files.push(File { context, stats, content });
            }
        }
        Ok(Encoded { file_layout: Arc::clone(&self.encoded_state), files })
    }

    fn begin(&self, day: Day) -> KernelResult<Growing> {
        let builder = self.state.write_context_builder();
        let context = if self.partitions.is_empty() {
            builder.build()?
        } else {
            builder.with_partition_values(fit::partition(&self.partitions, day)).build()?
        };
        let physical = self.evaluation.new_expression_evaluator(
            context.logical_data_schema().clone(),
            context.logical_to_physical(),
            context.physical_data_schema().clone().into(),
        )?;
        let stats = FileStatsAccumulator::new(context.stats_columns(), context.physical_data_schema());
        Ok(Growing { context, physical, stats })
    }
}

pub(super) fn arrow(data: Box<dyn EngineData>) -> KernelResult<RecordBatch> {
    Ok(ArrowEngineData::try_from_engine_data(data)?.record_batch().clone())
}
