//! What the hashes of a source stood for ([`HashMemo`]): one sorted file for each mirror that is compared by
//! hashes, 32 bytes a row. It may be lost: rows are then read, and it is written again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::store::RowVersion;
use tidegate_model::{Error, HashMemo, RowHash, SyncId};

use super::file::{RunFile, RunWriter};
use super::spool::Spool;
use crate::blocking::blocking;
use crate::{failure, folder};

/// The memo of a sync, in a file of this machine.
pub(crate) struct FileMemo {
    path: PathBuf,
    before: Option<Arc<RunFile>>,
    next: Option<Spool>,
}

impl FileMemo {
    /// Opens the memo of this name. A file that is damaged is none.
    ///
    /// # Errors
    /// If its index cannot be read on a thread that may block.
    pub(crate) async fn open(data: &Path, sync: &SyncId, name: RowHash) -> Result<FileMemo, Error> {
        let path = folder_of(data, sync).join(format!("{}.rows", name.to_uuid()));
        let spool = Spool::new(&data.join("compared"));
        blocking(move || {
            let before = RunFile::open_if_there(&path).unwrap_or_else(|error| {
                tracing::warn!(error = error.chain(), "a memo of hashes cannot be read, and is made again");
                None
            });
            Ok(FileMemo { path, before: before.map(Arc::new), next: Some(spool) })
        })
        .await
    }
}

/// The folder of a sync's memo.
fn folder_of(data: &Path, sync: &SyncId) -> PathBuf {
    data.join("compared").join(folder::file_name(sync.as_str()))
}

#[async_trait]
impl HashMemo for FileMemo {
    fn is_there(&self) -> bool {
        self.before.is_some()
    }

    async fn find(&self, hashes: &[RowHash]) -> Result<Vec<Option<RowHash>>, Error> {
        let Some(file) = self.before.clone() else { return Ok(vec![None; hashes.len()]) };
        let mut sorted: Vec<(usize, RowHash)> = hashes.iter().copied().enumerate().collect();
        blocking(move || {
            sorted.sort_unstable_by_key(|(_, hash)| *hash);
            let mut found = vec![None; sorted.len()];
            file.find(sorted.into_iter(), |at, row| found[at] = Some(row))?;
            Ok(found)
        })
        .await
    }

    async fn add(&mut self, entries: &[RowVersion]) -> Result<(), Error> {
        let Some(mut spool) = self.next.take() else { return Ok(()) };
        let entries = entries.to_vec();
        let spool = blocking(move || spool.add(&entries).map(|()| spool)).await?;
        self.next = Some(spool);
        Ok(())
    }

    async fn keep(mut self: Box<Self>) -> Result<(), Error> {
        let Some(spool) = self.next.take() else { return Ok(()) };
        let path = self.path;
        blocking(move || {
            let mut sorted = spool.sorted()?;
            let mut writer = RunWriter::create(&path)?;
            while let Some(row) = sorted.next()? {
                writer.push(row)?;
            }
            writer.finish()?;
            remove_others(&path)
        })
        .await
    }
}

/// Removes memos of other columns.
fn remove_others(path: &Path) -> Result<(), Error> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let removed = std::fs::read_dir(parent).and_then(|entries| {
        for entry in entries {
            let other = entry?.path();
            if other != path {
                std::fs::remove_file(other)?;
            }
        }
        Ok(())
    });
    removed.map_err(|cause| failure::of_io(cause, "removing what is no longer needed in", parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_memo_is_found_again_under_its_name_and_one_that_is_damaged_is_none() {
        let data = tempfile::tempdir().expect("a folder");
        let sync = SyncId::new("customers");
        let open = async |name: u128| {
            let memo = FileMemo::open(data.path(), &sync, RowHash(name)).await.expect("opened");
            Box::new(memo)
        };
        let entry = |hash: u128| RowVersion { key: RowHash(hash), row: RowHash(hash + 1) };
        let mut memo = open(7).await;
        assert!(!memo.is_there());
        memo.add(&[entry(9), entry(2)]).await.expect("added");
        memo.add(&[entry(u128::MAX - 1)]).await.expect("added");
        assert_eq!(memo.find(&[RowHash(9)]).await.expect("found"), [None], "it is not kept yet");
        memo.keep().await.expect("kept");

        let memo = open(7).await;
        let found = memo.find(&[RowHash(9), RowHash(3), RowHash(2)]).await.expect("found");
        assert_eq!(found, [Some(RowHash(10)), None, Some(RowHash(3))]);
        assert!(!open(8).await.is_there(), "of another name");
        let mut other = open(8).await;
        other.add(&[entry(1)]).await.expect("added");
        other.keep().await.expect("kept");
        assert!(!open(7).await.is_there(), "one is kept");

        let path = open(8).await.path.clone();
        std::fs::write(&path, b"damaged").expect("written");
        assert!(!open(8).await.is_there());
    }
}
