//! The rows of a table at a version: file by file, in the order of their names.

use std::sync::Arc;

use delta_kernel::scan::Scan;
use delta_kernel::scan::state::{ScanFile, transform_to_logical};
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::{Engine as _, FileMeta};
use tidegate_model::{Checkpoint, Error};
use tidegate_transport::storage::StorageRoot;

use super::errors::kernel;
use super::rows::{Rows, Stop, record};
use super::table::Engine;

/// A version of a table.
pub(super) struct Version {
    engine: Arc<Engine>,
    root: StorageRoot,
    scan: Scan,
    doing: String,
}

/// A row of a version: the file, and how many rows of it are before.
#[derive(Clone, Copy)]
pub(super) struct After<'a> {
    /// The path of the file; empty for the first one.
    pub(super) file: &'a str,
    /// Rows of the file, those that were deleted included.
    pub(super) rows: u64,
}

impl Version {
    /// Opens a version. Which files it has is not read yet.
    ///
    /// # Errors
    /// A feature of the table that cannot be read.
    pub(super) fn new(
        engine: Arc<Engine>,
        root: &StorageRoot,
        snapshot: SnapshotRef,
    ) -> Result<Version, Error> {
        let doing = format!("reading the table {}", root.name());
        let scan = snapshot.scan_builder().build().map_err(|cause| kernel(&doing, cause))?;
        Ok(Version { engine, root: root.clone(), scan, doing })
    }

    /// Sends the rows behind a row. `checkpoint` makes the one that follows a row of a file.
    ///
    /// # Errors
    /// What keeps the table from being read on.
    pub(super) fn read(
        &self,
        after: After<'_>,
        rows: &mut Rows,
        checkpoint: &dyn Fn(&str, u64) -> Option<Checkpoint>,
    ) -> Result<(), Stop> {
        for file in self.files()? {
            if *file.path < *after.file {
                continue;
            }
            let skipped = if file.path == after.file { after.rows } else { 0 };
            self.read_file(&file, skipped, rows, checkpoint)?;
        }
        Ok(())
    }

    /// The files, in an order that does not depend on how the log is stored.
    fn files(&self) -> Result<Vec<ScanFile>, Error> {
        let fault = |cause| kernel(&self.doing, cause);
        let mut files = Vec::new();
        for metadata in self.scan.scan_metadata(&*self.engine).map_err(fault)? {
            let add = |files: &mut Vec<ScanFile>, file: ScanFile| files.push(file);
            files = metadata.and_then(|metadata| metadata.visit_scan_files(files, add)).map_err(fault)?;
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

    fn read_file(
        &self,
        file: &ScanFile,
        skipped: u64,
        rows: &mut Rows,
        checkpoint: &dyn Fn(&str, u64) -> Option<Checkpoint>,
    ) -> Result<(), Stop> {
        let fault = |cause| kernel(&self.doing, cause);
        let location = self.root.url.join(&file.path).map_err(|cause| {
            Error::internal(format!("{}: a file has no address", self.doing)).caused_by(cause)
        })?;
        let size = u64::try_from(file.size).unwrap_or_default();
        let kept = file.dv_info.get_selection_vector(&*self.engine, &self.root.url).map_err(fault)?;
        let meta = FileMeta { location, last_modified: file.modification_time, size };
        let (physical, logical) = (self.scan.physical_schema(), self.scan.logical_schema());
        let read = self.engine.parquet_handler().read_parquet_files(&[meta], Arc::clone(physical), None);
        let mut passed: u64 = 0;
        for data in read.map_err(fault)? {
            let data = transform_to_logical(
                &*self.engine,
                data.map_err(fault)?,
                physical,
                logical,
                file.transform.clone(),
            );
            let record = record(rows.label(), data.map_err(fault)?)?;
            let indexes = rows.indexes(&record);
            for at in 0..record.num_rows() {
                passed += 1;
                let is_kept = kept.as_ref().is_none_or(|kept| is_kept(kept, passed - 1));
                if passed <= skipped || !is_kept {
                    continue;
                }
                rows.add(&record, &indexes, at);
                if rows.is_full() {
                    rows.send(checkpoint(&file.path, passed))?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a row is there: what the vector does not reach is.
fn is_kept(kept: &[bool], at: u64) -> bool {
    usize::try_from(at).ok().and_then(|at| kept.get(at)).copied().unwrap_or(true)
}
