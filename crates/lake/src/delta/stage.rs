//! Data files that are written and not yet part of the table.

use std::sync::Arc;

use arrow_array::RecordBatch;
use delta_kernel::FileMeta;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::transaction::Transaction;
use delta_kernel_default_engine::build_add_file_metadata;
use delta_kernel_default_engine::parquet::DataFileMetadata;
use jiff::Timestamp;
use object_store::ObjectStoreExt as _;
use tidegate_model::Error;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::errors::kernel;
use super::form::{Encoded, File, Form, arrow};
use super::table::Table;
use tidegate_transport::storage::explain;

/// Files for one commit. They may be offered again after another writer was quicker.
pub(super) struct Stage {
    /// What they look like.
    form: Arc<[u8]>,
    events: usize,
    adds: Vec<RecordBatch>,
}

impl Stage {
    /// Puts files of so many events into their places.
    pub(super) fn put(
        table: &Table,
        runtime: &Handle,
        encoded: Encoded,
        events: usize,
        now: Timestamp,
    ) -> Result<Stage, Error> {
        let Encoded { form, files } = encoded;
        let adds = files.into_iter().map(|file| put(table, runtime, file, now)).collect::<Result<_, _>>()?;
        Ok(Stage { form, events, adds })
    }

    /// Whether the files fit a table that looks like this. Of a list of events only
    /// its end is ever taken away, so that its length tells.
    pub(super) fn fits(&self, form: &Form, events: usize) -> bool {
        self.events == events && form.is(&self.form)
    }

    /// Offers the files to a transaction.
    pub(super) fn offer(&self, transaction: &mut Transaction) {
        for add in &self.adds {
            transaction.add_files(Box::new(ArrowEngineData::new(add.clone())));
        }
    }
}

/// Puts one file in its place and describes it for the log.
fn put(table: &Table, runtime: &Handle, file: File, now: Timestamp) -> Result<RecordBatch, Error> {
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
    runtime
        .block_on(table.place.store.put(&path, content.into()))
        .map_err(|cause| explain(&doing, &cause))?;
    let stats = stats
        .finish()
        .map_err(fault)?
        .ok_or_else(|| Error::internal(format!("{doing}: a file without rows")))?;
    let described = DataFileMetadata::new(FileMeta::new(url, now.as_millisecond(), size), stats);
    build_add_file_metadata(described, &context).and_then(arrow).map_err(fault)
}
