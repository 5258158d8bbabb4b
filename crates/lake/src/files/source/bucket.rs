//! A folder of an object store: what is in it, in the order of names.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{DynObjectStore, ObjectMeta};
use tidegate_model::{Error, ErrorKind};
use tidegate_transport::storage::{StorageRoot, explain};
use tokio::runtime::Handle;

use super::listing::{Found, Location, Pattern};

/// Objects that are looked at to find the newest of them.
const LOOKED_AT_MAX: usize = 100_000;

/// Time, name, size and tag of an object; the oldest one comes first.
type OldestFirst = Reverse<(i64, String, u64, Option<String>)>;

/// A folder of a store, for threads that may block.
#[derive(Clone, Debug)]
pub struct Bucket {
    root: StorageRoot,
    runtime: Handle,
    /// The names of objects begin with it.
    prefix: String,
}

/// The objects of a folder that fit a pattern, one after the other.
pub struct Walk<'a> {
    bucket: &'a Bucket,
    pattern: &'a Pattern,
    listed: BoxStream<'static, object_store::Result<ObjectMeta>>,
    after: String,
    last: String,
}

impl Bucket {
    /// Creates a folder, for calls from the threads of a runtime that may block.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a path that no store has.
    pub fn new(root: StorageRoot, runtime: Handle) -> Result<Bucket, Error> {
        let folder = root.folder()?;
        let prefix = if folder.as_ref().is_empty() { String::new() } else { format!("{folder}/") };
        Ok(Bucket { root, runtime, prefix })
    }

    /// Returns its name for messages.
    pub fn name(&self) -> String {
        self.root.name()
    }

    /// Returns the objects that fit, in the order of their names, behind `after` if it is not empty.
    /// At most one page of names is held.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a pattern that is no path.
    pub fn walk<'a>(&'a self, pattern: &'a Pattern, after: &str) -> Result<Walk<'a>, Error> {
        let folder = self.root.file(&pattern.folder())?;
        let store = &self.root.store;
        let listed = match after {
            "" => store.list(Some(&folder)),
            after => store.list_with_offset(Some(&folder), &self.path(after)?),
        };
        Ok(Walk { bucket: self, pattern, listed, after: after.to_owned(), last: String::new() })
    }

    /// Returns up to `count` of the objects that were changed last, the newest at the end, how many
    /// fit, and whether all were looked at.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn newest(&self, pattern: &Pattern, count: usize) -> Result<(Vec<Found>, usize, bool), Error> {
        let mut newest: BinaryHeap<OldestFirst> = BinaryHeap::new();
        let (mut walk, mut fitting) = (self.walk(pattern, "")?, 0);
        while fitting < LOOKED_AT_MAX
            && let Some(found) = walk.next()?
        {
            fitting += 1;
            newest.push(Reverse((found.modified_us, found.name, found.size, found.tag)));
            if newest.len() > count {
                newest.pop();
            }
        }
        let sorted = newest.into_sorted_vec().into_iter().rev();
        let files = sorted.map(|Reverse((modified_us, name, size, tag))| {
            let location = Location::Object(self.clone());
            Found { name, location, modified_us, size, tag }
        });
        Ok((files.collect(), fitting, fitting < LOOKED_AT_MAX))
    }

    /// Returns the store and the path of an object of this folder.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a name that is no path.
    pub fn object(&self, name: &str) -> Result<(Arc<DynObjectStore>, Path, Handle), Error> {
        Ok((Arc::clone(&self.root.store), self.path(name)?, self.runtime.clone()))
    }

    fn path(&self, name: &str) -> Result<Path, Error> {
        Path::parse(format!("{}{name}", self.prefix))
            .map_err(|cause| explain(&format!("reading {}", self.name()), &cause.into()))
    }
}

impl Walk<'_> {
    /// Returns the next object that fits; `None` at the end.
    ///
    /// # Errors
    /// The folder cannot be listed on.
    pub fn next(&mut self) -> Result<Option<Found>, Error> {
        let listing = format!("listing {}", self.bucket.name());
        while let Some(listed) = self.bucket.runtime.block_on(self.listed.next()) {
            let meta = listed.map_err(|cause| explain(&listing, &cause))?;
            let Some(name) = meta.location.as_ref().strip_prefix(&self.bucket.prefix) else { continue };
            // Folders that a console made are objects without content.
            if meta.size == 0 || !self.pattern.fits(name) {
                continue;
            }
            if !self.last.is_empty() && name <= self.last.as_str() {
                let message =
                    format!("{listing}: the store does not list objects in the order of their names");
                return Err(Error::new(ErrorKind::Settings, message).hint(
                    "a storage account with a hierarchical namespace cannot be read: use one without",
                ));
            }
            name.clone_into(&mut self.last);
            // Some stores list from the beginning, whatever they are asked.
            if name <= self.after.as_str() {
                continue;
            }
            return Ok(Some(Found {
                name: name.to_owned(),
                location: Location::Object(self.bucket.clone()),
                modified_us: meta.last_modified.timestamp_micros(),
                size: meta.size,
                tag: meta.e_tag,
            }));
        }
        Ok(None)
    }
}
