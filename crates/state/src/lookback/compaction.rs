//! When the chunks of a sync are merged: while a run goes on if there are many, and when it has ended.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_model::{Error, SyncId};
use tokio::task::JoinHandle;

use super::compact::Merge;
use super::run_files::RunFiles;
use super::tiers::{LOOSE_CHUNKS_MAX, LOOSE_ROWS_MAX};
use super::view::View;

/// Keeps what is remembered of each sync small to look at.
pub(crate) struct Compaction {
    files: RunFiles,
    syncs: Mutex<HashMap<SyncId, Loose>>,
}

/// Blocks of a sync that were not merged, and the merge that is under way.
#[derive(Default)]
struct Loose {
    chunks: usize,
    rows: usize,
    merging: Option<JoinHandle<()>>,
    /// Whether the run that is under way has removed the users of all rows that are gone.
    users_forgotten: bool,
}

impl Loose {
    fn is_much(&self) -> bool {
        self.rows > LOOSE_ROWS_MAX || self.chunks > LOOSE_CHUNKS_MAX
    }
}

impl Compaction {
    pub(crate) fn new(files: RunFiles) -> Compaction {
        Compaction { files, syncs: Mutex::default() }
    }

    /// Returns the data folder.
    pub(crate) fn data(&self) -> &Path {
        self.files.data()
    }

    /// Looks at what is committed of a sync.
    ///
    /// # Errors
    /// As [`View::open`].
    pub(crate) async fn view(&self, sync: &SyncId) -> Result<View, Error> {
        let view = View::open(&self.files, sync).await?;
        let mut syncs = self.syncs();
        let loose = syncs.entry(sync.clone()).or_default();
        (loose.chunks, loose.rows) = view.loose;
        Ok(view)
    }

    /// Notes that a chunk of this many rows was committed. If there are many, they are merged
    /// while the run continues.
    pub(crate) fn committed(&self, sync: &SyncId, rows: usize) {
        let mut syncs = self.syncs();
        let loose = syncs.entry(sync.clone()).or_default();
        loose.chunks += 1;
        loose.rows += rows;
        if !loose.is_much() || loose.merging.as_ref().is_some_and(|merging| !merging.is_finished()) {
            return;
        }
        (loose.chunks, loose.rows) = (0, 0);
        let job = Merge { files: self.files.clone(), sync: sync.clone(), drops_removed: false };
        loose.merging = Some(tokio::spawn(async move { job.run_and_report(true).await }));
    }

    /// Notes that a run has removed the users of all rows that are gone: once it has ended, the marks of these rows
    /// may go too.
    pub(crate) fn users_forgotten(&self, sync: &SyncId) {
        self.syncs().entry(sync.clone()).or_default().users_forgotten = true;
    }

    /// Waits for a merge that is under way, merges what the run left, and removes files that
    /// nothing names. The caller holds the sync, and its run has ended.
    pub(crate) async fn run_ended(&self, sync: &SyncId) {
        let loose = self.syncs().remove(sync).unwrap_or_default();
        let (much, drops_removed) = (loose.is_much(), loose.users_forgotten);
        if let Some(merging) = loose.merging {
            let _ = merging.await;
        }
        let folder = self.files.folder_of(sync);
        if !much && !folder.exists() {
            return;
        }
        let job = Merge { files: self.files.clone(), sync: sync.clone(), drops_removed };
        job.run_and_report(false).await;
        job.sweep(&folder).await;
    }

    fn syncs(&self) -> MutexGuard<'_, HashMap<SyncId, Loose>> {
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
