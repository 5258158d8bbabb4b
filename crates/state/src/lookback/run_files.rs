//! Where the files of remembered rows are: in the data folder, and in the bucket if there is one.
//!
//! Without a bucket a server keeps the rows of a file itself, in pieces, so that another machine can make
//! it again. With one it keeps the name of the file alone.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use tidegate_model::{Error, SyncId};

use super::file::{RunFile, RunWriter};
use super::{block, damaged};
use crate::blocking::blocking;
use crate::folder;
use crate::shared_files::{SharedFiles, Uploaded, is_left_behind};
use crate::store::bucket;
use crate::store::dialect::Database;
use crate::store::statement::sql;

/// The folder, below the data folder and in the bucket.
const FOLDER: &str = "lookback";

/// The files of remembered rows.
#[derive(Clone)]
pub(crate) struct RunFiles {
    pub(crate) database: Arc<Database>,
    data: PathBuf,
    shared: Option<SharedFiles>,
}

impl RunFiles {
    /// Creates the files of a data folder, and of a bucket.
    pub(crate) fn new(database: Arc<Database>, data: &Path, shared: Option<SharedFiles>) -> RunFiles {
        RunFiles { database, data: data.to_path_buf(), shared }
    }

    /// Returns the data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the folder of a sync's files on this machine.
    pub(super) fn folder_of(&self, sync: &SyncId) -> PathBuf {
        self.data.join(FOLDER).join(folder::file_name(sync.as_str()))
    }

    /// Returns whether the database must keep the rows of a file: nothing else outlives this machine.
    pub(super) fn are_rows_kept(&self) -> bool {
        self.database.is_server() && self.shared.is_none()
    }

    /// Opens a file. If it is not here, it is copied from the bucket, or made of the rows that the database
    /// keeps. Returns `None` if it is gone: its rows are in another file by now.
    ///
    /// # Errors
    /// If it cannot be read or made, or does not have all of its rows.
    pub(super) async fn open(&self, sync: &SyncId, name: &str) -> Result<Option<RunFile>, Error> {
        let path = self.folder_of(sync).join(name);
        let found = path.clone();
        if let Some(file) = blocking(move || RunFile::open_if_there(&found)).await? {
            return Ok(Some(file));
        }
        if let Some(shared) = &self.shared
            && shared.download(&key(sync, name), &path).await?
        {
            return blocking(move || RunFile::open_if_there(&path)).await;
        }
        // Also of a file that is older than the bucket.
        if self.database.is_server() && rebuild(&self.database, &path, sync, name).await? {
            return blocking(move || RunFile::open_if_there(&path)).await;
        }
        Ok(None)
    }

    /// Makes a new file durable in the bucket, if there is one.
    ///
    /// # Errors
    /// If it cannot be read, and those of the bucket.
    pub(super) async fn publish(&self, sync: &SyncId, name: &str) -> Result<Option<Uploaded>, Error> {
        let Some(shared) = &self.shared else { return Ok(None) };
        shared.upload(&key(sync, name), &self.folder_of(sync).join(name)).await.map(Some)
    }

    /// Removes files that nothing names any more. What cannot be removed is swept later.
    pub(super) async fn discard(&self, sync: &SyncId, names: Vec<String>) -> Result<(), Error> {
        if let Some(shared) = &self.shared {
            for name in &names {
                if let Err(error) = shared.remove(&key(sync, name)).await {
                    let error = error.chain();
                    tracing::warn!(error, "a file that is not needed any more stays in the bucket for now");
                }
            }
        }
        let folder = self.folder_of(sync);
        blocking(move || {
            names.iter().for_each(|name| _ = std::fs::remove_file(folder.join(name)));
            Ok(())
        })
        .await
    }

    /// Removes files of the bucket that nothing names: of syncs that were reset, and those that a machine
    /// left behind when it died.
    ///
    /// # Errors
    /// Those of the database and the bucket.
    pub(crate) async fn sweep_bucket(&self) -> Result<(), Error> {
        let Some(shared) = &self.shared else { return Ok(()) };
        if !bucket::is_ours(&self.database, shared).await? {
            return Ok(());
        }
        let now = bucket::now(&self.database, shared).await?;
        let mut old = Vec::new();
        let mut files = shared.list(FOLDER);
        while let Some(file) = files.try_next().await? {
            if is_left_behind(&file, now) {
                old.push(file.name);
            }
        }
        // Listed first: what is so old is named by now, or is not named any more.
        let statement = sql("SELECT DISTINCT sync, file FROM lookback WHERE file IS NOT NULL");
        let mut named = HashSet::new();
        for record in self.database.all(statement).await? {
            let sync = SyncId::new(record.get::<String>("sync")?);
            named.insert(key(&sync, &record.get::<String>("file")?));
        }
        for name in old.iter().filter(|name| !named.contains(*name)) {
            shared.remove(name).await?;
        }
        Ok(())
    }
}

/// The name of a file in the bucket.
fn key(sync: &SyncId, name: &str) -> String {
    format!("{FOLDER}/{}/{name}", folder::file_name(sync.as_str()))
}

/// Makes a file of the rows that the database keeps. Returns false if it keeps none of them.
async fn rebuild(database: &Database, path: &Path, sync: &SyncId, name: &str) -> Result<bool, Error> {
    let mut writer: Option<(RunWriter, u64)> = None;
    // A merge may replace the pieces while they are read one after the other.
    let mut tx = database.snapshot().await?;
    for piece in 0.. {
        let statement =
            sql("SELECT body, row_count FROM lookback WHERE sync = $1 AND file = $2 AND piece = $3");
        let record = tx.first(statement.bind(sync).bind(name).bind(piece as u64)).await?;
        let Some(record) = record else { break };
        let (body, rows) = (record.get::<Vec<u8>>("body")?, record.count("row_count")?);
        let (written, path) = (writer.take(), path.to_path_buf());
        let grown = blocking(move || {
            let (mut writer, rows) = match written {
                Some(written) => written,
                None => (RunWriter::create(&path)?, rows),
            };
            block::unpack(&body)?.into_iter().try_for_each(|row| writer.push(row))?;
            Ok((writer, rows))
        });
        writer = Some(grown.await?);
    }
    drop(tx);
    let Some((writer, rows)) = writer else { return Ok(false) };
    let missing = damaged(&format!("{} does not have all of its rows", path.display()));
    blocking(move || if writer.rows() == rows { writer.finish().map(|_| true) } else { Err(missing) }).await
}
