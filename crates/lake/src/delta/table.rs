//! One table: whether it is there, opening it, making it.

use std::sync::Arc;

use delta_kernel::Snapshot;
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::transaction::CommitResult;
use delta_kernel::transaction::create_table::create_table;
use delta_kernel::transaction::data_layout::DataLayout;
use delta_kernel_default_engine::{DefaultEngine, DefaultEngineBuilder};
use futures_util::StreamExt as _;
use tidegate_model::event::table::PARTITION_COLUMN;
use tidegate_model::{Error, Layout};
use tokio::runtime::Handle;

use super::errors::kernel;
use super::fit;
use super::runtime::Borrowed;
use tidegate_transport::storage::StorageRoot;
use tidegate_transport::storage::explain;

/// The library with our store and our runtime.
pub(super) type Engine = DefaultEngine<Borrowed>;

/// The name in a commit as its maker.
pub(super) const MAKER: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

pub(super) const LOG: &str = "_delta_log";

/// Columns that queries skip files by. Of an identifier every file holds almost
/// the whole range, so its bounds would only make the log longer.
fn bounded(layout: Layout) -> &'static str {
    match layout {
        Layout::Messages => "event_timestamp,event_kind,app_id,template_id,message_id,_created,_index",
        Layout::Events => "event_timestamp,event_kind,app_id,template_id,message_id,logged_at",
    }
}

/// A table and its location. Every method blocks.
#[derive(Debug)]
pub(super) struct Table {
    /// Its folder.
    pub(super) root: StorageRoot,
    /// The columns of its events.
    pub(super) layout: Layout,
    /// Whether it is partitioned by day when it is made.
    pub(super) partition_by_date: bool,
}

impl Table {
    /// What people call it.
    pub(super) fn name(&self) -> String {
        self.root.name()
    }

    /// Checks that every reader of the table finds the same folder: the log's library and other
    /// readers decode a percent escape in its name, and then look elsewhere.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] that names the folder.
    pub(super) fn check_name(&self) -> Result<(), Error> {
        check_name(&self.root)
    }

    /// What is done when it is written to, for errors.
    pub(super) fn writing(&self) -> String {
        format!("writing the table {}", self.name())
    }

    /// The library, for calls from this thread.
    pub(super) fn engine(&self, runtime: &Handle) -> Engine {
        engine(&self.root, runtime)
    }

    /// Returns the current table; `None` if it does not exist.
    pub(super) fn open(&self, engine: &Engine, runtime: &Handle) -> Result<Option<SnapshotRef>, Error> {
        if !is_there(&self.root, runtime)? {
            return Ok(None);
        }
        let doing = format!("opening the table {}", self.name());
        let snapshot = Snapshot::builder_for(&self.root.url).build(engine);
        snapshot.map(Some).map_err(|cause| kernel(&doing, cause))
    }

    /// Returns the current table; creates it if it does not exist.
    pub(super) fn open_or_make(&self, engine: &Engine, runtime: &Handle) -> Result<SnapshotRef, Error> {
        if let Some(snapshot) = self.open(engine, runtime)? {
            return Ok(snapshot);
        }
        // The library opens only folders that are there.
        runtime.block_on(self.root.make())?;
        self.make(engine)?;
        self.open(engine, runtime)?.ok_or_else(|| {
            let message = format!("the table {} was made and is not there", self.name());
            Error::new(tidegate_model::ErrorKind::Unexpected, message)
        })
    }

    /// The table as it is now, from what is known of it.
    pub(super) fn refresh(&self, engine: &Engine, known: SnapshotRef) -> Result<SnapshotRef, Error> {
        let doing = format!("opening the table {}", self.name());
        Snapshot::builder_from(known).build(engine).map_err(|cause| kernel(&doing, cause))
    }

    fn make(&self, engine: &Engine) -> Result<(), Error> {
        let doing = format!("making the table {}", self.name());
        let schema = fit::schema_of(self.layout)?;
        let mut builder = create_table(&self.root.url, schema, MAKER, false)
            .with_table_properties([("delta.dataSkippingStatsColumns", bounded(self.layout))]);
        if self.partition_by_date {
            builder = builder.with_data_layout(DataLayout::partitioned([PARTITION_COLUMN]));
        }
        let made = builder
            .build(engine, Box::new(FileSystemCommitter::new()))
            .and_then(|transaction| transaction.commit(engine));
        match made {
            // Another writer created the table first; use theirs.
            Ok(CommitResult::Committed(_) | CommitResult::Conflicted(_)) => Ok(()),
            Err(delta_kernel::KernelError::TableAlreadyExistsAtPath(_)) => Ok(()),
            Ok(CommitResult::Retryable(failed)) => Err(kernel(&doing, failed.error)),
            Err(cause) => Err(kernel(&doing, cause)),
        }
    }

    /// Returns whether the log ends with this version or a later one.
    ///
    /// A table that was removed under an open export would otherwise get a log
    /// that begins in its middle.
    pub(super) fn still_has(&self, version: u64, runtime: &Handle) -> Result<bool, Error> {
        runtime.block_on(self.root.has(&format!("{LOG}/{version:020}.json")))
    }
}

/// Checks that every reader of a table finds the same folder: the log's library and other readers
/// decode a percent escape in its name, and then look elsewhere.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] that names the folder.
pub(super) fn check_name(root: &StorageRoot) -> Result<(), Error> {
    // In the URL a percent sign of the name is `%25`.
    let escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if root.url.path().split("%25").skip(1).any(escape) {
        let message = format!("`path`: {} has a percent escape in its name", root.name());
        return Err(Error::settings(message)
            .hint("rename the folder: readers of Delta tables take such a name for another one"));
    }
    Ok(())
}

/// Returns the library with the store of a folder, for calls from this thread.
pub(super) fn engine(root: &StorageRoot, runtime: &Handle) -> Engine {
    DefaultEngineBuilder::new(Arc::clone(&root.store))
        .with_task_executor(Arc::new(Borrowed(runtime.clone())))
        .build()
}

/// Returns whether a folder has the log of a table.
///
/// # Errors
/// The store cannot be asked.
pub(super) fn is_there(root: &StorageRoot, runtime: &Handle) -> Result<bool, Error> {
    let log = root.file(LOG)?;
    match runtime.block_on(root.store.list(Some(&log)).next()) {
        None => Ok(false),
        Some(Err(cause)) => Err(explain(&format!("opening the table {}", root.name()), &cause)),
        Some(Ok(_)) => Ok(true),
    }
}
