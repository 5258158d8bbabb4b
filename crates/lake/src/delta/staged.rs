//! Data files that are written and not yet part of the table.

use std::sync::Arc;

use arrow_array::RecordBatch;
use delta_kernel::FileMeta;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::transaction::Transaction;
use delta_kernel_default_engine::build_add_file_metadata;
use delta_kernel_default_engine::parquet::DataFileMetadata;
use jiff::Timestamp;
use tidegate_model::Error;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::errors::kernel;
use super::file_layout::{Encoded, File, FileLayout, arrow};
use super::table::Table;
use tidegate_transport::storage::explain;

/// Files for one commit. They may be offered again after a commit conflict.
pub(super) struct StagedFiles {
    /// Their layout.
    file_layout: Arc<[u8]>,
    events: usize,
    adds: Vec<RecordBatch>,
}

impl StagedFiles {
    /// Writes the files of this many events.
    pub(super) fn put(
        table: &Table,
        stage: &str,
        runtime: &Handle,
        encoded: Encoded,
        events: usize,
        now: Timestamp,
    ) -> Result<StagedFiles, Error> {
        let Encoded { file_layout, files } = encoded;
        let adds =
            files.into_iter().map(|file| put(table, stage, runtime, file, now)).collect::<Result<_, _>>()?;
        Ok(StagedFiles { file_layout, events, adds })
    }

    /// Returns whether the files fit the table and these events. Only the end of a list of events is
    /// ever removed, so its length is enough.
    pub(super) fn fits(&self, file_layout: &FileLayout, events: usize) -> bool {
        self.events == events && file_layout.is(&self.file_layout)
    }

    /// Offers the files to a transaction.
    pub(super) fn offer(&self, transaction: &mut Transaction) {
        for add in &self.adds {
            transaction.add_files(Box::new(ArrowEngineData::new(add.clone())));
        }
    }
}

/// Writes one file and returns its description for the log.
fn put(
    table: &Table,
    stage: &str,
    runtime: &Handle,
    file: File,
    now: Timestamp,
) -> Result<RecordBatch, Error> {
    let doing = table.writing();
    let fault = |cause| kernel(&doing, cause);
    let File { context, stats, content } = file;
    let size = content.len() as u64;
    let url = context
        .write_dir()
        .join(&format!("{}.parquet", Uuid::new_v4()))
        .map_err(|cause| Error::internal(doing.clone()).caused_by(cause))?;
    let path = object_store::path::Path::from_url_path(url.path())
        .map_err(|cause| explain(&doing, &cause.into()))?;
    runtime.block_on(table.root.put_at(stage, &path, content))?;
    let stats = stats
        .finish()
        .map_err(fault)?
        .ok_or_else(|| Error::internal(format!("{doing}: a file without rows")))?;
    let described = DataFileMetadata::new(FileMeta::new(url, now.as_millisecond(), size), stats);
    build_add_file_metadata(described, &context).and_then(arrow).map_err(fault)
}
