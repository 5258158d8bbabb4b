//! A folder of an object store that keeps the files of the state.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use jiff::Timestamp;

use crate::Error;

/// The content of a file, in pieces.
pub type Content = BoxStream<'static, Result<Bytes, Error>>;

/// A folder in an object store, in which machines with one state database keep its files.
///
/// Names are relative, with `/` between their parts. Any number of calls may run in parallel.
#[async_trait]
pub trait Bucket: Send + Sync {
    /// Returns its address, as people write it: `s3://acme-state/tidegate/`.
    fn address(&self) -> String;

    /// Writes a file as a whole: readers see all of it or nothing. Memory does not follow its size.
    /// The file is durable when this returns.
    ///
    /// # Errors
    /// What the store said, or of the content. Nothing is there then, or what was there before.
    async fn put(&self, name: &str, content: Content) -> Result<(), Error>;

    /// Returns the content of a file; `None` if there is no such file.
    ///
    /// # Errors
    /// What the store said.
    async fn get(&self, name: &str) -> Result<Option<Content>, Error>;

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// What the store said.
    async fn remove(&self, name: &str) -> Result<(), Error>;

    /// Returns the files in a folder, also in the folders below it.
    fn list(&self, folder: &str) -> BoxStream<'static, Result<BucketFile, Error>>;
}

/// A file in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketFile {
    /// Its name below the bucket's folder.
    pub name: String,
    /// When it was written, by the clock of the store.
    pub written_at: Timestamp,
}
