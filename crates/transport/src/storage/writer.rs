//! Files of a folder that one process writes at a time.
//!
//! A delivery that was given up may still have a rename or a request under way, and a process that was
//! paused continues without knowing that another one has taken its place. A [`FencedWriter`] ends the
//! writers before it, so that they change nothing once it has begun to read.

use std::path::PathBuf;

use bytes::Bytes;
use object_store::{ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};
use tidegate_model::{Error, ErrorKind};
use uuid::Uuid;

use super::errors::explain;
use super::root::StorageRoot;
use super::stage;

/// Writes files of a folder until another writer of the same stage takes over.
///
/// On this machine its files and those that it removes pass through a folder of its own, which the next
/// writer removes before it reads anything: a rename that comes later has no file to rename. In an object
/// store [`FencedWriter::replace`] and the condition of the request have the same effect for one file; a
/// request of [`FencedWriter::put`] or [`FencedWriter::remove`] that is under way there still takes effect.
#[derive(Debug)]
pub struct FencedWriter {
    root: StorageRoot,
    own: Option<OwnFolder>,
}

/// The folder that the files of one writer pass through.
#[derive(Debug)]
struct OwnFolder {
    /// The folder of the root.
    root: PathBuf,
    /// Its name in the root.
    name: String,
}

/// Which content of a file was read or written last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileVersion {
    /// There was no file.
    #[default]
    Absent,
    /// There was this one.
    At(UpdateVersion),
    /// The store does not say it.
    Unknown,
}

impl FencedWriter {
    /// Takes over from the writers before, whose unfinished files are removed. `stage` is how the names of
    /// unfinished files begin, in a folder of `root` that readers skip.
    ///
    /// # Errors
    /// What the disk said; in an object store nothing is sent.
    pub async fn take_over(root: &StorageRoot, stage: &str) -> Result<FencedWriter, Error> {
        let Some(folder) = root.local_folder() else {
            return Ok(FencedWriter { root: root.clone(), own: None });
        };
        let own = stage::own_folder(stage);
        let (stage, made) = (folder.join(stage), folder.join(&own));
        blocking(root, move || stage::take_over(&stage, &made)).await?;
        Ok(FencedWriter { root: root.clone(), own: Some(OwnFolder { root: folder, name: own }) })
    }

    /// Reads a file and its version, for [`FencedWriter::replace`].
    ///
    /// # Errors
    /// What the store said. A file that does not exist is no error.
    pub async fn read(&self, name: &str) -> Result<(Option<Bytes>, FileVersion), Error> {
        let failed = |cause| explain(&format!("reading from {}", self.root.name()), &cause);
        match self.root.store.get(&self.root.file(name)?).await {
            Ok(found) => {
                let version = self.version(found.meta.e_tag.clone(), found.meta.version.clone());
                Ok((Some(found.bytes().await.map_err(failed)?), version))
            }
            // A missing bucket is noticed on the next write.
            Err(object_store::Error::NotFound { .. }) => Ok((None, FileVersion::Absent)),
            Err(cause) => Err(failed(cause)),
        }
    }

    /// Writes a file as a whole: readers see all of it or nothing.
    ///
    /// # Errors
    /// What the store said, or that another writer has taken over; then nothing was written.
    pub async fn put(&self, name: &str, content: Bytes) -> Result<(), Error> {
        match &self.own {
            Some(own) => {
                let staged = self.stage(own, content).await?;
                self.publish(&staged, name).await
            }
            None => self.root.put(name, content).await,
        }
    }

    /// Writes a file as a whole if it is still the one that was `seen`. A store that knows no conditions
    /// writes it in any case.
    ///
    /// # Errors
    /// As [`FencedWriter::put`].
    pub async fn replace(
        &self,
        name: &str,
        content: Bytes,
        seen: &FileVersion,
    ) -> Result<FileVersion, Error> {
        if self.own.is_some() {
            return self.put(name, content).await.map(|()| FileVersion::Unknown);
        }
        let mode = match seen {
            FileVersion::Absent => PutMode::Create,
            FileVersion::At(version) => PutMode::Update(version.clone()),
            FileVersion::Unknown => PutMode::Overwrite,
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        let path = self.root.file(name)?;
        match self.root.store.put_opts(&path, content.clone().into(), options).await {
            Ok(put) => Ok(self.version(put.e_tag, put.version)),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Err(self.ended(&format!("{name} was written meanwhile")))
            }
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                self.root.put(name, content).await.map(|()| FileVersion::Unknown)
            }
            Err(cause) => Err(explain(&self.doing(), &cause)),
        }
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// As [`FencedWriter::put`].
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        let Some(own) = &self.own else { return self.root.remove(name).await };
        let file = own.root.join(name);
        let removed = own.root.join(staged_in(&own.name));
        let is_ended = blocking(&self.root, move || stage::remove_through(&file, &removed)).await?;
        if is_ended { Err(self.ended(GONE)) } else { Ok(()) }
    }

    /// Writes a file into the own folder and returns its name.
    async fn stage(&self, own: &OwnFolder, content: Bytes) -> Result<String, Error> {
        let name = staged_in(&own.name);
        let path = own.root.join(&name);
        match blocking(&self.root, move || stage::write_beside(&path, &content)).await? {
            true => Ok(name),
            false => Err(self.ended(GONE)),
        }
    }

    /// Gives a file of the own folder its name.
    async fn publish(&self, staged: &str, name: &str) -> Result<(), Error> {
        let staged = self.root.file(staged)?;
        let Err(cause) = self.root.store.rename(&staged, &self.root.file(name)?).await else { return Ok(()) };
        if matches!(cause, object_store::Error::NotFound { .. }) {
            return Err(self.ended(GONE));
        }
        if let Err(cause) = self.root.store.delete(&staged).await {
            tracing::debug!(%cause, "a file that got no name stays until the next writer");
        }
        Err(explain(&self.doing(), &cause))
    }

    fn version(&self, e_tag: Option<String>, version: Option<String>) -> FileVersion {
        // Google compares generations, all others compare tags.
        let known = if self.root.url.scheme() == "gs" { &version } else { &e_tag };
        match known {
            Some(_) => FileVersion::At(UpdateVersion { e_tag, version }),
            None => FileVersion::Unknown,
        }
    }

    fn doing(&self) -> String {
        format!("writing to {}", self.root.name())
    }

    fn ended(&self, why: &str) -> Error {
        let message = format!("{}: another delivery has taken over: {why}", self.doing());
        Error::new(ErrorKind::Unavailable, message)
            .hint("let one installation write this folder, or give the exports different names")
    }
}

const GONE: &str = "the folder for unfinished files is gone";

fn staged_in(folder: &str) -> String {
    format!("{folder}/{}", Uuid::new_v4().simple())
}

/// Works on the disk, on a thread that may block.
async fn blocking<T: Send + 'static>(
    root: &StorageRoot,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|cause| Error::internal("writing a file").caused_by(cause))?.map_err(|cause| {
        let cause = object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(cause) };
        explain(&format!("writing to {}", root.name()), &cause)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;
    use url::Url;

    use super::*;

    const STAGE: &str = "_s/shop.lake";

    fn on_disk(folder: &std::path::Path) -> StorageRoot {
        let url = Url::from_directory_path(folder).expect("a path");
        StorageRoot { store: Arc::new(LocalFileSystem::new()), url }
    }

    async fn content(root: &StorageRoot, name: &str) -> Option<Bytes> {
        root.get(name).await.expect("read")
    }

    #[tokio::test]
    async fn a_rename_that_stalled_puts_nothing_over_what_the_next_delivery_wrote() {
        let folder = tempfile::tempdir().expect("folder");
        let root = on_disk(folder.path());
        let old = FencedWriter::take_over(&root, STAGE).await.expect("a writer");
        old.put("journal", "1".into()).await.expect("written");
        let own = old.own.as_ref().expect("a disk");
        let stalled = old.stage(own, "2, of a delivery that was given up".into()).await.expect("staged");

        let new = FencedWriter::take_over(&root, STAGE).await.expect("a writer");
        new.put("journal", "3".into()).await.expect("written");
        let late = old.publish(&stalled, "journal").await.expect_err("it comes too late");

        assert_eq!(late.kind(), ErrorKind::Unavailable);
        assert_eq!(content(&root, "journal").await.as_deref(), Some(&b"3"[..]));
        assert_eq!(root.list().await.expect("listed"), ["journal"], "nothing else is left");
    }

    #[tokio::test]
    async fn a_process_that_was_paused_neither_writes_nor_removes_after_another_took_over() {
        let folder = tempfile::tempdir().expect("folder");
        let root = on_disk(folder.path());
        let paused = FencedWriter::take_over(&root, STAGE).await.expect("a writer");
        let other = FencedWriter::take_over(&root, "_s/shop.lakes").await.expect("a writer");
        let new = FencedWriter::take_over(&root, STAGE).await.expect("a writer");
        new.put("day=1/a", "new".into()).await.expect("written");

        paused.put("day=1/a", "old".into()).await.expect_err("another took over");
        paused.put("b", "old".into()).await.expect_err("another took over");
        paused.remove("day=1/a").await.expect_err("another took over");
        paused.remove("not there").await.expect("nothing to remove");

        assert_eq!(content(&root, "day=1/a").await.as_deref(), Some(&b"new"[..]));
        assert_eq!(root.list().await.expect("listed"), ["day=1/a"]);
        other.put("c", "of another export".into()).await.expect("it goes on");
        new.remove("day=1/a").await.expect("removed");
        assert_eq!(root.list().await.expect("listed"), ["c"]);
    }

    #[tokio::test]
    async fn a_request_of_a_store_that_comes_late_puts_no_older_file_back() {
        let root =
            StorageRoot { store: Arc::new(InMemory::new()), url: "memory:///".parse().expect("a URL") };
        let old = FencedWriter::take_over(&root, STAGE).await.expect("a writer");
        let absent = old.read("journal").await.expect("read").1;
        let first = old.replace("journal", "1".into(), &absent).await.expect("written");
        let new = FencedWriter::take_over(&root, STAGE).await.expect("a writer");
        let (found, seen) = new.read("journal").await.expect("read");
        assert_eq!(found.as_deref(), Some(&b"1"[..]));
        let third = new.replace("journal", "3".into(), &seen).await.expect("written");

        for late in [&absent, &first] {
            let error = old.replace("journal", "2".into(), late).await.expect_err("it comes too late");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }

        assert_eq!(content(&root, "journal").await.as_deref(), Some(&b"3"[..]));
        new.replace("journal", "4".into(), &third).await.expect("written");
    }
}
