//! A folder of an object store that keeps the files of the state.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _};
use tidegate_model::bucket::Content;
use tidegate_model::{Bucket, BucketFile, ConnectorContext, Error};
use tokio::io::AsyncWriteExt as _;

use super::errors::explain;
use super::root::StorageRoot;
use super::settings::LakeSettings;

/// Bytes of a part of an upload. A smaller file is one request. S3 takes parts of 5 MiB and more.
/// Source: Amazon S3 user guide, "Amazon S3 multipart upload limits".
const PART_BYTES: usize = 8 << 20;
/// Parts of one file that are under way: with the one that fills up they are what an upload takes of memory.
const PARTS_AT_ONCE: usize = 2;

/// A bucket in S3, Google Cloud Storage or Azure. A request without an answer is repeated a few times: each
/// leaves the same behind however often it is sent.
#[derive(Clone, Debug)]
pub struct StorageBucket {
    root: StorageRoot,
}

impl StorageBucket {
    /// Opens the folder of these settings. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) for a location that is not valid.
    pub fn open(settings: &LakeSettings, context: &ConnectorContext) -> Result<StorageBucket, Error> {
        Ok(StorageBucket { root: StorageRoot::open_to_read(settings, context)? })
    }

    /// Returns the path of a file. Its name is the key as it stands, so that other programs find it under it.
    fn path(&self, name: &str) -> Result<Path, Error> {
        let folder = self.root.folder()?;
        let name = if folder.as_ref().is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        Path::parse(&name).map_err(|cause| self.failed("naming a file in", &cause.into()))
    }

    async fn send(&self, to: &mut BufWriter, mut content: Content) -> Result<(), Error> {
        while let Some(piece) = content.try_next().await? {
            to.put(piece).await.map_err(|cause| self.failed("writing to", &cause))?;
        }
        Ok(())
    }

    fn failed(&self, doing: &str, cause: &object_store::Error) -> Error {
        of_bucket(explain(&format!("{doing} {}", self.root.name()), cause))
    }
}

#[async_trait]
impl Bucket for StorageBucket {
    fn address(&self) -> String {
        self.root.name()
    }

    async fn put(&self, name: &str, content: Content) -> Result<(), Error> {
        let writer = BufWriter::with_capacity(Arc::clone(&self.root.store), self.path(name)?, PART_BYTES);
        let mut writer = writer.with_max_concurrency(PARTS_AT_ONCE);
        if let Err(error) = self.send(&mut writer, content).await {
            // Parts that were sent cost money until they are removed.
            let _ = writer.abort().await;
            return Err(error);
        }
        writer.shutdown().await.map_err(|cause| self.failed("writing to", &of_store(cause)))
    }

    async fn get(&self, name: &str) -> Result<Option<Content>, Error> {
        match self.root.store.get(&self.path(name)?).await {
            Ok(found) => {
                let bucket = self.clone();
                let pieces = found.into_stream();
                Ok(Some(pieces.map_err(move |cause| bucket.failed("reading from", &cause)).boxed()))
            }
            // Of a bucket that is not there, the next listing or upload tells.
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(self.failed("reading from", &cause)),
        }
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        match self.root.store.delete(&self.path(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(self.failed("removing from", &cause)),
        }
    }

    fn list(&self, folder: &str) -> BoxStream<'static, Result<BucketFile, Error>> {
        let (bucket, root) = (self.clone(), self.root.folder());
        let listed = self.path(folder).and_then(|folder| Ok((root?, folder)));
        let (root, folder) = match listed {
            Ok(listed) => listed,
            Err(error) => return futures_util::stream::once(async { Err(error) }).boxed(),
        };
        let files =
            self.root.store.list(Some(&folder)).map_err(move |cause| bucket.failed("listing", &cause));
        files.try_filter_map(move |found| std::future::ready(Ok(file(&root, &found)))).boxed()
    }
}

/// Returns a file of a listing; `None` if it is not below the folder.
fn file(root: &Path, found: &ObjectMeta) -> Option<BucketFile> {
    let parts: Vec<_> = found.location.prefix_match(root)?.map(|part| part.as_ref().to_owned()).collect();
    let written_at = Timestamp::from_microsecond(found.last_modified.timestamp_micros()).ok()?;
    Some(BucketFile { name: parts.join("/"), written_at })
}

/// Returns what a writer of the library wraps into an error of the system.
fn of_store(cause: io::Error) -> object_store::Error {
    match cause.downcast() {
        Ok(cause) => cause,
        Err(cause) => object_store::Error::Generic { store: "bucket", source: Box::new(cause) },
    }
}

/// Names the option and the verb that belong to the bucket of the state, and not those of a connection.
fn of_bucket(error: Error) -> Error {
    let step = error.next_step().replace("tidegate check", "tidegate doctor").replace("`path`", "`--bucket`");
    let step = step.replace(", and write and delete them if it is a destination", ", write and delete them");
    error.hint(step)
}
